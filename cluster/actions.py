"""Cancel the cells of a grid, and let cells that were stopped run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.failures import JobFailure, failures, forgive, given_up
from cluster.status import GOING
from cluster.tracebacks import clear
from echolm.attempt import mark_cancelled, mark_retried
from echolm.errors import EchoLMError
from echolm.files import writing
from echolm.outages import is_empty_place
from echolm.states import RunState, Standing
from echolm.workspace import Workspace
from grid.definition.grid import Cell
from grid.plan import CellStatus, cell_statuses, needs_run


@dataclass(frozen=True)
class CancelledCells:
    """What ``cancel_cells`` did: the cells that it marked, and the SLURM arrays that it ended."""

    cells: list[str]
    jobs: list[str]


@dataclass(frozen=True)
class ReleasedCells:
    """What ``release_cells`` did.

    Attributes:
        again: cells that may run again.
        unfinished: all cells that are not complete.
        freed: cells that were blocked by these.
    """

    again: list[CellStatus]
    unfinished: list[CellStatus]
    freed: list[CellStatus]


def cancel_cells(workspace: Workspace, grid: str, cells: Sequence[Cell]) -> CancelledCells:
    """Mark cells that have not ended as cancelled, and end the jobs that have nothing else to do.

    A loop sees the mark of its cell at its next step, on any machine that shares the workspace.

    Raises:
        EchoLMError: SLURM does not answer. The marks stay. Or nothing lies in the workspace: it may
            be the mount point of a disk that is not there.
    """
    if is_empty_place(workspace.root):
        raise EchoLMError(f"{workspace.root}: nothing is here, so no cell of {grid} was launched")
    going = (*GOING, Standing.BLOCKED)
    statuses = cell_statuses(cells, workspace)
    marked = [status.cell.id for status in statuses if status.state.name in going]
    for cell in marked:
        mark_cancelled(workspace.runs, cell)
    jobs: list[str] = []
    if marked and has_slurm_jobs(workspace, grid):
        from cluster.slurm.submit.cancel import cancel_jobs

        jobs = cancel_jobs(workspace, grid)
    return CancelledCells(marked, jobs)


def note_ended_jobs(workspace: Workspace, grid: str) -> list[JobFailure]:
    """Write down what became of SLURM jobs, and return the failures that were new.

    Before marks are taken away, so that cells that were cancelled with their jobs still have them.

    Raises:
        EchoLMError: SLURM does not answer.
    """
    if not has_slurm_jobs(workspace, grid):
        return []
    from cluster.slurm.submit.cancel import settle_alone

    return settle_alone(workspace, grid)


def release_cells(workspace: Workspace, grid: str, cells: Sequence[Cell]) -> ReleasedCells:
    """Let failed, cancelled, pruned and given-up cells run again, from their checkpoints.

    Failures of their jobs do not count any more, nor does a traceback that stopped the grid.
    """
    statuses = cell_statuses(cells, workspace)
    lost = given_up(failures(workspace, grid))
    again, unfinished = [], []
    for status in statuses:
        if _has_stopped(status):
            _release(workspace, status)
            again.append(status)
        elif status.cell.id in lost and needs_run(status):
            again.append(status)
        if status.state.name != RunState.COMPLETE:
            unfinished.append(status)
    forgive(workspace, grid, [status.cell.id for status in again])
    clear(workspace, grid, [status.cell.id for status in unfinished])
    return ReleasedCells(again, unfinished, _freed(statuses, again))


def _freed(statuses: Sequence[CellStatus], again: Sequence[CellStatus]) -> list[CellStatus]:
    """Return the blocked cells that begin from cells which run again, or from freed ones."""
    free = {status.cell.id for status in again}
    freed: list[CellStatus] = []
    for status in statuses:
        one: Cell | None = status.cell
        while one is not None and one.id not in free:
            one = one.upstream
        if one is not None and status.state.name == Standing.BLOCKED:
            freed.append(status)
    return freed


def has_slurm_jobs(workspace: Workspace, grid: str) -> bool:
    """Say whether jobs of a grid were ever submitted to SLURM."""
    return (workspace.grids / grid / "jobs").is_dir()


def _has_stopped(status: CellStatus) -> bool:
    """Say whether a cell waits for a retry, or runs towards its cancel mark."""
    if status.state.name in (RunState.FAILED, RunState.CANCELLED, RunState.PRUNED):
        return True
    running = status.state.name == RunState.RUNNING
    return bool(running and status.record and status.record.cancelled())


def _release(workspace: Workspace, status: CellStatus) -> None:
    """Take a cell's cancel mark away. Its newest attempt's ending does not count any more."""
    mark = workspace.runs / status.cell.id / "cancelled"
    with writing(mark):
        mark.unlink(missing_ok=True)
    if status.record:
        mark_retried(status.record)
