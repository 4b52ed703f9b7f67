"""Holding a run record: one holder at a time.

Real processes are stopped, killed, and short of disk.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from echolm import attempt as attempt_module
from echolm import liveness
from echolm.attempt import Attempt, Busy, Complete, Superseded
from echolm.errors import StorageError
from echolm.record import RunRecord

WORKER = Path(__file__).with_name("attempt_worker.py")
IDENTITY, whole_run, check_complete = map(
    runpy.run_path(str(WORKER)).get, ("IDENTITY", "whole_run", "check_complete")
)
BEAT, PATIENCE = 0.1, 1.5


class Worker:
    """A process that holds attempts on command."""

    def __init__(
        self, record: RunRecord, *prefix: str, patience: float = PATIENCE, **environment: str
    ) -> None:
        command = [
            *prefix,
            sys.executable,
            str(WORKER),
            "talk",
            str(record.path),
            str(patience),
            str(BEAT),
        ]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **environment},
        )

    def tell(self, command: str) -> None:
        """Send a command."""
        assert self.process.stdin
        self.process.stdin.write(command + "\n")

    def answer(self) -> str:
        """What it said to the oldest command without an answer."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        """Send a command and wait for the answer."""
        self.tell(command)
        return self.answer()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; after SIGSTOP, wait until it is stopped."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            self.wait_until_stopped()

    def wait_until_stopped(self) -> None:
        """Until the kernel calls the process stopped."""
        while (
            Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"
        ):
            time.sleep(0.01)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    record = RunRecord(tmp_path / "runs" / "cell" / "fingerprint")
    record.create(IDENTITY)
    return record


@pytest.fixture
def start(record: RunRecord) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def begin(*prefix: str, **options: Any) -> Worker:
        workers.append(Worker(record, *prefix, **options))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.process.kill()
        worker.process.communicate()


def rewrite_holder(record: RunRecord, number: int, **facts: Any) -> None:
    """Let an attempt's holder be somebody else."""
    path = record.attempt_path(number) / "holder.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


