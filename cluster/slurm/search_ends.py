"""Find out how the workers of a search ended.

They end well by their own word, or badly by SLURM's and their logs.
``<search>/jobs/<batch>/ended/<array>_<task>`` is made by a worker that had nothing left to do.
``<search>/jobs/retried`` holds the time before which failures do not count any more.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.batch import JobBatch
from cluster.failures import classify, telling_line
from cluster.slurm.submit.ledger import ArrayTask, SubmittedArray, arrays_of, task_of
from cluster.slurm.submit.queue import QueuedJob, ask_sacct, scancel
from echolm.files import write_atomic
from echolm.states import FailureClass

OUTSIDE = (
    FailureClass.NODE_FAILURE,
    FailureClass.PREEMPTED,
    FailureClass.TIME_LIMIT,
    FailureClass.CANCELLED,
    FailureClass.OUTAGE,
)
"""Classes of ends that say nothing of the worker or its environment."""
LOG_CHARACTERS = 4000
"""How much of the end of a log is read."""


@dataclass(frozen=True)
class FailedWorker:
    """A worker that failed.

    Attributes:
        words: the line of its log that says why.
        log: the log, or the folder of all logs.
    """

    words: str
    log: Path

    @property
    def kind(self) -> str:
        """The words without their numbers: equal in failures of the same kind."""
        return re.sub(r"\d+", "0", self.words)


class SubmittedWorkers:
    """The workers that were submitted for a search, at the moment of looking.

    Args:
        jobs: the folder of the search's batches.
        name: ``search-`` and the search's name.
        queued: squeue's answer.

    Attributes:
        alive: those that wait or run.
    """

    def __init__(self, jobs: Path, name: str, queued: Sequence[QueuedJob]) -> None:
        self._jobs = jobs
        self._arrays: list[tuple[JobBatch, SubmittedArray]] = []
        for path in sorted(jobs.glob("*/batch.json")):
            batch = JobBatch.read(path.parent)
            for array in arrays_of(batch):
                self._arrays.append((batch, array))
        by_id = {array.job: (batch, array) for batch, array in self._arrays}
        self._queued: list[QueuedJob] = []
        for job in queued:
            if job.array not in by_id:
                continue
            batch, array = by_id[job.array]
            if job.belongs(batch.name, f"echolm-{name}", array.time):
                self._queued.append(job)
        self.alive = [job for job in self._queued if job.alive]

    def forgive(self) -> None:
        """Let what has failed until now not count any more."""
        if self._arrays:
            write_atomic(self._jobs / "retried", str(time.time()).encode())

    def failed(self) -> list[FailedWorker]:
        """Return the workers that failed and count, oldest first.

        A job that SLURM holds after a failed start is one. It is cancelled.
        """
        ended = self._ended()
        since = min((array.time for _, array in self._arrays), default=0.0)
        past, _ = ask_sacct([array.job for _, array, _ in ended], since)
        jobs = {task_of(job): job for job in [*past, *self._queued]}
        scancel(job.id for job in self._queued if job.held)
        workers = [_failure(batch, array, task, jobs.get(task)) for batch, array, task in ended]
        return [worker for worker in workers if worker]

    def _ended(self) -> list[tuple[JobBatch, SubmittedArray, ArrayTask]]:
        """Return the jobs that do not wait or run any more, of arrays that still count."""
        mark = self._jobs / "retried"
        retried = float(mark.read_text()) if mark.exists() else 0.0
        alive = {task_of(job) for job in self.alive}
        ended = []
        for batch, array in self._arrays:
            if array.time > retried:
                ended += [(batch, array, task) for task in array.tasks if task not in alive]
        return ended


def note_end(batch: Path) -> None:
    """Note, in a worker, that it had nothing left to do."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"]
    task = ArrayTask(array, os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    (batch / "ended").mkdir(exist_ok=True)
    (batch / "ended" / task.name).touch()


def _failure(
    batch: JobBatch, array: SubmittedArray, task: ArrayTask, job: QueuedJob | None
) -> FailedWorker | None:
    """Say why a worker that is not there any more failed, or None when it did not."""
    state = job.state if job else ""
    ended_well = state == "COMPLETED" or (batch.path / "ended" / task.name).exists()
    if ended_well:
        return None
    folder = batch.path / "logs"
    if job and job.held:
        return FailedWorker("SLURM could not start the job (launch failed)", folder)
    logs = sorted(folder.glob(f"{task.name}_?_log.err"))
    if array.count == 1:  # a plain job, whose id has no index
        logs += sorted(folder.glob(f"{array.job}_?_log.err"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in logs]
    text = "\n".join(text[-LOG_CHARACTERS:] for text in texts)
    nothing_known = not state and not text.strip()
    ended_from_outside = classify(state, False, text) in OUTSIDE or " CANCELLED AT " in text
    if nothing_known or ended_from_outside:
        return None
    return FailedWorker(telling_line(text), logs[0] if logs else folder)
