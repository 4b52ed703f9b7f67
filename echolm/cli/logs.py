"""``echolm logs``: what runs wrote, and how they and their jobs ended."""

from __future__ import annotations

from typing import Any

import click

from echolm.cli.complete import complete_cell_or_grid
from echolm.cli.hints import job_on_node, labels, warn
from echolm.cli.options import as_json, print_json, where
from echolm.cli.terminal import say
from echolm.commands import Command, Hint
from echolm.errors import EchoLMError
from echolm.workspace import Workspace


@click.command()
@click.argument("what", metavar="CELL|GRID", shell_complete=complete_cell_or_grid)
@where
@click.option("--attempt", type=click.IntRange(1), help="Which attempt.  [default: the newest]")
@as_json
@click.pass_obj
def logs(
    workspace: Workspace, what: str, where: tuple[str, ...], attempt: int | None, as_json: bool
) -> None:
    """Print the log of a run, and how it ended.

    CELL is a cell's id or the start of one, as 'echolm status GRID' shows it. With --where, GRID is
    a grid, and the logs of its cells that have been run are printed. A failed run's log has its
    traceback. Of a cell that never began, what became of its jobs is told.
    """
    from cluster.logs import cell_log
    from grid.find import find_cell

    if where:
        return _print_many(workspace, what, where, attempt, as_json)
    try:
        cell, _ = find_cell(what, workspace)
    except EchoLMError:
        _refuse_grid(what)
        raise
    log = cell_log(workspace, cell, attempt)
    if as_json:
        return print_json(log)
    _print_log(log)


def _refuse_grid(what: str) -> None:
    """Say how to choose a cell, when ``what`` is a grid of which somebody wants a log."""
    from grid.definition.grid import load_grid

    try:
        axes = [*load_grid(what).cells[0].coordinates]
    except EchoLMError:
        return
    raise EchoLMError(
        f"{what} is a grid: choose among its cells with --where AXIS=LABEL (axes:"
        f" {', '.join(axes)}), or name a cell of those that this shows",
        Command("status", what),
    )


def _print_many(
    workspace: Workspace, grid_name: str, where: tuple[str, ...], attempt: int | None, as_json: bool
) -> None:
    """Print the logs of those cells of a grid that have been run."""
    from cluster.logs import cell_log
    from cluster.status import launch_command, where_run
    from grid.definition.files import load_in

    grid = load_in(workspace, grid_name)
    pairs = []
    for cell in grid.where(where):
        try:
            pairs.append((cell, cell_log(workspace, cell.id, attempt)))
        except EchoLMError:
            continue  # it has not been run, or not so often
    if as_json:
        return print_json({"grid": grid.name, "logs": [log for _, log in pairs]})
    for cell, log in pairs:
        say(f"== {cell.id[:8]}  {labels(cell)}")
        _print_log(log)
    if pairs:
        return
    if attempt:
        raise EchoLMError(
            f"no cell of these has an attempt {attempt}; without --attempt, the newest of each is"
            " printed"
        )
    command = launch_command(grid_name, where_run(workspace, grid.name))
    warn([Hint("no cell of these has been run; to run them", command)])


def _print_log(log: dict[str, Any]) -> None:
    """Print a log, the events that ended its run, and what became of jobs."""
    if log["path"]:
        warn([f"{log['path']} (attempt {log['attempt']})"])
        say(log["log"] or "(no line was logged)\n", nl=False)
    for event in log["events"]:
        if event["event"] in ("epoch", "started"):
            continue
        words = []
        for key, value in event.items():
            if key not in ("traceback", "time"):
                words.append(f"{key}={value}")
        say(" ".join(words))
    for job in log.get("jobs", []):
        say(f"job {job_on_node(job['job'], job['node'])}: {job['kind']}; its logs: {job['logs']}")
        say(str(job["evidence"]).strip())
