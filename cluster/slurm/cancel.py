"""Cancelling jobs: only when every cell that they would still train is cancelled; a loop sees its own cell's mark."""

from __future__ import annotations

from cluster.slurm.ledger import look
from cluster.slurm.queue import scancel
from echolm.errors import EchoLMError
from echolm.workspace import Workspace


def cancel_jobs(workspace: Workspace, grid: str) -> list[str]:
    """scancel the arrays of batches whose unfinished cells all carry the mark. Returns their ids.

    EchoLMError: squeue or scancel does not answer; the marks stay, and loops obey them.
    """
    over = []
    for view in look(workspace, grid, remembered=False):
        left = view.covered()
        if left and all((workspace.runs / cell / "cancelled").exists() for cell in left):
            over += sorted({job.array for job in view.alive})
    if complaint := scancel(over):
        raise EchoLMError(f"scancel {' '.join(over)}: {complaint}; the cells are marked, and running ones stop at their next step")
    return over
