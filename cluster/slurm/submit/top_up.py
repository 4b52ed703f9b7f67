"""Give batches that are there more slots and jobs.

Slots come from others that have ended. Jobs come in place of those that ended before the batch's
units were done: a node that ate them, or a requeue that a site refused.
"""

from __future__ import annotations

from cluster.failures import CLASSES, failures
from cluster.readiness import is_ready
from cluster.slurm.commands import run
from cluster.slurm.submit.arrays import lacking
from cluster.slurm.submit.ledger import BatchView, arrays_of
from echolm.states import FailureClass
from echolm.workspace import Workspace


def raise_throttles(view: BatchView, slots: int) -> int:
    """Raise the throttles of a batch's arrays that have more jobs than may run.

    Args:
        view: the batch and its jobs.
        slots: how many more jobs may run in all.

    Returns:
        How many of the slots are left.
    """
    for array, alive in view.arrays:
        more = min(slots, alive - array.at_once)
        if more <= 0:
            continue
        throttle = array.at_once + more
        # scontrol also complains of tasks that have ended, so its status says nothing
        run(["scontrol", "update", f"JobId={array.job}", f"ArrayTaskThrottle={throttle}"])
        view.batch.note_throttle(array.job, throttle)
        slots -= more
    return slots


def jobs_to_add(view: BatchView) -> int:
    """Count the jobs to add to a batch with live jobs.

    Cancelled jobs are not replaced. A batch whose jobs keep ending before they claim a unit gets
    none.
    """
    if not view.alive:
        return 0
    batch = view.batch
    jobs = sum(array.count for array in arrays_of(batch) if not array.more)
    if _fruitless_jobs(view) > CLASSES[FailureClass.LAUNCH].budget * jobs:
        return 0
    cancelled = set(view.cancelled)
    for task, job in view.jobs.items():
        if job.state == "CANCELLED":
            cancelled.add(task)
    workspace = Workspace(batch.workspace)
    waiting = []
    for unit in batch.waiting(batch.claims(holders=False)):
        if is_ready(workspace, unit):  # else its jobs end without it
            waiting.append(unit)
    return lacking(
        waiting=len(waiting),
        units=len(batch.units),
        jobs=jobs,
        there=len(view.alive) + len(cancelled),
    )


def _fruitless_jobs(view: BatchView) -> int:
    """Count the jobs of a batch that ended before they claimed a unit."""
    batch = view.batch
    count = 0
    for failure in failures(Workspace(batch.workspace), batch.grid):
        never_began = failure.kind == FailureClass.LAUNCH and not failure.cells
        if never_began and failure.batch == batch.name:
            count += 1
    return count
