"""Cancel jobs, but only when every cell that they would still train is cancelled.

A cell that is being trained needs no more than its mark: the training loop sees it.
"""

from __future__ import annotations

from cluster.failures import JobFailure, note
from cluster.slurm.submit.ended_jobs import record_ended_jobs
from cluster.slurm.submit.ledger import query_jobs
from cluster.slurm.submit.lock import submission_lock
from cluster.slurm.submit.queue import scancel
from echolm.errors import EchoLMError
from echolm.states import FailureClass
from echolm.workspace import Workspace


def cancel_jobs(workspace: Workspace, grid: str) -> list[str]:
    """Cancel the arrays of batches whose unfinished cells all carry the mark.

    It is noted, so that no later look takes it for somebody else's wish.

    Returns:
        The arrays' ids.

    Raises:
        EchoLMError: squeue or scancel does not answer. The marks stay, and loops obey them.
    """
    batch_of: dict[str, str] = {}
    for view in query_jobs(workspace, grid, remembered=False):
        cells = view.covered()
        if cells and all(_is_cancelled(workspace, cell) for cell in cells):
            for job in view.alive:
                batch_of[job.array] = view.batch.name
    if complaint := scancel(batch_of):
        raise EchoLMError(
            f"scancel {' '.join(batch_of)}: {complaint}; the cells are marked, and running ones "
            "stop at their next step"
        )
    cancelled = FailureClass.CANCELLED
    failures = []
    for array, batch in batch_of.items():
        failures.append(JobFailure(cancelled, array, batch, (), evidence="echolm cancel"))
    note(workspace, grid, failures)
    return sorted(batch_of)


def settle_alone(workspace: Workspace, grid: str) -> list[JobFailure]:
    """Write down what SLURM says now, while no launch does so.

    This comes before marks are taken away, so that what it marks does not come after that.

    Raises:
        EchoLMError: squeue does not answer.
    """
    with submission_lock(workspace, grid):
        return record_ended_jobs(workspace, grid, query_jobs(workspace, grid))


def _is_cancelled(workspace: Workspace, cell: str) -> bool:
    return (workspace.runs / cell / "cancelled").exists()
