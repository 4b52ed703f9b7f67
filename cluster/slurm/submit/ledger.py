"""Look which jobs a grid has in SLURM, which units they cover, and which of them have ended.

Looking changes nothing. ``ended_jobs.record_ended_jobs`` writes down what has been seen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.batch import JobBatch, batches
from cluster.failures import LOST, cancelled
from cluster.slurm.submit.queue import ALIVE, QueuedJob, ask_sacct, ask_scontrol, ask_squeue
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

Ask = Callable[[], Sequence[QueuedJob]]
"""How squeue's answer is got: it may have been asked already."""
UNSENT_S = 600.0
"""Seconds after which a batch that SLURM does not know was refused."""
UNSENT_EMPTY_S = 86400.0
"""The same where squeue says nothing at all, which is not believed at once."""
ASKED_AGAIN = 3
"""How often squeue is asked again when it said nothing of jobs that the controller has."""
PAUSE_S = 2.0
"""Seconds before each of these."""


@dataclass(frozen=True)
class ArrayTask:
    """One job of an array.

    Attributes:
        array: the array's job id. A job that is no array has its own id here.
        index: its index in the array.
    """

    array: str
    index: str

    @property
    def name(self) -> str:
        """What SLURM and the files of a batch call it: ``12_3``."""
        return f"{self.array}_{self.index}"


def task_of(job: QueuedJob) -> ArrayTask:
    """Return which job of an array SLURM speaks of."""
    return ArrayTask(job.array, job.task)


def claimed_by(holder: Mapping[str, str]) -> ArrayTask:
    """Return the job that holds, or held, a claim."""
    array = holder.get("array") or holder.get("slurm_job", "")
    return ArrayTask(array, holder.get("task", "0"))


@dataclass(frozen=True)
class SubmittedArray:
    """An array as it was submitted.

    Attributes:
        job: its job id.
        count: how many jobs it has.
        at_once: how many of them may run together now.
        time: when it was submitted, in seconds since 1970.
        more: its jobs came in place of others that had ended too early.
    """

    job: str
    count: int
    at_once: int
    time: float
    more: bool = False

    @property
    def tasks(self) -> list[ArrayTask]:
        """Its jobs."""
        return [ArrayTask(self.job, str(index)) for index in range(self.count)]


def arrays_of(batch: JobBatch) -> list[SubmittedArray]:
    """Return the arrays that were submitted for a batch, oldest first, at their last throttles."""
    return [_as_array(line) for line in batch.submitted()]


def _as_array(line: Mapping[str, Any]) -> SubmittedArray:
    return SubmittedArray(
        job=line["job"],
        count=line["count"],
        at_once=line["at_once"],
        time=line["time"],
        more=line.get("more", False),
    )


@dataclass(frozen=True)
class BatchView:
    """A batch and its jobs at the moment of looking.

    Attributes:
        batch: the batch.
        tasks: all jobs of its arrays.
        jobs: what SLURM says of them. A job that SLURM does not know any more is missing.
        earlier: starts before a job's last one, as accounting remembers them.
        unnoted: arrays that SLURM has and of which the batch does not know, since who submitted
            them was ended in that moment.
        unasked: why accounting, where there is one, did not answer.
        cancelled: jobs of which it was noted before that they were cancelled.
    """

    batch: JobBatch
    tasks: tuple[ArrayTask, ...]
    jobs: dict[ArrayTask, QueuedJob]
    earlier: dict[ArrayTask, list[QueuedJob]] = field(default_factory=dict)
    unnoted: tuple[SubmittedArray, ...] = ()
    unasked: str = ""
    cancelled: frozenset[ArrayTask] = frozenset()

    @property
    def alive(self) -> list[QueuedJob]:
        """Jobs that wait or run."""
        return [job for task, job in self.jobs.items() if self._is_alive(task)]

    @property
    def ended(self) -> list[ArrayTask]:
        """Jobs that do neither."""
        return [task for task in self.tasks if not self._is_alive(task)]

    @property
    def arrays(self) -> list[tuple[SubmittedArray, int]]:
        """Each array, and how many of its jobs wait or run."""
        alive = Counter(job.array for job in self.alive)
        # an array that was unnoted at the look may have been noted since
        known = {array.job: array for array in (*self.unnoted, *arrays_of(self.batch))}
        return [(array, alive[job]) for job, array in known.items()]

    @property
    def slots(self) -> int:
        """How many of its jobs may run at once now."""
        return sum(min(alive, array.at_once) for array, alive in self.arrays)

    def covered(self) -> set[str]:
        """Return the cells that its jobs will train or train now.

        These are the cells of units that are left, while a job is alive.
        """
        if not self.alive:
            return set()
        cells: set[str] = set()
        for unit in self.batch.waiting(self.batch.claims(holders=False)):
            cells.update(unit.cells)
        return cells

    def _is_alive(self, task: ArrayTask) -> bool:
        if task not in self.jobs or not self.jobs[task].alive:
            return False
        about_to_end = self.jobs[task].state == "COMPLETING"
        return not (task in self.cancelled and about_to_end)


