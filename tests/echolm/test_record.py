"""Reading a run record: every state, and whatever may have been left in the folder.

A crash, an older version or a hand may have left it.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from echolm.attempt import Attempt
from echolm.errors import EchoLMError, StorageError
from echolm.files import read_json, write_atomic
from echolm.liveness import describe_self
from echolm.record import RunRecord, cell_state, find_records
from echolm.workspace import Workspace

IDENTITY = {
    "cell": "c" * 16,
    "fingerprint": "f" * 64,
    "config": {"seed": 0},
    "protocols": {},
    "data": "d",
    "weights": "random",
}
HOSTILE = ["a b", 'it\'s "quoted"', "ünï🫀", "new\nline", "-rf *", "%20?#&=;$HOME"]


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    record = RunRecord.at(tmp_path / "runs", "c" * 16, "f" * 64)
    record.create(IDENTITY)
    return record


def add_attempt(
    record: RunRecord, number: int, *events: dict[str, Any], alive: bool = True, seen: bool = True
) -> Path:
    """Make an attempt folder as a holder leaves it.

    The holder is this process, one that is gone, or one on another machine.
    """
    path = record.attempt_path(number)
    path.mkdir()
    holder = {
        **describe_self(),
        **({} if alive else {"started": "1"}),
        **({} if seen else {"boot": "another"}),
    }
    (path / "holder.json").write_text(json.dumps(holder))
    (path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def cancel(record: RunRecord) -> None:
    (record.path.parent / "cancelled").touch()


class TestState:
    """What a record says of its run."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        nothing = RunRecord(tmp_path / "c" / "f")
        assert (nothing.state().name, nothing.attempts(), nothing.history(), nothing.summary()) == (
            "pending",
            [],
            [],
            None,
        )

    def test_created_only(self, record: RunRecord) -> None:
        assert (record.state().name, record.state().attempt) == ("pending", 0)

    def test_cancelled_before_it_began(self, record: RunRecord) -> None:
        cancel(record)
        assert record.cancelled() and record.state().name == "cancelled"

    def test_a_live_holder(self, record: RunRecord) -> None:
        add_attempt(record, 1, {"event": "started"})
        assert (record.state().name, record.state().attempt, record.state().evidence) == (
            "running",
            1,
            {},
        )
        cancel(record)
        assert record.state().name == "running", "until its loop reads the mark"

    def test_a_dead_holder(self, record: RunRecord) -> None:
        add_attempt(record, 1, {"event": "epoch", "epoch": 0}, alive=False)
        assert record.state().name == "interrupted" and "gone" in record.state().evidence["reason"]
        cancel(record)
        assert record.state().name == "cancelled"

    @pytest.mark.parametrize(
        "files", [["holder.json"], []], ids=["another machine", "not yet visible"]
    )
    def test_a_holder_that_cannot_be_seen_runs(self, record: RunRecord, files: list[str]) -> None:
        path = add_attempt(record, 1, seen=False)
        for name in {"holder.json"} - set(files):
            (path / name).unlink()
        assert (record.state().name, record.state().evidence) == ("running", {"unseen": True})

    @pytest.mark.parametrize(
        ("ending", "state"),
        [
            ("failed", "failed"),
            ("pruned", "pruned"),
            ("cancelled", "cancelled"),
            ("interrupted", "interrupted"),
            ("superseded", "interrupted"),
        ],
    )
    @pytest.mark.parametrize("alive", [True, False])
    def test_an_ending_counts_whether_its_process_lives_or_not(
        self, record: RunRecord, ending: str, state: str, alive: bool
    ) -> None:
        add_attempt(record, 1, {"event": "started"}, {"event": ending, "error": "why"}, alive=alive)
        status = record.state()
        assert (status.name, status.attempt, status.evidence) == (
            state,
            1,
            {"event": ending, "error": "why"},
        )

    def test_only_the_newest_attempt_counts(self, record: RunRecord) -> None:
        for number in (2, 10, 9):
            add_attempt(record, number, {"event": "failed"})
        assert record.attempts() == [2, 9, 10]
        add_attempt(record, 11, {"event": "started"})
        assert (record.state().name, record.state().attempt) == ("running", 11)

    @pytest.mark.parametrize("ending", ["failed", "pruned", "cancelled"])
    def test_marked_for_retry(self, record: RunRecord, ending: str) -> None:
        path = add_attempt(record, 1, {"event": ending}, alive=False)
        assert len(record.failures()) == (ending == "failed")
        (path / "retried").touch()
        assert record.state().name == "pending" and record.failures() == []
        add_attempt(record, 2, {"event": "failed", "n": 2})
        assert record.state().name == "failed" and record.failures() == [
            {"event": "failed", "n": 2}
        ]

    def test_only_a_summary_makes_it_complete(self, record: RunRecord) -> None:
        path = add_attempt(record, 1, {"event": "complete"}, alive=False)
        write_atomic(path / "summary.json", b"{}")
        assert record.state().name == "interrupted"
        os.link(path / "summary.json", record.path / "summary.json")
        cancel(record)
        add_attempt(record, 2, {"event": "superseded"})
        assert record.state().name == "complete"

    def test_a_run_that_completes_while_it_is_looked_at_is_never_less(
        self, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_attempt(record, 1)
        read = RunRecord._ending

        def completes_first(self: RunRecord, attempt: int) -> dict[str, Any] | None:
            write_atomic(self.path / "summary.json", b"{}")
            (self.attempt_path(1) / "events.jsonl").write_text('{"event": "complete"}\n')
            return read(self, attempt)

        monkeypatch.setattr(RunRecord, "_ending", completes_first)
        assert record.state().name == "complete"

    def test_looking_changes_nothing(self, record: RunRecord) -> None:
        add_attempt(record, 1, {"event": "epoch", "epoch": 0}, alive=False)
        before = {path: path.stat().st_mtime_ns for path in record.path.rglob("*")}
        for look in (
            record.state,
            record.history,
            record.failures,
            record.summary,
            record.attempts,
            record.identity,
        ):
            look()
        assert {path: path.stat().st_mtime_ns for path in record.path.rglob("*")} == before


class TestEvents:
    """events.jsonl, whatever is in it."""

    def test_a_line_cut_off_at_any_byte_is_left_out(self, record: RunRecord) -> None:
        path = add_attempt(record, 1) / "events.jsonl"
        lines = [
            json.dumps({"event": "epoch", "epoch": n, "text": "ü🫀\n"}, ensure_ascii=False).encode()
            + b"\n"
            for n in range(2)
        ]
        for cut in range(len(lines[1])):
            path.write_bytes(lines[0] + lines[1][:cut])
            assert len(record.events(1)) == 1 + (cut == len(lines[1]) - 1), (
                "whole but for its newline"
            )

    def test_what_is_no_event_is_left_out(self, record: RunRecord) -> None:
        path = add_attempt(record, 1) / "events.jsonl"
        path.write_bytes(
            b'\n3\n"x"\n[]\n{}\nnull\n\xff\xfe\n\x00\x00\n'
            b'{"event": "epoch", "epoch": 4}\n{"event": "ep'
        )
        assert record.events(1) == [{"event": "epoch", "epoch": 4}]

    def test_history_has_each_epoch_once_from_the_latest_attempt(self, record: RunRecord) -> None:
        def epoch(number: int, attempt: int) -> dict[str, Any]:
            return {"event": "epoch", "epoch": number, "metrics": {}, "attempt": attempt}

        add_attempt(record, 1, *(epoch(n, 1) for n in range(4)))
        add_attempt(record, 2, {"event": "started"}, epoch(2, 2))
        add_attempt(record, 10, epoch(3, 10), epoch(4, 10), {"event": "complete"})
        assert [(e["epoch"], e["attempt"]) for e in record.history()] == [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 10),
            (4, 10),
        ]


