"""``echolm cancel | retry``: the cells of a grid."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.how import choose, compute_options
from echolm.cli.launch import run_cells
from echolm.cli.options import as_json, counted, grid_argument, print_json, typed, where
from echolm.cli.standings import on_words, tell, where_run
from echolm.cli.submit import tell_failures
from echolm.errors import EchoLMError
from echolm.record import writing
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
    tell([f"to let them continue: {typed('retry', grid_name, *on_words(where_run(workspace, grid.name)))}"] if marked else [])


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

    Cells that were given up run again, too. All continue from their checkpoints; failures of their jobs do not count any more. Options and exit status are those of 'echolm launch'.
    """
    from cluster.failures import failures, forgive, given_up
    from cluster.tracebacks import forget
    from grid.plan import to_run

    chosen = choose(workspace, grid_name, **how)
    _settle(workspace, grid_name, chosen.on == "slurm")
    grid, standings = _survey(workspace, grid_name, where)
    lost = given_up(failures(workspace, grid.name))
    stopping = [s for s in _in_states(standings, "running") if s.record and s.record.cancelled()]
    ended = [*_in_states(standings, "failed", "cancelled", "pruned"), *stopping]
    for standing in ended:
        _release(workspace, standing)
    wanted = {s.cell.id for s in ended} | {s.cell.id for s in standings if s.cell.id in lost and to_run(s)}
    again = [s for s in standings if s.cell.id in wanted]
    left = [s for s in standings if s.state.name != "complete"]
    forgive(workspace, grid.name, wanted)
    forget(workspace, grid.name, [s.cell.id for s in left])
    facts = {"retried": [s.cell.id for s in again]}
    click.echo(f"{grid.name}: {counted(len(again), 'cell')} may run again", err=as_json)
    cells = [s.cell for s in (left if chosen.on == "slurm" else again)]
    if cells and not no_launch:
        sys.exit(run_cells(workspace, grid_name, grid, cells, chosen, facts if as_json else None))
    if as_json:
        print_json({"grid": grid.name, **facts})


def _settle(workspace: Workspace, grid_name: str, needed: bool) -> None:
    """Write down and tell what became of SLURM jobs, while cells that were cancelled with them still have their marks. Where
    SLURM does not answer, that is an error if it is ``needed``."""
    from grid.definition import load_grid

    grid = load_grid(grid_name).name
    if not (workspace.grids / grid / "jobs").is_dir():
        return
    from cluster.slurm.cancel import settle_alone

    try:
        tell_failures(settle_alone(workspace, grid))
    except EchoLMError as error:
        if needed:
            raise
        tell([f"SLURM is not asked: {error}"])


def _release(workspace: Workspace, standing: Standing) -> None:
    """Take a cell's cancel mark away; its newest attempt's ending does not count any more."""
    from echolm.attempt import mark_retried

    mark = workspace.runs / standing.cell.id / "cancelled"
    with writing(mark):
        mark.unlink(missing_ok=True)
    if standing.record:
        mark_retried(standing.record)