@dataclass(frozen=True)
class _KnownBatch:
    """A batch before SLURM's answers are sorted to its jobs."""

    batch: JobBatch
    noted: list[SubmittedArray]
    unnoted: list[SubmittedArray]


def query_jobs(
    workspace: Workspace, grid: str, remembered: bool = True, ask: Ask = ask_squeue
) -> list[BatchView]:
    """Look at every batch of a grid that has jobs.

    Args:
        workspace: where the grid was launched.
        grid: its name.
        remembered: whether accounting is asked for jobs that have ended.
        ask: how squeue's answer is got.

    Raises:
        EchoLMError: squeue does not answer, or says nothing of jobs that the controller has.
    """
    noted_arrays = [(batch, arrays_of(batch)) for batch in batches(workspace, grid)]
    if not noted_arrays:
        return []
    queued = ask()
    known: list[_KnownBatch] = []
    for batch, noted in noted_arrays:
        unnoted = _unnoted_arrays(batch, noted, queued)
        if noted or unnoted:
            known.append(_KnownBatch(batch, noted, unnoted))
    past: list[QueuedJob] = []
    unasked = ""
    if remembered:
        arrays = [array for one in known for array in one.noted]
        since = min((array.time for array in arrays), default=0.0)
        past, unasked = ask_sacct([array.job for array in arrays], since)
    if not queued:
        queued = _confirm_that_nothing_is_queued(known, past, ask)
    cancelled_jobs = cancelled(workspace, grid)
    return [_view(one, past, queued, unasked, cancelled_jobs) for one in known]


def _confirm_that_nothing_is_queued(
    known: Sequence[_KnownBatch], past: Sequence[QueuedJob], ask: Ask
) -> Sequence[QueuedJob]:
    """Ask the controller for jobs that may be alive, since squeue has said nothing at all.

    A squeue that ends well without a line would else count as the death of all jobs.

    Returns:
        squeue's answer: nothing, or what it says when it is asked again.

    Raises:
        EchoLMError: the controller has jobs, and squeue goes on saying nothing.
    """
    for array in _arrays_that_may_live(known, past):
        state = ask_scontrol(array)
        if not state:
            continue
        for _ in range(ASKED_AGAIN):
            time.sleep(PAUSE_S)
            forget = getattr(ask, "cache_clear", None)
            if forget:
                forget()
            queued = ask()
            if queued:
                return queued
        raise EchoLMError(
            f"squeue says nothing, although SLURM has job {array} ({state}); "
            "the controller may be restarting: try again"
        )
    return ()


def _arrays_that_may_live(known: Sequence[_KnownBatch], past: Sequence[QueuedJob]) -> list[str]:
    """Return the arrays of batches with units left that accounting does not know to be over."""
    over: Counter[str] = Counter()
    for task in {task_of(job) for job in past if job.state not in ALIVE}:
        over[task.array] += 1
    arrays = []
    for one in known:
        if not one.batch.waiting(one.batch.claims(holders=False)):
            continue
        for array in one.noted:
            if over[array.job] < array.count:
                arrays.append(array.job)
    return arrays


def discard_refused(workspace: Workspace, grid: str, now: float, ask: Ask = ask_squeue) -> None:
    """Remove batches that sbatch refused.

    No array of theirs was noted, and SLURM has none, ten minutes after (a day, where squeue says
    nothing at all). What sbatch says is not enough: it also complains when the answer of a
    controller that took the array was late.
    """
    unsent = []
    for batch in batches(workspace, grid):
        old = now - batch.path.stat().st_mtime > UNSENT_S
        if old and not batch.submitted():
            unsent.append(batch)
    if not unsent:
        return
    queued = ask()
    comments = {job.comment for job in queued}
    for batch in unsent:
        if not queued and now - batch.path.stat().st_mtime <= UNSENT_EMPTY_S:
            continue
        if not batch.begun and batch.name not in comments:
            batch.remove()


