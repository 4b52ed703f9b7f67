"""A run in training. Rank 0 holds its attempt. On other ranks every write does nothing."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from echolm.arithmetic import PLAIN, describe_all
from echolm.attempt import Attempt, Busy, Complete
from echolm.files import writing
from echolm.kept_weights import Keep, halved
from echolm.outages import OutageError, lost_workspace
from echolm.prediction_file import as_parquet
from echolm.provenance import code_facts, provenance
from echolm.record import WEIGHTS
from echolm.states import FailureClass, RunState
from echolm.training import checkpoint
from echolm.training.failures import describe_error, failure_class, release_frames, traceback_text
from echolm.training.half_weights import begins_with_half
from echolm.training.live import LiveProgress, write_live
from echolm.training.member import Member
from echolm.training.prepare import PreparedRun
from echolm.training.tensor_files import read_tensors, write_tensors
from echolm.training.writes import PendingWrites

_REFERRING = 2
"""Checkpoints of an attempt that stay, and with them the best weights that they refer to."""


@dataclass
class TrainingProgress:
    """Where a run stands.

    Attributes:
        epoch: the current epoch, from 0.
        step: optimiser steps taken in the current epoch.
        loss_sum: the sum of the losses of the current epoch's samples.
        count: how many samples these are, or the sum of their denominators (``Goal.loss``).
        best_epoch: the epoch after which the weights were the best. -1: none yet.
        best_value: the selecting metric then, negative where higher is better.
        done: whether the last epoch is over.
        seconds: those of finished epochs.
        epoch_seconds: those of the current epoch.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    count: float = 0
    best_epoch: int = -1
    best_value: float | None = None
    done: bool = False
    seconds: float = 0.0
    epoch_seconds: float = 0.0

    def seconds_left(self, epochs: int, steps: int) -> float | None:
        """Estimate the seconds until the last epoch is over.

        Epochs that are over count with their validation. In the first one, its steps alone count.

        Args:
            epochs: how many the run has.
            steps: optimiser steps of an epoch.

        Returns:
            None while nothing is known.
        """
        if self.done:
            return 0.0
        if self.epoch:
            epoch_s = self.seconds / self.epoch
        elif self.step:
            epoch_s = self.epoch_seconds / self.step * steps
        else:
            return None
        left_s = epoch_s * (epochs - self.epoch) - self.epoch_seconds
        return round(max(left_s, 0.0), 1)

    def next_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.seconds += self.epoch_seconds
        self.epoch += 1
        self.step = 0
        self.loss_sum = 0.0
        self.count = 0
        self.epoch_seconds = 0.0


@dataclass(frozen=True)
class Outcome:
    """How ``fit`` left a run.

    Attributes:
        cell: the run's cell.
        state: complete, failed, interrupted, cancelled, pruned, superseded, busy, or refused (it
            cannot be computed this way, and nothing was written).
        detail: the reason in words.
        metrics: the results of a complete run.
        outage: whether it was interrupted because something was away.
    """

    cell: str
    state: str
    detail: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    outage: bool = False


