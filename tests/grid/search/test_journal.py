"""The journal of a search after a full disk, a quota, a power cut or a kill in a write.

What was complete stays, what was cut off never was, and the file stays one that Optuna reads.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from search_support import Searches, outcome, told

from echolm.errors import EchoLMError, StorageError
from grid.search.folder import read_search
from grid.search.journal import BLOCK, TrialJournal
from grid.search.study import Study
from grid.search.worker import run_worker

ROOT = Path(__file__).parents[3]


def entry(number: int, size: int = 0) -> dict[str, Any]:
    """An entry of Optuna's form. What it says matters to none of these tests."""
    return {"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {str(number): "ü" * size}}


def by_optuna(path: Path) -> list[dict[str, Any]]:
    """The entries as Optuna's own backend reads them."""
    return list(JournalFileBackend(str(path)).read_logs(0))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit on the size of what this process writes, as ``prlimit --fsize`` sets it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a journal is. Thousands of lines are written here, so none waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    return tmp_path / "study.journal"


@pytest.mark.parametrize("rest", [b"", b"\0\0\0", b"\0\n", b"\xff\xfe"], ids=repr)
def test_a_journal_cut_at_every_byte_of_its_last_lines(path: Path, rest: bytes) -> None:
    """``rest`` is what a power cut may leave behind the cut."""
    TrialJournal(path).append_logs([entry(number) for number in range(4)])
    whole = path.read_bytes()
    ends = [position + 1 for position, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[0] + 1, len(whole) + 1):
        path.write_bytes(whole[:cut] + rest)
        complete = [entry(number) for number, end in enumerate(ends) if end <= cut]
        journal = TrialJournal(path)
        assert list(journal.read_logs(0)) == complete
        journal.append_logs([entry(9)])
        added = [*complete, entry(9)]
        assert list(journal.read_logs(0)) == added
        assert list(journal.read_logs(len(added) - 1)) == [entry(9)]
        assert by_optuna(path) == added, "Optuna's own tools read it"


def test_a_write_that_fails_at_every_byte_leaves_nothing(path: Path) -> None:
    journal = TrialJournal(path)
    journal.append_logs([entry(0), entry(1)])
    before = path.read_bytes()
    for room in range(len(before) // 2):
        with largest_file(len(before) + room):
            with pytest.raises(StorageError, match=r"study\.journal: cannot be written: File too"):
                journal.append_logs([entry(2)])
        assert path.read_bytes() == before
    journal.append_logs([entry(2)])
    assert by_optuna(path) == list(TrialJournal(path).read_logs(0)) == [entry(n) for n in range(3)]


def test_an_entry_longer_than_a_block_is_cut_whole(path: Path) -> None:
    journal = TrialJournal(path)
    journal.append_logs([entry(0), entry(1, BLOCK)])
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 2)
    journal.append_logs([entry(2)])
    assert by_optuna(path) == [entry(0), entry(2)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 1)),
        st.tuples(st.just("read"), st.integers(0, 1)),
        st.tuples(st.just("cut"), st.integers(1, 60)),
        st.tuples(st.just("begin"), st.integers(1, 60)),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(steps=STEPS)
