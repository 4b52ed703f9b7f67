"""Saving while the training goes on: memory, minutes, threads, errors, kills."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from training_support import (
    Fault,
    Reference,
    Result,
    config,
    join,
    outcomes,
    record_of,
    start,
    start_ranks,
    train,
)

from echolm.errors import StorageError
from echolm.training import checkpoint, loop, tensor_files, writes
from echolm.training.checkpoint_times import CheckpointTimes
from echolm.training.cohorts import CHECKPOINT_MINUTES, Compute
from echolm.training.distributed import Ranks
from echolm.training.writes import PendingWrites
from echolm.workspace import Workspace

PATIENCE_S = 60
EACH_STEP = Compute(patience_s=0.6, heartbeat_s=0.05, checkpoint_minutes=0)
STEP = "echolm.training.loop:Cohort._step"


def test_a_large_checkpoint_adds_next_to_nothing_to_memory() -> None:
    """In a process of its own: 1.1 GB would add under 100 MB, and 240 MB as much less."""
    megabytes = 240
    script = (
        "from tests.benchmarks.checkpoints import measure; "
        f"print(measure('streamed', {megabytes})['added'])"
    )
    root = Path(__file__).parents[3]
    printed = subprocess.check_output([sys.executable, "-c", script], cwd=root, text=True)
    assert float(printed) < megabytes * 1e6 * (100 / 1130)


class TestMinutes:
    """Checkpoints within an epoch."""

    def test_a_kill_within_an_epoch_costs_the_steps_since_the_last_checkpoint(
        self, workspace: Workspace, reference: Reference, tmp_path: Path
    ) -> None:
        """In the second epoch, before its third step, of two runs that share their batches."""
        runs = [config(), config(trainable="k1")]
        fault = Fault(STEP, 6, "SIGKILL")
        process = start(workspace, runs, tmp_path / "out", [fault], EACH_STEP)
        assert join(process) == [-signal.SIGKILL]
        for run in runs:
            newest = checkpoint.newest(record_of(workspace, run))
            assert newest and checkpoint.position(newest) == (1, 2)
        train(workspace, *runs)
        for run in runs:
            assert record_of(workspace, run).events(2)[0]["step"] == 2
            assert Result.of(record_of(workspace, run)) == reference(run)

    def test_without_so_many_minutes_an_epoch_ends_with_the_only_one(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        process = start(workspace, [config()], tmp_path / "out", [Fault(STEP, 6, "SIGKILL")])
        assert join(process) == [-signal.SIGKILL]
        newest = checkpoint.newest(record_of(workspace, config()))
        assert newest and checkpoint.position(newest) == (1, 0)
        assert Compute().checkpoint_s == 60 * CHECKPOINT_MINUTES

    def test_on_two_ranks_the_first_saves_and_both_learn_of_its_error(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        """One run is saved at each step, and another whose second checkpoint fails."""
        save = "echolm.training.run_handle:RunHandle.save_checkpoint"
        cases = (
            (config(encoder="tiny-mvit", epochs=1), [], "complete"),
            (config(encoder="tiny-mvit", seed=1), [Fault(save, 2, "raise")], "failed"),
        )
        for run, faults, state in cases:
            out = tmp_path / state
            ranks = start_ranks(2, workspace, [run], out, faults=faults, compute=EACH_STEP)
            join(*ranks)
            assert [outcomes(out / rank)[0].state for rank in ("0", "1")] == [state, state]
        [failure] = record_of(workspace, cases[1][0]).failures()
        assert "an injected fault" in failure["error"] and failure["step"] == 2

    def test_an_epoch_whose_disk_is_still_busy_is_left_out_but_not_the_last(
        self, workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The thread is held until the run is over: nothing waits for it before."""
        gate = threading.Event()
        original = checkpoint.WrittenCheckpoint.finish
        saved: list[str] = []

        def finish(self: checkpoint.WrittenCheckpoint) -> Path:
            saved.append(self.stem)
            if len(saved) == 1:
                assert gate.wait(PATIENCE_S)
            return original(self)

        def open_gate(run: Any, epoch: int, metrics: Any) -> str:
            if epoch == 3:
                gate.set()
            return "continue"

        monkeypatch.setattr(writes, "WAITED_BYTES", 0)
        monkeypatch.setattr(checkpoint.WrittenCheckpoint, "finish", finish)
        run = config(epochs=4, select="last")
        [outcome] = train(workspace, run, on_epoch=open_gate)
        assert outcome.state == "complete", outcome
        assert saved == ["checkpoint-00001-0000000", "checkpoint-00004-0000000"]
        assert Result.of(record_of(workspace, run)) == reference(run)


