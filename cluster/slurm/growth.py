"""What a launch gives to batches that are there: slots that others have left, and jobs in place of those that ended before the
batch's units were done (a node that ate them, a requeue that a site refused)."""

from __future__ import annotations

from cluster.failures import CLASSES, failures
from cluster.slurm.arrays import lacking
from cluster.slurm.commands import run
from cluster.slurm.ledger import BatchView
from echolm.workspace import Workspace


def lift(view: BatchView, slots: int) -> int:
    """Raise the throttles of a batch's arrays that have more jobs than may run, by ``slots`` in all; how many are left."""
    for array, alive in view.arrays:
        more = min(slots, alive - array["at_once"])
        if more > 0:
            throttle = array["at_once"] + more
            run(["scontrol", "update", f"JobId={array['job']}", f"ArrayTaskThrottle={throttle}"])  # of ended tasks it complains
            view.batch.note_throttle(array["job"], throttle)
            slots -= more
    return slots


def missing(view: BatchView) -> int:
    """How many jobs a batch with live jobs lacks. Those that somebody cancelled are not replaced, nor any of a batch whose
    jobs end again and again before they take a unit."""
    if not view.alive:
        return 0
    batch = view.batch
    jobs = sum(array["count"] for array in batch.submitted() if not array.get("more"))
    found = failures(Workspace(batch.workspace), batch.grid)
    fruitless = sum(failure.kind == "launch" and failure.batch == batch.name and not failure.cells for failure in found)
    if fruitless > CLASSES["launch"].budget * jobs:
        return 0
    cancelled = {place for place, job in view.jobs.items() if job.state == "CANCELLED"} | view.cancelled
    waiting = batch.waiting(batch.claims(holders=False))
    return lacking(len(waiting), len(batch.units), jobs, len(view.alive) + len(cancelled))