def test_two_processes_agree_whatever_is_cut(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """``begin`` is a write of which so many bytes came to the disk."""
    path = tmp_path_factory.mktemp("journal") / "study.journal"
    journals = [TrialJournal(path), TrialJournal(path)]
    seen: list[list[dict[str, Any]]] = [[], []]
    model: list[dict[str, Any]] = []
    line = str(entry(0)).replace("'", '"').replace(" ", "").encode()
    for number, (what, value) in enumerate(steps):
        if what == "append":
            journals[value].append_logs([entry(number)])
            model.append(entry(number))
        elif what == "read":
            seen[value] += journals[value].read_logs(len(seen[value]))
            assert seen[value] == model
        elif what == "begin":
            with open(path, "ab") as file:
                file.write(line[:value])
            journals[0].append_logs([entry(number)])
            model.append(entry(number))
        elif path.read_bytes().endswith(b"\n") and model not in seen:
            # Of the last entry, which nobody has seen, a part is lost.
            last = len(path.read_bytes().splitlines(keepends=True)[-1])
            with open(path, "r+b") as file:
                file.truncate(path.stat().st_size - min(value + 1, last))
            model.pop()
    for journal, entries in zip(journals, seen, strict=True):
        entries += journal.read_logs(len(entries))
        assert entries == model
    assert by_optuna(path) == model


def test_what_an_earlier_version_wrote_behind_a_cut_line_counts(path: Path) -> None:
    TrialJournal(path).append_logs([entry(0), entry(1)])
    first, second = path.read_bytes().splitlines(keepends=True)
    for cut in range(1, len(first) - 1):
        path.write_bytes(first + second[:cut] + second + first[: cut // 2] + first + second)
        assert list(TrialJournal(path).read_logs(0)) == [entry(0), entry(1), entry(0), entry(1)]


def test_damage_before_the_last_line_is_named_and_nothing_is_taken_away(
    searches: Searches,
) -> None:
    study = searches.start()
    study.ask(1)
    lines = study.path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:-20] + b"\0" * 19 + b"\n"
    study.path.write_bytes(b"".join(lines))
    with pytest.raises(EchoLMError, match=r"study.journal: damaged \(line 2 is no entry\); resto"):
        Study(study.search, searches.folder(study), make=True)
    assert study.path.read_bytes() == b"".join(lines)


def test_a_search_goes_on_wherever_its_journal_was_cut(searches: Searches) -> None:
    """Also where nothing of it is left."""
    undisturbed = outcome(searches.run(searches.start("undisturbed"), 2))
    study = searches.start()
    searches.run(study, 1)
    whole = study.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    cuts = [0]
    for number, line in enumerate(lines):
        before = sum(len(line) for line in lines[:number])
        cuts += [before + len(line) // 2, before + len(line) - 1]
    for cut in cuts:
        study.path.write_bytes(whole[:cut])
        again = searches.start()
        assert outcome(searches.run(again, 2)) == undisturbed
        assert told(searches.folder(again)) == [1, 1]


def test_a_journal_that_cannot_be_written_for_a_while_costs_no_trial(
    searches: Searches, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = outcome(searches.run(searches.start("undisturbed"), 1))
    study = searches.start()
    study.ask(1)
    append = TrialJournal.append_logs

    def full(journal: TrialJournal, logs: list[dict[str, Any]]) -> None:
        raise StorageError(f"{study.path}: cannot be written: No space left on device")

    monkeypatch.setattr(TrialJournal, "append_logs", full)
    with pytest.raises(StorageError, match="No space left"):
        searches.run(study, 1)
    assert "trial 0 goes on: " in capsys.readouterr().err
    record = searches.record(study, searches.found(study)[0].cell)
    assert record.state().name == "complete"
    monkeypatch.setattr(TrialJournal, "append_logs", append)
    assert outcome(searches.run(study, 1)) == undisturbed
    assert record.attempts() == [1], "what was trained is not trained again"


def test_a_worker_under_a_limit_of_the_shell_and_the_same_command_without(
    searches: Searches,
) -> None:
    """``prlimit --fsize`` cuts its next entry off."""
    study = searches.start()
    searches.run(study, 1)
    folder = searches.folder(study)
    command = [sys.executable, "-m", "cluster.search_worker", str(folder), "2", "cpu"]
    limited = ["prlimit", f"--fsize={study.path.stat().st_size + 40}", *command]
    before = study.path.read_bytes()
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(limited, cwd=ROOT, text=True, **pipes) as worker:
        status = worker.wait()  # its input stays open: at its end it would stop by itself
        said = worker.stderr.read() if worker.stderr else ""
    assert status == 1 and "Traceback" not in said, said
    assert f"error: {study.path}: cannot be written: File too large" in said
    assert study.path.read_bytes() == before
    assert run_worker(folder, 2, "cpu")
    assert [trial.state for trial in searches.found(study)] == ["complete"] * 2
    assert told(folder) == [1, 1]


def test_a_stored_study_keeps_its_name_and_a_new_one_is_called_like_its_search(
    searches: Searches,
) -> None:
    import optuna

    study = searches.start("toy", metric="dice/ED")
    storage = JournalStorage(JournalFileBackend(str(study.path)))
    shown = optuna.load_study(study_name=None, storage=storage)
    assert (shown.study_name, shown.metric_names) == ("toy", ["dice/ED"])
    assert shown.direction.name == "MAXIMIZE"

    earlier = searches.start("earlier")
    earlier.path.unlink()
    storage = JournalStorage(JournalFileBackend(str(earlier.path)))
    optuna.create_study(storage=storage, study_name="search", direction="minimize")
    folder = searches.folder(earlier)
    for _ in range(2):
        assert run_worker(folder, 1, "cpu")
        Study(read_search(folder), folder, make=True)
    shown = optuna.load_study(study_name=None, storage=storage)
    assert (shown.study_name, len(shown.trials)) == ("search", 1)
