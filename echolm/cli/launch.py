"""``echolm launch``: run what is missing of a grid."""

from __future__ import annotations

import contextlib
import sys
from signal import Signals
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.hints import labels, warn
from echolm.cli.launch_cost import plan_cost, print_cost, refuse_by
from echolm.cli.launch_options import compute_options, read_launch_options
from echolm.cli.options import as_json, grid_argument, print_json, print_table, where
from echolm.cli.tables import tables
from echolm.commands import Command, Hint
from echolm.errors import EchoLMError
from echolm.text import counted
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.cost_table import CostTable
    from cluster.launch import LaunchPlan
    from cluster.place import LaunchOptions, LaunchResult
    from grid.definition.grid import Cell, Grid


@click.command()
@grid_argument
@where
@compute_options
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A smoke run: other values of these fields, such as epochs=1, as a grid of its own,"
    " GRID-smoke.",
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Only the first N of these cells."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would run; run and write nothing.  slurm: also where SLURM, data or weights are"
    " not here; what is assumed is listed.",
)
@click.option(
    "--by",
    metavar="AXIS",
    help="With --dry-run: tell cells and hours apart by the labels of this axis.  [default: recipe,"
    " where the grid has it]",
)
@click.option(
    "--tables", "show_tables", is_flag=True, help="Print the tables of GRID at the end. Not slurm."
)
@as_json
@click.pass_obj
def launch(
    workspace: Workspace,
    grid_name: str,
    where: tuple[str, ...],
    settings: tuple[str, ...],
    limit: int | None,
    dry_run: bool,
    by: str | None,
    show_tables: bool,
    as_json: bool,
    no_collect: bool,
    **typed_options: Any,
) -> None:
    """Run the cells of GRID that have no complete run.

    GRID is a name from 'echolm grid list' or the path of a YAML file. Launching twice runs nothing
    twice. Ctrl-C stops with checkpoints, and the next launch continues from them. Failed and
    cancelled cells wait for 'echolm retry GRID'. On SLURM the command submits and returns. Run it
    again, or with --watch, to submit what was lost or did not fit. What goes away meanwhile (a
    store, the workspace, room on the disk) is waited for, ECHOLM_OUTAGE_S seconds at most (900).

    \b
    Exit status: 0 all these cells are complete (slurm without --watch: what can be submitted is),
    1 some are not, 130 or 143 stopped by SIGINT or SIGTERM.
    """  # noqa: D301 - click reads the character \b
    from cluster.launch import choose_place
    from echolm.cli import launch_slurm
    from grid.definition.files import load_in
    from grid.definition.settings import read_settings
    from grid.definition.smoke import smoke_grid, write_smoke_grid
    from grid.plugin_changes import plugin_changes

    refuse_by(by, dry_run)
    options = read_launch_options(workspace, grid_name, **typed_options)
    grid = load_in(workspace, grid_name)
    cells = grid.where(where)[:limit]
    if settings:
        grid, cells = smoke_grid(workspace, grid, cells, read_settings(settings))
        grid_name = grid.typed
        if not dry_run:
            write_smoke_grid(grid)
    if show_tables:
        _check_tables_can_be_shown(options, dry_run or no_collect or as_json)
    warn(plugin_changes(workspace, grid.name, cells))
    if not dry_run:
        facts: dict[str, Any] | None = {} if as_json else None
        status = run_cells(workspace, grid_name, grid, cells, options, no_collect, facts)
        if show_tables and status in (0, 1) and _has_collected_runs(workspace, grid):
            click.get_current_context().invoke(tables, grid_name=grid_name)
        sys.exit(status)
    place: Any = choose_place(workspace, options)
    if options.on == "slurm":
        return launch_slurm.print_preview(place, grid_name, grid, cells, as_json, by)
    plan = place.plan(grid, cells)
    print_plan(grid_name, grid, plan, plan_cost(workspace, plan, options, by), options.on, as_json)


def _has_collected_runs(workspace: Workspace, grid: Grid) -> bool:
    """Return whether a run of the grid was collected. Without one, tables say nothing."""
    from grid.results.files import RUNS_FILE

    return (workspace.results(grid.name) / RUNS_FILE).exists()


def _check_tables_can_be_shown(options: LaunchOptions, is_without: bool) -> None:
    """Refuse --tables where the launch has no collected runs to show in the end."""
    if options.on == "slurm":
        raise click.UsageError(
            "--tables: a launch on SLURM returns before its jobs end; type echolm tables then"
        )
    if is_without:
        raise click.UsageError("--tables: not with --dry-run, --no-collect or --json")