class TestFiles:
    """config.json and summary.json, damaged or foreign."""

    @pytest.mark.parametrize(
        "content", [b"", b'{"cell": "c', b"\xff\xff", b"[1, 2]", b'"text"', b"null"]
    )
    def test_a_damaged_file_is_named(self, record: RunRecord, content: bytes) -> None:
        for name, read in (("config.json", record.identity), ("summary.json", record.summary)):
            (record.path / name).write_bytes(content)
            with pytest.raises(EchoLMError) as caught:
                read()
            assert str(record.path / name) in str(caught.value)
        with pytest.raises(EchoLMError, match="summary.json"):
            record.file("predictions.parquet")
        with pytest.raises(EchoLMError, match=r"config.json"):
            record.create(IDENTITY)

    def test_created_twice_is_created_once(self, record: RunRecord) -> None:
        before = (record.path / "config.json").stat()
        record.create(IDENTITY)
        assert (record.path / "config.json").stat().st_mtime_ns == before.st_mtime_ns
        assert record.identity() == IDENTITY

    def test_a_field_that_is_new_since_does_not_make_it_foreign(self, record: RunRecord) -> None:
        record.create({**IDENTITY, "config": {"seed": 0, "new": None}})
        assert record.identity() == IDENTITY

    def test_a_folder_of_another_run_is_refused(self, record: RunRecord) -> None:
        other = {**IDENTITY, "fingerprint": "f" * 16 + "e" * 48}
        with pytest.raises(
            EchoLMError,
            match=f"holds fingerprint {'f' * 64}, not {'f' * 16}e.*move the folder away",
        ):
            record.create(other)

    def test_a_folder_of_something_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "c" / "f"
        path.mkdir(parents=True)
        (path / "config.json").write_text('{"model": "other"}')
        with pytest.raises(EchoLMError, match="holds fingerprint None"):
            RunRecord(path).create(IDENTITY)

    @pytest.mark.parametrize("name", ["", "attempts"])
    def test_a_file_in_the_place_of_a_folder_is_named(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / "c" / name if name else tmp_path / "c"
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        with pytest.raises(StorageError, match="cannot be written") as caught:
            RunRecord(tmp_path / "c").create(IDENTITY)
        assert str(path) in str(caught.value)

    def test_names_that_are_no_attempts_are_left_out(self, record: RunRecord) -> None:
        for name in ("x", "1.tmp", "-1", ".nfs0001"):
            (record.path / "attempts" / name).mkdir()
        assert record.attempts() == [] and record.state().name == "pending"

    def test_a_file_of_a_run_that_is_not_complete(self, record: RunRecord) -> None:
        add_attempt(record, 1, {"event": "failed"})
        with pytest.raises(
            EchoLMError, match="the run is failed, not complete; it has no best.safetensors"
        ):
            record.file("best.safetensors")

    def test_files_are_those_of_the_winner(self, record: RunRecord) -> None:
        add_attempt(record, 1)
        add_attempt(record, 2)
        write_atomic(record.path / "summary.json", b'{"attempt": 1}')
        assert record.file("best.safetensors") == record.attempt_path(1) / "best.safetensors"

    def test_what_is_not_there_is_not_found(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_json(tmp_path / "none.json")


class TestWriteAtomic:
    """Readers see the old file or the new one."""

    def test_nothing_else_is_left(self, tmp_path: Path) -> None:
        for content in (b"one", b"two"):
            write_atomic(tmp_path / "x", content)
            assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": content}

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_after_an_error_the_old_file_stays_alone(
        self, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_atomic(tmp_path / "x", b"old")

        def fail(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(StorageError, match=r"x: cannot be written: No space left on device"):
            write_atomic(tmp_path / "x", b"new")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"old"}

    def test_processes_with_one_number_do_not_share_a_temporary_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Containers on two hosts: the second writes the same file while the first is at it."""
        monkeypatch.setattr(os, "getpid", lambda: 1)
        replace = os.replace

        def second(*arguments: Any) -> None:
            monkeypatch.setattr(os, "replace", replace)
            write_atomic(tmp_path / "x", b"second")
            replace(*arguments)

        monkeypatch.setattr(os, "replace", second)
        write_atomic(tmp_path / "x", b"first")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"first"}


class TestFind:
    """Records of a cell."""

    def test_newest_first(self, tmp_path: Path) -> None:
        for age, name in enumerate(["a", "b", "c"]):
            record = RunRecord.at(tmp_path, "cell", name * 64)
            record.create({**IDENTITY, "fingerprint": name * 64})
            os.utime(record.path / "config.json", ns=(0, age * 10**9))
        (tmp_path / "cell" / "half").mkdir()
        (tmp_path / "cell" / "cancelled").touch()
        assert [record.path.name[0] for record in find_records(tmp_path, "cell")] == ["c", "b", "a"]

    def test_the_state_of_a_cell_is_complete_where_one_run_is(self, tmp_path: Path) -> None:
        states = []
        for number, fingerprint in enumerate("abc"):
            record = RunRecord.at(tmp_path, "cell", fingerprint * 64)
            states.append(cell_state(tmp_path, "cell"))
            record.create({**IDENTITY, "fingerprint": fingerprint * 64})
            os.utime(record.path / "config.json", ns=(0, number))
            attempt = Attempt.acquire(record)
            if fingerprint == "b":
                attempt.publish({}, [])
            attempt.release("failed" if fingerprint == "a" else None)
        assert [*states, cell_state(tmp_path, "cell")] == [
            "pending",
            "failed",
            "complete",
            "complete",
        ]
        (tmp_path / "other").mkdir()
        assert cell_state(tmp_path, "other") == "pending"
        (tmp_path / "other" / "cancelled").touch()
        assert cell_state(tmp_path, "other") == "cancelled"

    def test_none(self, tmp_path: Path) -> None:
        assert find_records(tmp_path / "nowhere", "cell") == find_records(tmp_path, "cell") == []


class TestHostilePaths:
    """A workspace may have any name that a folder can have."""

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_whole_run(self, tmp_path: Path, name: str) -> None:
        workspace = Workspace(tmp_path / name)
        record = RunRecord.at(workspace.runs, "c" * 16, "f" * 64)
        record.create(IDENTITY)
        attempt = Attempt.acquire(record)
        attempt.write("predictions.parquet", b"rows")
        attempt.publish({}, ["predictions.parquet"])
        attempt.release()
        [record] = find_records(workspace.runs, "c" * 16)
        assert (
            record.state().name == "complete"
            and record.file("predictions.parquet").read_bytes() == b"rows"
        )

    @pytest.mark.parametrize("name", HOSTILE)
    def test_workspace_folders(
        self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ECHOLM_WORKSPACE", str(tmp_path / name))
        monkeypatch.delenv("ECHOLM_WEIGHTS", raising=False)
        workspace = Workspace.default()
        assert workspace.root == tmp_path / name and workspace.stores() == []
        (workspace.store("b")).mkdir(parents=True)
        (workspace.store("a")).symlink_to(workspace.store("b"), target_is_directory=True)
        (workspace.root / "data" / "notes.txt").touch()
        assert workspace.stores() == ["a", "b"]
        assert workspace.weights == workspace.root / "weights"

    def test_workspace_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ECHOLM_WORKSPACE", raising=False)
        monkeypatch.chdir(tmp_path)
        assert Workspace.default().root == tmp_path / "echolm-workspace"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
        monkeypatch.setenv("ECHOLM_WEIGHTS", "/weights")
        assert (Workspace.default().tracking_uri, Workspace.default().weights) == (
            "http://server",
            Path("/weights"),
        )


def test_provenance_is_plain_and_names_commit_versions_and_host() -> None:
    from echolm.provenance import provenance

    facts = provenance()
    assert json.loads(json.dumps(facts)) == facts
    assert (
        facts["host"] == socket.gethostname()
        and facts["versions"]["torch"]
        and facts["versions"]["python"]
    )
    assert facts["commit"] is None or len(facts["commit"].removesuffix("+changes")) == 40