class TestThread:
    """Files that are brought to the disk while the training goes on."""

    def test_results_are_the_same_as_without(
        self, workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Interrupted after each step, so that each is continued from what a thread wrote."""
        monkeypatch.setattr(writes, "WAITED_BYTES", 0)
        run = config()
        for _ in range(2):
            with monkeypatch.context() as patch:
                Fault("echolm.training.feed:ClipFeed.__call__", 2, "SIGTERM").install(patch.setattr)
                [outcome] = train(workspace, run, compute=EACH_STEP)
            assert outcome.state == "interrupted"
        train(workspace, run, compute=EACH_STEP)
        assert Result.of(record_of(workspace, run)) == reference(run)

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
    def test_an_error_ends_the_run_at_the_next_step_as_if_it_had_waited(
        self,
        number: int,
        workspace: Workspace,
        reference: Reference,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The disk takes no checkpoint of the first epoch. The run goes on when it does again."""
        failed = threading.Event()

        def finish(self: checkpoint.WrittenCheckpoint) -> Path:
            self.path.unlink()
            failed.set()
            path = self.attempt.path / self.stem
            raise StorageError(f"{path}: cannot be written") from OSError(number, "no room")

        original = loop.Cohort._step

        def stepping(self: loop.Cohort, step: loop.OptimiserStep) -> None:
            if step.epoch:
                assert failed.wait(PATIENCE_S)
            original(self, step)

        with monkeypatch.context() as patch:
            patch.setattr(writes, "WAITED_BYTES", 0)
            patch.setattr(checkpoint.WrittenCheckpoint, "finish", finish)
            patch.setattr(loop.Cohort, "_step", stepping)
            [outcome] = train(workspace, config(), compute=Compute(outage_s=0))
        assert outcome.state == "interrupted" and outcome.outage
        assert "cannot be written" in outcome.detail
        ending = record_of(workspace, config()).events(1)[-1]
        assert (ending["event"], ending["class"]) == ("interrupted", "outage")
        assert (ending["epoch"], ending["step"]) == (1, 0)
        train(workspace, config())
        assert Result.of(record_of(workspace, config())) == reference(config())

    def test_files_keep_their_order_and_the_first_error_is_raised_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pending = PendingWrites()
        gate, done = threading.Event(), list[int]()

        def finish(number: int) -> Callable[[], None]:
            def act() -> None:
                assert gate.wait(PATIENCE_S)
                done.append(number)
                if number == 1:
                    raise StorageError("no room")

            return act

        large = writes.WAITED_BYTES + 1
        pending.add(finish(0), large)
        pending.add(finish(1), large)
        assert pending.busy and pending.error() is None and done == []
        gate.set()
        with pytest.raises(StorageError, match="no room"):
            pending.add(finish(2), 1)  # a small one comes after those before it
        pending.add(finish(2), 1)
        assert done == [0, 1, 2] and not pending.busy and pending.error() is None
        pending.close()


class TestFaults:
    """What a full disk and a kill leave."""

    @pytest.mark.parametrize(
        ("where", "call", "position"),
        [
            ("_Sink.write", 1, None),
            ("_Sink.write", 30, None),
            ("WrittenCheckpoint.finish", 3, (0, 2)),
        ],
    )
    def test_a_kill_during_a_write_leaves_the_earlier_checkpoint(
        self,
        where: str,
        call: int,
        position: tuple[int, int] | None,
        workspace: Workspace,
        reference: Reference,
        tmp_path: Path,
    ) -> None:
        """In the stream of the first one, and before the third one has its name."""
        fault = Fault(f"echolm.training.checkpoint:{where}", call, "SIGKILL")
        process = start(workspace, [config()], tmp_path / "out", [fault], EACH_STEP)
        assert join(process) == [-signal.SIGKILL]
        record = record_of(workspace, config())
        newest = checkpoint.newest(record)
        assert (newest and checkpoint.position(newest)) == position
        assert list(record.path.glob("attempts/1/.*.tmp"))
        train(workspace, config())
        assert Result.of(record) == reference(config())
        assert not list(record.path.glob("attempts/*/.*.tmp"))

    def test_a_disk_that_is_full_within_the_stream(
        self, workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The system's error arrives, not one of torch about its archive."""

        class Full:
            def __init__(self, file: Any) -> None:
                self.file = file

            def write(self, content: Any) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        class Sink(checkpoint._Sink):
            def __init__(self, file: Any) -> None:
                super().__init__(Full(file))  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "_Sink", Sink)
            [outcome] = train(workspace, config(), compute=Compute(outage_s=0))
        assert outcome.state == "interrupted" and outcome.outage
        assert "No space left on device" in outcome.detail and "checkpoint-" in outcome.detail
        assert not list(record_of(workspace, config()).path.glob("attempts/1/.*.tmp"))
        train(workspace, config())
        assert Result.of(record_of(workspace, config())) == reference(config())

    def test_best_weights_that_do_not_fit(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """safetensors' own error becomes that of the system, which is waited for."""

        def full(*args: Any) -> None:
            raise SafetensorError("Error while serializing: I/O error: no room (os error 28)")

        monkeypatch.setattr(tensor_files, "save_file", full)
        [outcome] = train(workspace, config(), compute=Compute(outage_s=0))
        assert outcome.state == "interrupted" and outcome.outage
        assert "No space left on device" in outcome.detail

    def test_checkpoints_of_earlier_attempts_go_when_a_later_one_has_its_own(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that is preempted again and again does not fill the disk."""
        run = config(epochs=8)
        record = record_of(workspace, run)
        for _ in range(3):
            with monkeypatch.context() as patch:
                Fault("echolm.training.feed:ClipFeed.__call__", 9, "SIGTERM").install(patch.setattr)
                assert train(workspace, run)[0].state == "interrupted"
        kept = list(record.path.glob("attempts/*/checkpoint-*.pt"))
        assert {path.parent.name for path in kept} == {"3"} and len(kept) == 2
        loaded = checkpoint.load(max(kept))
        best = f"best-{loaded['progress']['best_epoch']:05d}.safetensors"
        assert max(kept).with_name(best).exists()


def test_streamed_weights_are_those_of_the_library(workspace: Workspace) -> None:
    """Byte for byte as ``safetensors`` writes them from memory, as earlier versions did."""
    train(workspace, config(epochs=1))
    record = record_of(workspace, config(epochs=1))
    path = record.file("best.safetensors")
    cell = record.identity()["cell"]
    assert path.read_bytes() == save(load_file(path), {"cell": cell})


def test_all_runs_of_a_cohort_are_saved_at_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they would not be together after a restart. An error stays with its run."""

    class Run:
        error: Exception | None = None
        is_writing = False
        saved = 0

        def save_checkpoint(self, wait: bool) -> None:
            self.saved += 1
            if self is runs[1]:
                raise StorageError("no room")

    runs: list[Any] = [Run(), Run(), Run()]
    times = CheckpointTimes(Ranks(), 0.0)
    assert times.is_due()
    times.save(runs)
    assert [run.saved for run in runs] == [1, 1, 1]
    assert [run.error is None for run in runs] == [True, False, True]
    times.save(runs)
    assert [run.saved for run in runs] == [2, 1, 2], "the last step of the second may be half made"
    runs[2].is_writing = True
    times.end_epoch(runs)
    assert not times.wants(False) and times.wants(True)
    assert not CheckpointTimes(Ranks(), 3600.0).is_due()
