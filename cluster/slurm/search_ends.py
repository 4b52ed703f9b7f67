"""How the workers of a search ended: well, by their own word, or not, by SLURM's and their logs.

``<search>/jobs/<batch>/ended/<array>_<task>`` is made by a worker that had nothing left to do; ``<search>/jobs/retried`` holds
the time before which failures do not count any more.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.batch import Batch
from cluster.failures import classify, telling
from cluster.slurm.queue import QueuedJob, ask_sacct, scancel
from echolm.record import write_atomic

OUTSIDE = ("node-failure", "preempted", "time-limit", "cancelled")
"""Classes of ends that say nothing of the worker or its environment."""
CHARACTERS = 4000
"""Of the end of a log."""


@dataclass(frozen=True)
class Dead:
    """A worker that failed. ``words``: the line of its log that says why; ``kind``: the same without its numbers."""

    words: str
    log: Path

    @property
    def kind(self) -> str:
        """What is equal in failures of the same kind."""
        return re.sub(r"\d+", "0", self.words)


class Sent:
    """The workers that were submitted for a search, at the moment of looking. ``alive``: those that wait or run."""

    def __init__(self, jobs: Path, name: str, queued: Sequence[QueuedJob]) -> None:
        self._jobs = jobs
        self._arrays = [(batch, array) for batch in _batches(jobs) for array in batch.submitted()]
        since = {array["job"]: (batch.name, array["time"]) for batch, array in self._arrays}
        self._since = min((begun for _, begun in since.values()), default=0.0)
        self._seen = [job for job in queued if job.array in since and job.belongs(since[job.array][0], f"echolm-{name}", since[job.array][1])]
        self.alive = [job for job in self._seen if job.alive]

    def forgive(self) -> None:
        """What has failed until now does not count any more."""
        if self._arrays:
            write_atomic(self._jobs / "retried", str(time.time()).encode())

    def failed(self) -> list[Dead]:
        """Workers that failed and count, oldest first. A job that SLURM holds after a failed start is one; it is cancelled."""
        mark = self._jobs / "retried"
        forgiven = float(mark.read_text()) if mark.exists() else 0.0
        alive = {(job.array, job.task) for job in self.alive}
        over = [
            (batch, array, str(task))
            for batch, array in self._arrays if array["time"] > forgiven
            for task in range(array["count"]) if (array["job"], str(task)) not in alive
        ]  # fmt: skip
        before, _ = ask_sacct((array["job"] for _, array, _ in over), self._since)
        states = {(job.array, job.task): job for job in [*before, *self._seen]}
        scancel(job.id for job in self._seen if job.held)
        found = [_dead(batch, array, task, states.get((array["job"], task))) for batch, array, task in over]
        return [dead for dead in found if dead]


def note_end(batch: Path) -> None:
    """In a worker: it had nothing left to do."""
    job, task = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_TASK_ID", "0")
    (batch / "ended").mkdir(exist_ok=True)
    (batch / "ended" / f"{job}_{task}").touch()


def _batches(jobs: Path) -> list[Batch]:
    return [Batch.read(path.parent) for path in sorted(jobs.glob("*/batch.json"))]


def _dead(batch: Batch, array: dict[str, object], task: str, job: QueuedJob | None) -> Dead | None:
    """What is known of a worker that is not there any more, if that is a failure."""
    state = job.state if job else ""
    if state == "COMPLETED" or (batch.path / "ended" / f"{array['job']}_{task}").exists():
        return None
    names = f"{array['job']}_{task}_?_log.err", f"{array['job']}_?_log.err"
    logs = [path for name in names[: 2 if array["count"] == 1 else 1] for path in sorted((batch.path / "logs").glob(name))]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace")[-CHARACTERS:] for path in logs)
    if job and job.held:
        return Dead("SLURM could not start the job (launch failed)", batch.path / "logs")
    if classify(state, False, text) in OUTSIDE or " CANCELLED AT " in text or not (state or text.strip()):
        return None
    return Dead(telling(text), logs[0] if logs else batch.path / "logs")