class TestOneProcess:
    """An attempt from acquire to release."""

    def test_layout(self, record: RunRecord) -> None:
        whole_run(record, 0.3, "x")
        files = {
            str(path.relative_to(record.path)) for path in record.path.rglob("*") if path.is_file()
        }
        inside = {
            "holder.json",
            "heartbeat",
            "events.jsonl",
            "best.safetensors",
            "predictions.parquet",
            "summary.json",
        }
        assert files == {"config.json", "summary.json"} | {f"attempts/1/{name}" for name in inside}
        assert record.summary() == json.loads((record.attempt_path(1) / "summary.json").read_text())
        assert os.path.samefile(
            record.path / "summary.json", record.attempt_path(1) / "summary.json"
        )
        assert [event["event"] for event in record.events(1)] == ["started", "epoch", "complete"]
        assert check_complete(record)["attempt"] == 1

    def test_numbers_go_up(self, record: RunRecord) -> None:
        for number in range(1, 12):
            attempt = Attempt.acquire(record)
            attempt.release("interrupted")
            assert attempt.number == number
        assert record.attempts() == list(range(1, 12))

    def test_a_complete_run_is_not_acquired(self, record: RunRecord) -> None:
        whole_run(record, 0.3, "x")
        with pytest.raises(Complete, match="the run is complete"):
            Attempt.acquire(record)
        assert record.attempts() == [1]

    def test_a_run_that_completes_while_its_holder_is_judged_is_not_acquired(
        self, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, free = Attempt.acquire(record), attempt_module._is_free

        def completes_first(*arguments: Any) -> bool:
            first.publish({}, [])
            first.release()
            return free(*arguments)

        monkeypatch.setattr(attempt_module, "_is_free", completes_first)
        with pytest.raises(Complete):
            Attempt.acquire(record)
        assert record.attempts() == [1]

    def test_own_live_attempt_is_busy(self, record: RunRecord) -> None:
        attempt = Attempt.acquire(record, heartbeat_s=BEAT)
        with pytest.raises(Busy, match="attempt 1 is held by a running process"):
            Attempt.acquire(record, PATIENCE)
        attempt.release("failed")
        Attempt.acquire(record, PATIENCE).release()

    @pytest.mark.parametrize(
        "ending", ["failed", "interrupted", "cancelled", "pruned", "superseded"]
    )
    def test_an_ended_attempt_is_replaced_at_once(self, record: RunRecord, ending: str) -> None:
        Attempt.acquire(record).release(ending)
        rewrite_holder(record, 1, boot="another")
        assert Attempt.acquire(record, patience_s=1000).number == 2

    def test_values_that_are_not_finite_become_text(self, record: RunRecord) -> None:
        attempt = Attempt.acquire(record)
        values = {
            "a": float("nan"),
            "b": [float("inf"), {"c": -float("inf")}],
            "d": 1.5,
            "e": "ü\n",
            "f": None,
        }
        attempt.event("epoch", epoch=0, metrics=values)
        attempt.publish({"metrics": values}, [])
        expected = {"a": "nan", "b": ["inf", {"c": "-inf"}], "d": 1.5, "e": "ü\n", "f": None}
        assert record.history()[0]["metrics"] == expected
        assert check_complete(record)["metrics"] == expected
        attempt.release()

    def test_release_ends_the_heartbeat(self, record: RunRecord) -> None:
        before = threading.active_count()
        attempt = Attempt.acquire(record, heartbeat_s=0.01)
        beat = record.attempt_path(1) / "heartbeat"
        time.sleep(0.2)
        attempt.release("failed")
        last = beat.read_text()
        assert int(last) > 1
        time.sleep(0.1)
        assert beat.read_text() == last and threading.active_count() == before

    def test_after_release_nothing_is_written(self, record: RunRecord, tmp_path: Path) -> None:
        attempt = Attempt.acquire(record)
        attempt.release("failed")
        with open(tmp_path / "other", "w") as other:  # takes the number of the closed file
            with pytest.raises(StorageError):
                attempt.event("epoch")
            other.flush()
        assert (tmp_path / "other").read_text() == ""

    def test_published_twice_by_one_holder_is_published_once(self, record: RunRecord) -> None:
        attempt = Attempt.acquire(record)
        attempt.publish({"n": 1}, [])
        with pytest.raises(Superseded):
            attempt.publish({"n": 2}, [])
        attempt.release()
        assert check_complete(record)["n"] == 1

    def test_a_file_that_is_missing_is_not_published(self, record: RunRecord) -> None:
        attempt = Attempt.acquire(record)
        with pytest.raises(FileNotFoundError, match="predictions.parquet"):
            attempt.publish({}, ["predictions.parquet"])
        attempt.release("failed")
        assert record.summary() is None

    def test_a_lost_answer_of_link_is_no_loss(
        self, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Over NFS a link may have been made although the client is told that the name exists."""
        link = os.link

        def made_twice(*paths: Any) -> None:
            link(*paths)
            link(*paths)

        monkeypatch.setattr(os, "link", made_twice)
        attempt = Attempt.acquire(record)
        attempt.publish({}, [])
        attempt.release()
        check_complete(record)

    def test_a_folder_that_was_deleted_is_named(self, record: RunRecord) -> None:
        attempt = Attempt.acquire(record)
        shutil.rmtree(record.path)
        with pytest.raises(
            StorageError, match="attempts/1/checkpoint.pt: cannot be written: No such file"
        ):
            attempt.write("checkpoint.pt", b"x")
        attempt.release()


class TestSuperseded:
    """A holder that was stopped for long is replaced, and can then do no harm."""

    def test_stopped_replaced_continued(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        first, second = start(), start()
        assert first.ask("acquire") == "holds 1"
        assert first.ask("write checkpoint.pt first") == "ok"
        first.signal(signal.SIGSTOP)
        assert second.ask("acquire") == "holds 2"
        assert second.ask("write checkpoint.pt second") == "ok"
        first.signal(signal.SIGCONT)
        for command in ("write checkpoint.pt late", "write checkpoint.pt later", "publish first"):
            assert first.ask(command) == "Superseded"
        assert record.summary() is None
        assert first.ask("event epoch") == "ok", "into its own attempt"
        assert (record.attempt_path(1) / "checkpoint.pt").read_text() == "first"
        assert (record.attempt_path(2) / "checkpoint.pt").read_text() == "second"
        assert record.events(2) == []
        assert second.ask("publish second") == "ok"
        assert first.ask("publish first") == "Superseded"
        assert first.ask("release superseded") == "ok"
        assert (check_complete(record)["by"], record.state().name) == ("second", "complete")

    def test_stopped_between_its_last_look_and_the_link_it_may_win(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        first, second = start(), start()
        assert [first.ask("acquire"), first.ask("stop-before-link")] == ["holds 1", "ok"]
        first.tell("publish first")
        first.wait_until_stopped()
        assert second.ask("acquire") == "holds 2"
        first.signal(signal.SIGCONT)
        assert first.answer() == "ok"
        assert second.ask("publish second") == "Superseded"
        assert (check_complete(record)["by"], check_complete(record)["attempt"]) == ("first", 1)

    def test_stopped_between_its_last_look_and_the_link_it_may_lose(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        first, second = start(), start()
        assert [first.ask("acquire"), first.ask("stop-before-link")] == ["holds 1", "ok"]
        first.tell("publish first")
        first.wait_until_stopped()
        assert [second.ask("acquire"), second.ask("publish second")] == ["holds 2", "ok"]
        first.signal(signal.SIGCONT)
        assert first.answer() == "Superseded"
        assert (check_complete(record)["by"], check_complete(record)["attempt"]) == ("second", 2)

    def test_stopped_and_continued_together_the_observer_waits_for_a_beat(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        """As Ctrl-Z and fg do: the time that passed meanwhile says nothing about the holder."""
        holder, observer = start(), start(patience=PATIENCE)
        assert holder.ask("acquire") == "holds 1"
        rewrite_holder(record, 1, boot="another")
        holder.signal(signal.SIGSTOP)
        observer.tell("acquire")
        time.sleep(0.3)
        observer.signal(signal.SIGSTOP)
        time.sleep(PATIENCE)
        observer.signal(signal.SIGCONT)
        holder.signal(signal.SIGCONT)
        assert observer.answer() == "Busy"


class TestTakingOver:
    """Who counts as gone."""

    def test_eight_at_once(self, record: RunRecord, start: Callable[..., Worker]) -> None:
        workers = [start() for _ in range(8)]
        for generation in (1, 2):
            for worker in workers:
                worker.tell("acquire")
            answers = [worker.answer() for worker in workers]
            assert sorted(answers) == ["Busy"] * 7 + [f"holds {generation}"]
            holder = workers[answers.index(f"holds {generation}")]
            holder.process.kill()
            workers = [worker if worker is not holder else start() for worker in workers]

    def test_killed_here_is_replaced_at_once(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        worker = start()
        worker.ask("acquire")
        worker.process.kill()
        os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
        assert record.state().name == "interrupted"
        zombie = Attempt.acquire(record, patience_s=1000)
        zombie.release("failed")
        worker.process.wait()
        rewrite_holder(record, 2, pid=worker.process.pid)
        Attempt.acquire(record, patience_s=1000).release()

    def test_a_live_holder_is_busy_and_goes_on(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        worker = start()
        worker.ask("acquire")
        assert record.state().evidence == {} and record.state().name == "running"
        with pytest.raises(Busy):
            Attempt.acquire(record, PATIENCE)
        assert worker.ask("publish me") == "ok"
        assert record.attempts() == [1]

    def test_a_recycled_process_number_is_another_process(self, record: RunRecord) -> None:
        attempt = Attempt.acquire(record, heartbeat_s=1000)
        rewrite_holder(record, 1, started="12345")
        assert record.state().name == "interrupted"
        assert Attempt.acquire(record, patience_s=1000).number == 2
        with pytest.raises(Superseded):
            attempt.fence()

    @pytest.mark.parametrize(
        "elsewhere", [{"boot": "another"}, {"namespace": "pid:[1]"}, {"boot": ""}]
    )
    def test_elsewhere_only_the_heartbeat_counts(
        self, record: RunRecord, elsewhere: dict[str, str]
    ) -> None:
        """Neither a missing process number nor an equal one means anything there."""
        attempt = Attempt.acquire(record, heartbeat_s=BEAT)
        for pid in (1, os.getpid(), 4_000_000):
            rewrite_holder(record, 1, **elsewhere, pid=pid, started="1")
            with pytest.raises(Busy):
                Attempt.acquire(record, PATIENCE)
        attempt._heartbeat.stop()
        began = time.monotonic()
        assert Attempt.acquire(record, 0.5).number == 2
        assert time.monotonic() - began >= 0.5

    def test_in_another_process_namespace(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        unshare = ("unshare", "--pid", "--fork", "--kill-child")
        if subprocess.run([*unshare, "true"], capture_output=True).returncode:
            pytest.skip("process namespaces are not allowed here")
        worker = start(*unshare)
        assert worker.ask("acquire") == "holds 1"
        assert json.loads((record.attempt_path(1) / "holder.json").read_text())["pid"] == 1
        assert record.state().evidence == {"unseen": True}
        with pytest.raises(Busy):
            Attempt.acquire(record, PATIENCE)
        worker.process.kill()
        worker.process.wait()
        assert record.state().name == "running", "nobody can know yet"
        assert Attempt.acquire(record, 0.5).number == 2

    def test_a_process_hidden_from_this_user_is_not_dead(
        self, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """/proc mounted with hidepid shows no processes of other users."""
        Attempt.acquire(record, heartbeat_s=1000)

        def forbidden(pid: int, number: int) -> None:
            raise PermissionError

        monkeypatch.setattr(liveness, "_start_ticks", lambda pid: "")
        monkeypatch.setattr(os, "kill", forbidden)
        assert not liveness.known_dead(record.attempt_path(1))

    def test_an_earlier_start_of_the_same_slurm_job(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        worker = start(SLURM_JOB_ID="71", SLURM_RESTART_COUNT="1")
        worker.ask("acquire")
        rewrite_holder(record, 1, boot="another")
        for job, restart in (("71", "1"), ("71", "0"), ("72", "9"), ("", "9")):
            assert start(SLURM_JOB_ID=job, SLURM_RESTART_COUNT=restart).ask("acquire") == "Busy"
        again = start(SLURM_JOB_ID="71", SLURM_RESTART_COUNT="2", patience=1000)
        assert again.ask("acquire") == "holds 2"
        assert worker.ask("write x x") == "Superseded"

    def test_the_first_start_of_a_slurm_job_has_no_count(
        self, record: RunRecord, start: Callable[..., Worker]
    ) -> None:
        worker = start(SLURM_JOB_ID="71")
        worker.ask("acquire")
        rewrite_holder(record, 1, boot="another")
        assert (
            start(SLURM_JOB_ID="71", SLURM_RESTART_COUNT="1", patience=1000).ask("acquire")
            == "holds 2"
        )