class RunHandle:
    """The state of one run during training: its record on rank 0 and its network on every rank.

    Attributes:
        prepared: the run.
        attempt: what writes, on rank 0.
        source: the checkpoint to continue from, on rank 0.
        position: (epoch, step) to continue from.
        member: its network, once it is built.
        progress: where it stands.
        outcome: how it ended, once it has.
        error: an error on this rank that the ranks have not agreed on yet.
        selecting_value: that of the last validation, as ``TrainingProgress.best_value``.
        cancelled: whether it is marked as cancelled, as all ranks know since the last step.
    """

    def __init__(self, prepared: PreparedRun, excuses: bool = True, keep: str = Keep.BEST) -> None:
        """Take a run.

        Args:
            prepared: the run.
            excuses: whether an outage lets the run be continued. Else it fails of it.
            keep: a ``Keep``: what becomes of its weights when it is complete.
        """
        self.prepared = prepared
        self._excuses = excuses
        self._keep = Keep(keep)
        self._writes = PendingWrites()
        self._best_epochs: dict[tuple[int, int], int] = {}
        """Place of each checkpoint that stays -> the best epoch that it refers to, oldest first."""
        self._owed: tuple[Path, dict[str, Any]] | None = None
        """The file of events that could not take the attempt's ending, and that ending."""
        self.config = prepared.config
        self.attempt: Attempt | None = None
        self.source: Path | None = None
        self.position = (0, 0)
        self.member: Member
        self.progress = TrainingProgress()
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.selecting_value = 0.0
        self.cancelled = False

    @property
    def active(self) -> bool:
        """Whether the run has not ended here."""
        return self.outcome is None

    @property
    def moved(self) -> bool:
        """Whether a step was done since the run was taken."""
        return (self.progress.epoch, self.progress.step) > self.position

    def acquire(self, patience_s: float, heartbeat_s: float) -> Outcome | None:
        """Take the run's record and find its newest checkpoint.

        Returns:
            The Outcome when that is refused, else None.
        """
        cell, record = self.prepared.cell, self.prepared.record
        if record.cancelled():
            detail = "marked as cancelled; echolm retry takes the mark away"
            return Outcome(cell, RunState.CANCELLED, detail)
        try:
            if missing := lost_workspace(record.path):
                raise OutageError(missing)  # nothing is written into an empty mount point
            record.create(self.prepared.identity)
            self.attempt = Attempt.acquire(record, patience_s, heartbeat_s)
            self.source = checkpoint.newest(record)
            if self.source:
                self.position = checkpoint.position(self.source)
        except Complete:
            return Outcome(cell, RunState.COMPLETE, "was complete before")
        except Busy as error:
            return Outcome(cell, "busy", str(error))
        except Exception as error:
            self.fail(error)
        return self.outcome

    def event(self, event: str, **fields: Any) -> None:
        """Append to the attempt's events."""
        if self.attempt:
            self.attempt.event(event, **fields)

    def log(self, text: str) -> None:
        """Append a line to the attempt's text log, if the disk takes it."""
        if not self.attempt:
            return
        path = self.attempt.path / "log.txt"
        with suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def show(self, live: LiveProgress) -> None:
        """Write down where the run stands, for those who watch it."""
        if self.attempt:
            write_live(self.attempt.path, live)

    def read_checkpoint(self) -> dict[str, Any] | None:
        """Return the state to continue from, on rank 0.

        The attempt links the best weights that it refers to.
        """
        if self.attempt is None or self.source is None:
            return None
        state = checkpoint.load(self.source)
        best_epoch = state["progress"]["best_epoch"]
        if best_epoch >= 0:
            name = best_name(best_epoch)
            os.link(self.source.with_name(name), self.attempt.path / name)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.member.load_state(state)
        self.progress = TrainingProgress(**state["progress"])

    @property
    def is_writing(self) -> bool:
        """Whether a file is still on its way to the disk."""
        return self._writes.busy

    def notice_failed_write(self) -> None:
        """Take the error of a file that could not be written since the last look as the run's."""
        self.error = self.error or self._writes.error()

    def save_checkpoint(self, wait: bool = True) -> None:
        """Write member and progress, as they are now.

        Args:
            wait: whether it is on the disk when this returns. Else a thread brings it there, and
                its error comes later, by ``notice_failed_write`` or from the next file.

        Raises:
            StorageError: it, or a file before it, could not be written.
        """
        if not self.attempt:
            return
        state = {
            **self.member.state(),
            "progress": asdict(self.progress),
            "epoch": self.progress.epoch,
            "step": self.progress.step,
        }
        self.attempt.flush_events()  # who goes on from here has the epochs before it
        written = checkpoint.write(self.attempt, state)
        place = self.progress.epoch, self.progress.step
        best_epoch = self.progress.best_epoch

        def finish() -> None:
            written.finish()
            self._drop_unneeded_best(place, best_epoch)

        self._writes.add(finish, written.size)
        if wait:
            self._writes.wait()

    def _drop_unneeded_best(self, place: tuple[int, int], best_epoch: int) -> None:
        """Delete best weights that no checkpoint refers to which stays.

        Args:
            place: (epoch, step) of the newest checkpoint. A run may be saved twice at one.
            best_epoch: what the newest checkpoint refers to. Later ones are not on the disk yet.
        """
        assert self.attempt
        self._best_epochs[place] = best_epoch
        for old in list(self._best_epochs)[:-_REFERRING]:
            del self._best_epochs[old]
        needed = {best_name(epoch) for epoch in self._best_epochs.values()}
        for path in self.attempt.path.glob("best-*.safetensors"):
            if path.name not in needed and path.name < best_name(best_epoch):
                path.unlink(missing_ok=True)

    def keep_best(self, value: float) -> None:
        """Save the member's tensors as those that the run is to keep, after the current epoch."""
        self.progress.best_epoch = self.progress.epoch
        self.progress.best_value = value
        if not self.attempt:
            return
        tensors = {}
        for name, tensor in self.member.tensors().items():
            tensors[name] = tensor.cpu().contiguous()
        path = self.attempt.path / best_name(self.progress.best_epoch)
        size = sum(tensor.nbytes for tensor in tensors.values())
        self._writes.add(self._write_tensors(path, tensors), size)

    def _write_tensors(self, path: Path, tensors: dict[str, Any]) -> Callable[[], None]:
        """Hand tensors to the operating system.

        Returns:
            What brings them to the disk under the name ``path``.
        """
        assert self.attempt
        self.attempt.fence()
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")

        def finish() -> None:
            with writing(path):
                try:
                    with open(temporary, "rb") as file:
                        os.fsync(file.fileno())
                    os.replace(temporary, path)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise

        with writing(path):
            try:
                write_tensors(tensors, temporary, {"cell": self.prepared.cell})
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return finish

    def best_tensors(self) -> dict[str, Any]:
        """Return the best weights, on rank 0.

        Raises:
            StorageError: a file of the run could not be written.
        """
        if not self.attempt:
            return {}
        self._writes.wait()
        return read_tensors(self.attempt.path / best_name(self.progress.best_epoch))

    def arithmetic_facts(self) -> dict[str, str]:
        """Return ``arithmetic``: how its attempts were computed, in words. Nothing if in fp32."""
        words = describe_all(self.prepared.record.arithmetic())
        return {} if words in ("", PLAIN) else {"arithmetic": words}

    def publish(
        self, metrics: dict[str, float], rows: pa.Table | None, facts: dict[str, Any]
    ) -> None:
        """Complete the run on rank 0.

        Predictions, the weights that are kept and summary are written, then the checkpoints are
        dropped.

        Args:
            metrics: the results.
            rows: the predictions. None: the run keeps none.
            facts: what else the summary says.
        """
        assert self.attempt
        self._writes.wait()
        files = []
        if rows is not None:
            self.attempt.write("predictions.parquet", as_parquet(rows))
            files.append("predictions.parquet")
        if self._keep != Keep.NONE:
            self._write_kept()
            files.append(WEIGHTS)
        if self._keep != Keep.BEST:
            facts = {**facts, "keep": str(self._keep)}
        if begins_with_half(self.prepared):
            facts = {**facts, "first_weights": str(Keep.HALF)}
        summary = {
            "cell": self.prepared.cell,
            "fingerprint": self.prepared.identity["fingerprint"],
            "metrics": metrics,
            "best_epoch": self.progress.best_epoch,
            "epochs": self.progress.epoch,
            "seconds": round(self.progress.seconds, 3),
            "provenance": {**provenance(), **code_facts(self.config)},
            **facts,
        }
        self.attempt.publish(summary, files)
        checkpoint.discard(self.prepared.record)

    def _write_kept(self) -> None:
        """Give the weights that are kept their name."""
        assert self.attempt
        best = self.attempt.path / best_name(self.progress.best_epoch)
        path = self.attempt.path / WEIGHTS
        if self._keep == Keep.BEST:
            os.link(best, path)
        else:
            self._write_tensors(path, halved(read_tensors(best)))()

    def fail(self, error: Exception, **evidence: Any) -> None:
        """End as failed, with class, traceback and where it happened.

        End as superseded if another attempt has begun. An outage interrupts the run.
        """
        kind = failure_class(error)
        if kind == FailureClass.SUPERSEDED or self._is_replaced():
            self.end(FailureClass.SUPERSEDED, str(error))
            return
        state = RunState.FAILED
        if kind == FailureClass.OUTAGE:
            if self._excuses:
                state = RunState.INTERRUPTED
            else:  # all is there, and the same has happened again and again
                kind = FailureClass.DATA
        trace = traceback_text(error)
        self.log(trace)
        fields = {"class": kind, "error": describe_error(error), "traceback": trace, **evidence}
        self.end(
            state,
            describe_error(error),
            epoch=self.progress.epoch,
            step=self.progress.step,
            **fields,
        )

    def _is_replaced(self) -> bool:
        if not self.attempt:
            return False
        try:
            return self.attempt.number < max(self.prepared.record.attempts(), default=0)
        except OSError:  # nobody can say so now: the next attempt finds out
            return False

    def release_memory(self) -> None:
        """Drop the network, its optimiser, and what an error's traceback holds, after the end."""
        if self.error is not None:
            release_frames(self.error)
            self.error = None
        if hasattr(self, "member"):
            del self.member

    def end(
        self, state: str, detail: str = "", metrics: dict[str, float] | None = None, **fields: Any
    ) -> None:
        """Release the attempt with its ending event.

        ``complete`` has been written by then.
        """
        self._writes.close()
        outage = state == RunState.INTERRUPTED and fields.get("class") == FailureClass.OUTAGE
        self.outcome = Outcome(self.prepared.cell, state, detail, metrics or {}, outage)
        if not self.attempt:
            return
        ending = None if state == RunState.COMPLETE else str(state)
        if detail:
            fields = {"reason": detail, **fields}
        events = self.attempt.path / "events.jsonl"
        try:
            self.attempt.release(ending, **fields)
        except OSError:
            # Without its ending the attempt is judged like that of a killed process.
            if ending is not None:
                self._owed = events, {"event": ending, "time": time.time(), **fields}
        self.attempt = None

    def write_owed_ending(self) -> None:
        """Write the ending that the disk did not take when the attempt ended.

        Else the next attempt would wait for a heartbeat of this one.
        """
        if not self._owed:
            return
        path, event = self._owed
        with suppress(OSError), open(path, "r+b") as file:  # not where it is gone
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + json.dumps(event, default=str).encode() + b"\n")
            self._owed = None


def best_name(epoch: int) -> str:
    """Name the file of the weights that were the best so far after ``epoch``."""
    return f"best-{epoch:05d}.safetensors"
