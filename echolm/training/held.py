"""A held run: the record side of a member. Rank 0 holds the attempt; on other ranks every write does nothing."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file, save

from echolm.attempt import Attempt, Busy, Complete
from echolm.provenance import provenance
from echolm.record import PREDICTIONS_KEY, PREDICTIONS_SCHEMA
from echolm.training import checkpoint
from echolm.training.failures import describe, failure_class, trace
from echolm.training.member import Member
from echolm.training.prepare import PreparedRun


@dataclass
class Progress:
    """Where a run stands. ``step`` counts the optimiser steps of the current epoch; the sums are this epoch's.
    ``seconds`` are those of finished epochs, ``epoch_seconds`` those of the current one."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    count: int = 0
    best_epoch: int = -1
    best_value: float | None = None
    done: bool = False
    seconds: float = 0.0
    epoch_seconds: float = 0.0

    def next_epoch(self) -> None:
        """The current epoch is over."""
        self.seconds += self.epoch_seconds
        self.epoch, self.step, self.loss_sum, self.count, self.epoch_seconds = self.epoch + 1, 0, 0.0, 0, 0.0


@dataclass(frozen=True)
class Outcome:
    """How ``fit`` left a run: complete, failed, interrupted, cancelled, pruned, superseded, busy, or refused (it cannot
    be computed this way; nothing was written); ``detail`` in words."""

    cell: str
    state: str
    detail: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


class Held:
    """One run between its attempt (rank 0) and its member (every rank)."""

    def __init__(self, run: PreparedRun) -> None:
        self.run, self.config = run, run.config
        self.attempt: Attempt | None = None
        self.source: Path | None = None
        """The checkpoint to continue from, on rank 0."""
        self.place = (0, 0)
        """(epoch, step) to continue from."""
        self.member: Member
        self.progress = Progress()
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        """An error on this rank that the ranks have not agreed on yet."""
        self.step_loss = 0.0
        self.cancelled = False

    @property
    def active(self) -> bool:
        """Whether the run has not ended here."""
        return self.outcome is None

    def acquire(self, patience_s: float, heartbeat_s: float) -> Outcome | None:
        """Take the run's record and find its newest checkpoint; the Outcome when that is refused."""
        cell, record = self.run.cell, self.run.record
        if record.cancelled():
            return Outcome(cell, "cancelled", "marked as cancelled; echolm retry takes the mark away")
        try:
            record.create(self.run.identity)
            self.attempt = Attempt.acquire(record, patience_s, heartbeat_s)
            self.source = checkpoint.newest(record)
            self.place = checkpoint.place(self.source) if self.source else (0, 0)
        except Complete:
            return Outcome(cell, "complete", "was complete before")
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
        if self.attempt:
            with suppress(OSError), open(self.attempt.path / "log.txt", "a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The state to continue from, on rank 0. The attempt links the best weights it refers to."""
        if self.attempt is None or self.source is None:
            return None
        state = checkpoint.load(self.source)
        name = best_name(state["progress"]["best_epoch"])
        if state["progress"]["best_epoch"] >= 0:
            os.link(self.source.with_name(name), self.attempt.path / name)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.member.load_state(state)
        self.progress = Progress(**state["progress"])

    def save_checkpoint(self) -> None:
        """Write member and progress; drop best weights that none of the kept checkpoints refers to."""
        if self.attempt:
            content = {**self.member.state(), "progress": asdict(self.progress)}
            checkpoint.save(self.attempt, {**content, "epoch": self.progress.epoch, "step": self.progress.step})
            for path in sorted(self.attempt.path.glob("best-*.safetensors"))[:-3]:
                path.unlink(missing_ok=True)

    def keep_best(self, value: float) -> None:
        """Save the member's tensors as the best so far, after the current epoch."""
        self.progress.best_epoch, self.progress.best_value = self.progress.epoch, value
        if self.attempt:
            tensors = {name: tensor.cpu().contiguous() for name, tensor in self.member.tensors().items()}
            content = save(tensors, {"cell": self.run.cell})  # one entry: safetensors writes several in any order
            self.attempt.write(best_name(self.progress.best_epoch), content)

    def best_tensors(self) -> dict[str, Any]:
        """The best weights, on rank 0."""
        return load_file(self.attempt.path / best_name(self.progress.best_epoch)) if self.attempt else {}

    def publish(self, metrics: dict[str, float], rows: pa.Table, facts: dict[str, Any]) -> None:
        """Complete the run on rank 0: predictions, best weights, summary; then drop the checkpoints."""
        assert self.attempt
        buffer = pa.BufferOutputStream()
        metadata = {**(rows.schema.metadata or {}), PREDICTIONS_KEY: str(PREDICTIONS_SCHEMA).encode()}
        pq.write_table(rows.replace_schema_metadata(metadata), buffer, compression="zstd")
        self.attempt.write("predictions.parquet", buffer.getvalue().to_pybytes())
        os.link(self.attempt.path / best_name(self.progress.best_epoch), self.attempt.path / "best.safetensors")
        summary = {
            "cell": self.run.cell,
            "fingerprint": self.run.identity["fingerprint"],
            "metrics": metrics,
            "best_epoch": self.progress.best_epoch,
            "epochs": self.progress.epoch,
            "seconds": round(self.progress.seconds, 3),
            "provenance": provenance(),
            **facts,
        }
        self.attempt.publish(summary, ["best.safetensors", "predictions.parquet"])
        checkpoint.discard(self.run.record)

    def fail(self, error: Exception, **evidence: Any) -> None:
        """End as failed, with class, traceback and where it happened; or as superseded, if another attempt has begun."""
        kind, text = failure_class(error), trace(error)
        if kind == "superseded" or (self.attempt and self.attempt.number < max(self.run.record.attempts(), default=0)):
            return self.end("superseded", str(error))
        self.log(text)
        fields = {"class": kind, "error": describe(error), "traceback": text, **evidence}
        self.end("failed", describe(error), epoch=self.progress.epoch, step=self.progress.step, **fields)

    def end(self, state: str, detail: str = "", metrics: dict[str, float] | None = None, **fields: Any) -> None:
        """Release the attempt with its ending event (``complete`` has been written by then)."""
        self.outcome = Outcome(self.run.cell, state, detail, metrics or {})
        if self.attempt:
            reason = {"reason": detail} if detail else {}
            with suppress(OSError):  # a full disk: the missing ending is judged like a killed process
                self.attempt.release(None if state == "complete" else state, **reason, **fields)
            self.attempt = None


def best_name(epoch: int) -> str:
    """File of the weights that were the best so far after ``epoch``."""
    return f"best-{epoch:05d}.safetensors"
