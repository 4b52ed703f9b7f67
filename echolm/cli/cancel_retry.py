"""``echolm cancel | retry``: the cells of a grid."""

from __future__ import annotations

import sys
from typing import Any

import click

from echolm.cli.hints import warn, warn_of_failures
from echolm.cli.launch import run_cells
from echolm.cli.launch_options import compute_options, read_launch_options
from echolm.cli.options import as_json, grid_argument, print_json, where
from echolm.commands import Hint
from echolm.errors import EchoLMError
from echolm.text import counted
from echolm.workspace import Workspace


@click.command()
@grid_argument
@where
@as_json
@click.pass_obj
def cancel(workspace: Workspace, grid_name: str, where: tuple[str, ...], as_json: bool) -> None:
    """Stop cells: running ones at their next step, waiting ones now.

    Running cells of GRID write a checkpoint and stop, here and on any machine that shares the
    workspace. Cells that wait are not started. 'echolm retry GRID' lets them continue. Complete and
    failed cells stay as they are.
    """
    from cluster.actions import cancel_cells
    from cluster.status import retry_command, where_run
    from grid.definition.files import load_in

    grid = load_in(workspace, grid_name)
    cancelled = cancel_cells(workspace, grid.name, grid.where(where))
    if as_json:
        document = {"grid": grid.name, "cancelled": cancelled.cells, "jobs": cancelled.jobs}
        return print_json(document)
    line = f"{grid.name}: {counted(len(cancelled.cells), 'cell')} cancelled"
    if cancelled.jobs:
        line += f"; jobs {', '.join(cancelled.jobs)} too"
    click.echo(line)
    if cancelled.cells:
        command = retry_command(grid_name, where_run(workspace, grid.name))
        warn([Hint("to let them continue", command)])


@click.command()
@grid_argument
@where
@click.option("--no-launch", is_flag=True, help="Run nothing now: the next launch runs them.")
@compute_options
@as_json
@click.pass_obj
def retry(
    workspace: Workspace,
    grid_name: str,
    where: tuple[str, ...],
    no_launch: bool,
    as_json: bool,
    no_collect: bool,
    **typed_options: Any,
) -> None:
    """Run failed, cancelled and pruned cells again.

    Cells that were given up run again, too. All continue from their checkpoints. Failures of their
    jobs do not count any more. Options and exit status are those of 'echolm launch'.
    """
    from cluster.actions import release_cells
    from grid.definition.files import load_in

    options = read_launch_options(workspace, grid_name, **typed_options)
    grid = load_in(workspace, grid_name)
    _note_ended_jobs(workspace, grid.name, needed=options.on == "slurm")
    released = release_cells(workspace, grid.name, grid.where(where))
    facts = {"retried": [status.cell.id for status in released.again]}
    again = counted(len(released.again), "cell")
    line = f"{grid.name}: {again} may run again"
    if released.freed:
        line += f", and {counted(len(released.freed), 'cell')} that begin from them"
    click.echo(line, err=as_json)
    # on SLURM the jobs of the other cells are looked after in the same breath
    to_run = [*released.again, *released.freed]
    if options.on == "slurm":
        to_run = released.unfinished
    cells = [status.cell for status in to_run]
    if cells and not no_launch:
        document = facts if as_json else None
        sys.exit(run_cells(workspace, grid_name, grid, cells, options, no_collect, document))
    if as_json:
        print_json({"grid": grid.name, **facts})


def _note_ended_jobs(workspace: Workspace, grid: str, needed: bool) -> None:
    """Write down and tell what became of SLURM jobs.

    Where SLURM does not answer, that is an error only if it is ``needed``.
    """
    from cluster.actions import note_ended_jobs

    try:
        warn_of_failures(note_ended_jobs(workspace, grid))
    except EchoLMError as error:
        if needed:
            raise
        warn([f"SLURM is not asked: {error}"])
