"""``echolm status``: how the cells of a grid stand, now or live."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.hints import COLUMNS, status_row, warn
from echolm.cli.options import as_json, grid_argument, print_json, print_table, where
from echolm.cli.terminal import say
from echolm.text import duration
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.disk import DiskForecast
    from cluster.status import GridStatus
    from echolm.cli.terminal import LiveTable
    from grid.definition.grid import Grid

LISTED = 50
"""Rows of a table, unless all are asked for."""


@click.command()
@grid_argument
@where
@click.option("--all", "show_all", is_flag=True, help="List complete and pending cells too.")
@click.option(
    "--watch", is_flag=True, help="Go on looking until every cell has ended; Ctrl-C ends it."
)
@click.option(
    "--every",
    type=click.FloatRange(0.5),
    default=5.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
@as_json
@click.pass_obj
def status(
    workspace: Workspace,
    grid_name: str,
    where: tuple[str, ...],
    show_all: bool,
    watch: bool,
    every: float,
    as_json: bool,
) -> None:
    """Count cells by state and list those that run or stopped.

    Each with its epoch and step, time left, validation loss, speed and SLURM job. GRID is a name
    from 'echolm grid list' or the path of a YAML file. What is missing (data, weights) is named,
    with the command that gets it. --json lists every cell. With --watch, it prints a document a
    look.
    """
    from cluster.disk import forecast_disk
    from cluster.status import (
        blocked_cells,
        blocking_reasons,
        look_at_grid,
        next_commands,
        waiting_cells,
    )
    from echolm.states import RunState
    from grid.definition.files import load_in

    grid = load_in(workspace, grid_name)
    cells = grid.where(where)
    launched = (workspace.grids / grid.name).is_dir()

    def forecast(look: GridStatus) -> DiskForecast:
        running = sum(status.state.name == RunState.RUNNING for status in look.cells)
        return forecast_disk(workspace, look.cells, None, max(1, running), remembers=launched)

    live = watch and not as_json and sys.stdout.isatty()
    with live_table() if live else nullcontext() as screen:
        while True:
            look = look_at_grid(workspace, grid.name, cells)
            if look.unasked:
                warn([look.unasked])
            if as_json:
                print_json(status_document(grid.name, look, forecast(look)))
            else:
                show_status(grid, look, show_all, screen)
            if look.over or not watch:
                break
            time.sleep(every)
    if as_json:
        return
    if not watch:
        disk = forecast(look)
        for line in disk.lines():
            say(line)
        warn(disk.warnings())
    reasons = blocking_reasons(grid_name, look.stop_reason, look.given_up, on=look.on)
    warn(blocked_cells(look.cells))
    warn(waiting_cells(look.cells))
    warn(reasons)
    warn(
        next_commands(
            grid_name,
            look.cells,
            on=look.on,
            not_started=look.not_started,
            retry_said=bool(reasons),
        )
    )


def status_document(grid: str, look: GridStatus, disk: DiskForecast) -> dict[str, Any]:
    """Return a look as one JSON document."""
    from cluster.status import cell_facts, count_states, seconds_left

    return {
        "grid": grid,
        "states": count_states(look.cells),
        "seconds_left": seconds_left(look.cells),
        "given_up": look.given_up,
        "stopped": look.stop_reason or None,
        "disk": disk.plain(),
        "cells": [cell_facts(cell, look.jobs) for cell in look.cells],
    }


def show_status(grid: Grid, look: GridStatus, show_all: bool, screen: LiveTable | None) -> None:
    """Show a look as a table of cells, those that run first, and the counts.

    Args:
        grid: the grid.
        look: where its cells stand.
        show_all: list complete and pending cells too.
        screen: what is drawn again and again. None prints.
    """
    from cluster.status import counts_line, seconds_left

    cells = look.cells
    more = 0
    if not show_all:
        unlisted = ("complete", "pending", "waiting")
        cells = [cell for cell in cells if cell.state.name not in unlisted]
        cells.sort(key=lambda cell: cell.state.name != "running")
        more = max(0, len(cells) - LISTED)
        cells = cells[:LISTED]
    rows = [status_row(cell, look.jobs) for cell in cells]
    lines = []
    if more:
        lines.append(f"... and {more} more; --all lists them, --where some of them")
    counts = f"{grid.name}: {counts_line(look.cells)}"
    queued = 0
    for cell in look.cells:
        if cell.state.name in ("pending", "waiting") and cell.cell.id in look.jobs:
            queued += 1
    if queued:
        counts += f"; {queued} queued in SLURM"
    left_s = seconds_left(look.cells)
    if left_s is not None:
        counts += f"; about {duration(left_s)} left"
    lines.append(counts)
    if screen:
        return screen.draw(COLUMNS, rows, lines)
    if rows:
        print_table(COLUMNS, rows)
    for line in lines:
        say(line)


def live_table() -> LiveTable:
    """Make the table that a watch draws again and again."""
    from echolm.cli.terminal import LiveTable

    return LiveTable()
