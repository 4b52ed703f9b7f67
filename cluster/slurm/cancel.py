"""Cancelling jobs: only when every cell that they would still train is cancelled; a loop sees its own cell's mark."""

from __future__ import annotations

from cluster.failures import Failure, note
from cluster.slurm.alone import alone
from cluster.slurm.ledger import look, settle
from cluster.slurm.queue import scancel
from echolm.errors import EchoLMError
from echolm.workspace import Workspace


def cancel_jobs(workspace: Workspace, grid: str) -> list[str]:
    """scancel the arrays of batches whose unfinished cells all carry the mark, and note it, so that no later look takes it
    for somebody else's wish. Returns their ids.

    EchoLMError: squeue or scancel does not answer; the marks stay, and loops obey them.
    """
    over: dict[str, str] = {}
    for view in look(workspace, grid, remembered=False):
        left = view.covered()
        if left and all((workspace.runs / cell / "cancelled").exists() for cell in left):
            over |= {job.array: view.batch.name for job in view.alive}
    if complaint := scancel(over):
        raise EchoLMError(f"scancel {' '.join(over)}: {complaint}; the cells are marked, and running ones stop at their next step")
    note(workspace, grid, [Failure("cancelled", array, batch, (), "", "echolm cancel") for array, batch in over.items()])
    return sorted(over)


def settle_alone(workspace: Workspace, grid: str) -> list[Failure]:
    """``settle`` what SLURM says now: before marks are taken away, so that what it marks does not come after that. EchoLMError:
    squeue does not answer."""
    with alone(workspace, grid):
        return settle(workspace, grid, look(workspace, grid))