def run_cells(
    workspace: Workspace,
    grid_name: str,
    grid: Grid,
    cells: list[Cell],
    options: LaunchOptions,
    no_collect: bool,
    facts: dict[str, Any] | None,
) -> int:
    """Run what is missing of ``cells``, and say how they stand then.

    Args:
        workspace: where they are run.
        grid_name: the grid as it was typed.
        grid: the grid.
        cells: some or all of its cells.
        options: how they are run.
        no_collect: whether complete runs are left out of MLflow at the end, here and on Ray.
        facts: the beginning of the JSON document to print. None prints text.

    Returns:
        The exit status.
    """
    from cluster.launch import choose_place
    from echolm.cli import launch_slurm
    from echolm.cli.launch_progress import PoolNews
    from grid.tracking.live_launch import LiveLaunch
    from grid.tracking.store import check_before_training

    check_before_training(workspace)
    place = choose_place(workspace, options)
    if options.on == "slurm":
        return launch_slurm.submit(place, grid_name, grid, cells, options, facts)
    news = PoolNews(quiet=facts is not None)
    in_mlflow = options.on == "local" and not no_collect
    with LiveLaunch(workspace, grid.name, lambda text: warn([text]), in_mlflow) as live:
        result = place.launch(grid, cells, news)
    collected = True
    if not (result.stopped or no_collect):
        collected = collect_complete(workspace, grid.name, result, quiet=facts is not None)
        live.look()
    print_result(grid_name, grid, result, options.on, facts)
    if result.stopped:
        return 128 + Signals[result.stopped]
    return 0 if collected and result.done else 1


def print_result(
    grid_name: str, grid: Grid, result: LaunchResult, on: str, facts: dict[str, Any] | None
) -> None:
    """Print how a launch here or on Ray left its cells, and what to type next."""
    from cluster.status import (
        blocking_reasons,
        count_states,
        counts_line,
        next_commands,
        waiting_cells,
    )

    if facts is None:
        click.echo(f"{grid.name}: {counts_line(result.statuses)}")
    else:
        document = {"grid": grid.name, **facts, "states": count_states(result.statuses)}
        if on == "ray":
            document["given_up"] = result.given_up
        document["stopped"] = result.stopped or result.stop_reason or None
        print_json(document)
    if result.stopped:
        warn([f"stopped by {result.stopped}; checkpoints are written"])
    if result.stop_reason:
        warn([result.stop_reason])
    warn(waiting_cells(result.statuses))
    reasons = blocking_reasons(grid_name, "", result.given_up, on=on)
    warn(reasons)
    warn(
        next_commands(
            grid_name,
            result.statuses,
            launching=True,
            on=on,
            not_started=result.given_up,
            retry_said=bool(reasons),
        )
    )


def collect_complete(workspace: Workspace, grid: str, result: LaunchResult, quiet: bool) -> bool:
    """Export what is complete to MLflow. An error of that is told, and the runs are safe."""
    from echolm.cli.collect import collect_once

    if not any(status.state.name == "complete" for status in result.statuses):
        return True
    output = contextlib.redirect_stdout(sys.stderr) if quiet else contextlib.nullcontext()
    try:
        with output:
            collect_once(workspace, (grid,), workspace.tracking_uri)
    except (EchoLMError, OSError) as error:
        warn([f"the runs are stored, but not collected: {error}"])
        warn([Hint("to collect them", Command("collect", grid))])
        return False
    return True


def print_plan(
    grid_name: str, grid: Grid, plan: LaunchPlan, cost: CostTable, on: str, as_json: bool
) -> None:
    """Print the plan of a dry run here or on Ray, with its cost."""
    from cluster.status import (
        blocking_reasons,
        count_states,
        counts_line,
        half_weights,
        waiting_cells,
    )

    if as_json:
        document: dict[str, Any] = {
            "grid": grid.name,
            "states": count_states(plan.statuses),
            "units": [list(unit.cells) for unit in plan.planned],
            "units_later": [list(unit.cells) for unit in plan.planned_later],
            "blocked": plan.blocked,
            "cost": cost.plain(),
            "disk": plan.disk.plain(),
        }
        if on == "ray":
            document["given_up"] = plan.given_up
        document["stopped"] = plan.stop_reason or None
        return print_json(document)
    by_id = {status.cell.id: status for status in (*plan.cells, *plan.following)}
    rows = []
    for number, unit in enumerate([*plan.planned, *plan.planned_later]):
        for id in unit.cells:
            status = by_id[id]
            rows.append((number, id, status.state.name, labels(status.cell)))
    print_table(["unit", "cell", "state", "labels"], rows)
    units = counted(len(plan.planned), "unit")
    counts = counts_line(plan.statuses)
    line = f"{grid.name}: {counts}; would run {len(plan.cells):,} in {units}"
    if plan.following:
        line += f", then {len(plan.following):,} in {counted(len(plan.planned_later), 'unit')}"
    click.echo(line)
    print_cost(cost)
    for words in plan.disk.lines():
        click.echo(words)
    warn(plan.disk.warnings())
    warn(plan.blocked)
    warn(waiting_cells(plan.statuses))
    warn(half_weights(plan.statuses))
    warn(blocking_reasons(grid_name, plan.stop_reason, plan.given_up, on=on))
