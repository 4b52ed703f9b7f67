"""``echolm logs | cancel | retry``: the cells of a grid."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.launch import How, compute_options, run_cells
from echolm.cli.options import as_json, counted, grid_argument, print_json, typed, where
from echolm.cli.standings import tell
from echolm.errors import EchoLMError
from echolm.record import RunRecord, writing
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.definition import Grid
    from grid.plan import Standing


def _survey(workspace: Workspace, grid_name: str, where: tuple[str, ...]) -> tuple[Grid, list[Standing]]:
    from grid.definition import load_grid
    from grid.plan import survey

    grid = load_grid(grid_name)
    return grid, survey(grid.where(where), workspace)


def _in_states(standings: Iterable[Standing], *names: str) -> list[Standing]:
    return [s for s in standings if s.state.name in names]


@click.command()
@click.argument("cell")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt.  [default: the newest]")
@as_json
@click.pass_obj
def logs(workspace: Workspace, cell: str, attempt: int | None, as_json: bool) -> None:
    """Print the log of a run, and how it ended.

    CELL is a cell's id or the start of one, as 'echolm status GRID' shows it. A failed run's log has its traceback.
    """
    from echolm.record import find_records
    from grid.plan import find_cell

    id, _ = find_cell(cell, workspace)
    records = find_records(workspace.runs, id)
    number = _attempt(records, id, attempt)
    path = records[0].attempt_path(number)
    log = path / "log.txt"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    events = records[0].events(number)
    if as_json:
        return print_json({"cell": id, "attempt": number, "path": str(path), "log": text, "events": events})
    tell([f"{path} (attempt {number} of {len(records[0].attempts())}, {records[0].state().name})"])
    click.echo(text or "(no line was logged)\n", nl=False)
    for event in events:
        if event["event"] not in ("epoch", "started"):
            click.echo(" ".join(f"{key}={value}" for key, value in event.items() if key not in ("traceback", "time")))


def _attempt(records: list[RunRecord], cell: str, wanted: int | None) -> int:
    """The attempt to show; EchoLMError when it is not there."""
    numbers = records[0].attempts() if records else []
    if not numbers:
        raise EchoLMError(f"cell {cell} has not been run in this workspace; to run it: {typed('train', cell)}")
    if wanted and wanted not in numbers:
        raise EchoLMError(f"cell {cell} has no attempt {wanted}; valid: {', '.join(map(str, numbers))}")
    return wanted or numbers[-1]


@click.command()
@grid_argument
@where
@as_json
@click.pass_obj
def cancel(workspace: Workspace, grid_name: str, where: tuple[str, ...], as_json: bool) -> None:
    """Stop cells: running ones at their next step, waiting ones now.

    Running cells of GRID write a checkpoint and stop, here and on any machine that shares the workspace; cells that
    wait are not started. 'echolm retry GRID' lets them continue. Complete and failed cells stay as they are.
    """
    from echolm.attempt import mark_cancelled

    grid, standings = _survey(workspace, grid_name, where)
    marked = [s.cell.id for s in _in_states(standings, "pending", "running", "interrupted")]
    for id in marked:
        mark_cancelled(workspace.runs, id)
    jobs = _scancel(workspace, grid.name) if marked else []
    if as_json:
        return print_json({"grid": grid.name, "cancelled": marked, "jobs": jobs})
    click.echo(f"{grid.name}: {counted(len(marked), 'cell')} cancelled" + (f"; jobs {', '.join(jobs)} too" if jobs else ""))
    tell([f"to let them continue: {typed('retry', grid_name)}"] if marked else [])


def _scancel(workspace: Workspace, grid: str) -> list[str]:
    """Cancel SLURM jobs that have nothing left to do."""
    if not (workspace.grids / grid / "jobs").is_dir():
        return []
    from cluster.slurm.cancel import cancel_jobs

    return cancel_jobs(workspace, grid)


@click.command()
@grid_argument
@where
@click.option("--no-launch", is_flag=True, help="Run nothing now: the next launch runs them.")
@compute_options
@as_json
@click.pass_obj
def retry(workspace: Workspace, grid_name: str, where: tuple[str, ...], no_launch: bool, as_json: bool, **how: Any) -> None:
    """Run failed, cancelled and pruned cells again.

    They continue from their checkpoints. Options and exit status are those of 'echolm launch'.
    """
    from cluster.failures import forgive
    from cluster.tracebacks import forget

    grid, standings = _survey(workspace, grid_name, where)
    again = _in_states(standings, "failed", "cancelled", "pruned")
    for standing in again:
        _release(workspace, standing)
    left = [s.cell.id for s in standings if s.state.name != "complete"]
    forgive(workspace, grid.name, left)
    forget(workspace, grid.name, left)
    facts = {"retried": [s.cell.id for s in again]}
    click.echo(f"{grid.name}: {counted(len(again), 'cell')} may run again", err=as_json)
    cells = [s.cell for s in standings if s.cell.id in left] if how["on"] == "slurm" else [s.cell for s in again]
    if cells and not no_launch:
        sys.exit(run_cells(workspace, grid_name, grid, cells, How(**how), facts if as_json else None))
    if as_json:
        print_json({"grid": grid.name, **facts})


def _release(workspace: Workspace, standing: Standing) -> None:
    """Take a cell's cancel mark away; its newest attempt's ending does not count any more."""
    from echolm.attempt import mark_retried

    mark = workspace.runs / standing.cell.id / "cancelled"
    with writing(mark):
        mark.unlink(missing_ok=True)
    if standing.record:
        mark_retried(standing.record)