def job_of_each_cell(views: Sequence[BatchView]) -> dict[str, str]:
    """Say for each cell which job trains it, or why it waits.

    Returns:
        Cell -> words: ``job 12_3 on n1``, ``queued in 12 (Resources)``, or ``next in 12`` for a
        unit that a running job will come to.
    """
    words: dict[str, str] = {}
    for view in views:
        claims = view.batch.claims(holders=False)
        waiting = _words_for_waiting(view.alive)
        if waiting:
            for unit in view.batch.waiting(claims):
                words.update(dict.fromkeys(unit.cells, waiting))
        for unit in view.batch.units:
            training = _words_for_training(view, claims.get(unit.id, []))
            if training:
                words.update(dict.fromkeys(unit.cells, training))
    return words


def _words_for_waiting(alive: Sequence[QueuedJob]) -> str:
    """Say what a unit that nobody trains waits for. '' when no job is left for it."""
    for job in alive:
        if job.state == "PENDING":
            return f"queued in {job.array} ({job.reason})"
    if alive:
        return f"next in {alive[0].array}"
    return ""


def _words_for_training(view: BatchView, claims: Sequence[Mapping[str, Any]]) -> str:
    """Say which job trains a unit now, or ''."""
    if not claims or claims[-1]["over"] is not None:
        return ""
    holder = claims[-1]["holder"]
    job = view.jobs.get(claimed_by(holder))
    if job is None or not job.alive or job.state == "PENDING":
        return ""
    return f"job {job.id} on {holder.get('node') or holder.get('host')}"


def _job_name(batch: JobBatch) -> str:
    return f"echolm-{batch.grid}"


def _unnoted_arrays(
    batch: JobBatch, noted: Sequence[SubmittedArray], queued: Sequence[QueuedJob]
) -> list[SubmittedArray]:
    """Find a batch's arrays that SLURM has and that were never noted.

    SLURM forgets jobs that ended some minutes ago, so the highest index that it still knows says
    how many jobs there are.
    """
    noted_ids = {array.job for array in noted}
    by_array: dict[str, list[QueuedJob]] = {}
    for job in queued:
        of_this_batch = job.comment == batch.name and job.name == _job_name(batch)
        if of_this_batch and job.array not in noted_ids:
            by_array.setdefault(job.array, []).append(job)
    arrays = []
    for array, jobs in by_array.items():
        count = 1 + max(int(job.task) for job in jobs)
        submitted = min(job.submitted for job in jobs)
        arrays.append(SubmittedArray(array, count=count, at_once=count, time=submitted))
    return arrays


def _view(
    known: _KnownBatch,
    past: Sequence[QueuedJob],
    queued: Sequence[QueuedJob],
    unasked: str,
    cancelled_jobs: set[tuple[str, str]],
) -> BatchView:
    """Sort SLURM's answers to the jobs of a batch.

    squeue counts more than sacct: it knows of a requeue before, and of the controller's losses.

    Args:
        known: the batch and its arrays.
        past: sacct's answer, a job's earlier starts first.
        queued: squeue's answer.
        unasked: why accounting did not answer.
        cancelled_jobs: (batch, job or whole array) of all jobs that were noted as cancelled.
    """
    batch = known.batch
    arrays = [*known.noted, *known.unnoted]
    submitted_at = {array.job: array.time for array in arrays}
    tasks = tuple(task for array in arrays for task in array.tasks)

    def is_ours(job: QueuedJob) -> bool:
        since = submitted_at.get(job.array)
        return since is not None and job.belongs(batch.name, _job_name(batch), since)

    starts: dict[ArrayTask, list[QueuedJob]] = {}
    for job in past:
        if is_ours(job):
            starts.setdefault(task_of(job), []).append(job)
    now = {task_of(job): job for job in queued if is_ours(job)}
    jobs: dict[ArrayTask, QueuedJob] = {}
    earlier: dict[ArrayTask, list[QueuedJob]] = {}
    for task, all_starts in starts.items():
        last = all_starts[-1]
        jobs[task] = replace(last, state=LOST) if last.lost else last
        # a requeued job that waits may have no line of its own in accounting yet
        waits_again = task in now and now[task].alive and last.state not in ALIVE
        earlier[task] = all_starts if waits_again else all_starts[:-1]
    cancelled_tasks = set()
    for task in tasks:
        if (batch.name, task.array) in cancelled_jobs or (batch.name, task.name) in cancelled_jobs:
            cancelled_tasks.add(task)
    return BatchView(
        batch=batch,
        tasks=tasks,
        jobs=jobs | now,
        earlier=earlier,
        unnoted=tuple(known.unnoted),
        unasked=unasked,
        cancelled=frozenset(cancelled_tasks),
    )
