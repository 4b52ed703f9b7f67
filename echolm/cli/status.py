"""``echolm status``: how the cells of a grid stand, now or live."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from echolm.cli.options import as_json, grid_argument, print_json, print_table, where
from echolm.cli.standings import COLUMNS, Jobs, blocked, counts, described, hindrances, remedies, row, states, tell, where_run
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.definition import Cell, Grid
    from grid.plan import Standing

LISTED = 50
"""Rows of a table, unless all are asked for."""
CLEAR = "\x1b[H\x1b[2J"
"""Empty a terminal."""


@click.command()
@grid_argument
@where
@click.option("--all", "show_all", is_flag=True, help="List complete and pending cells too.")
@click.option("--watch", is_flag=True, help="Go on looking until every cell has ended; Ctrl-C ends it.")
@click.option("--every", type=click.FloatRange(0.5), default=5.0, show_default=True, help="Seconds between two looks of --watch.")
@as_json
@click.pass_obj
def status(workspace: Workspace, grid_name: str, where: tuple[str, ...], show_all: bool, watch: bool, every: float, as_json: bool) -> None:
    """Count cells by state; list those that run or stopped.

    Each with its epoch, time left, validation loss, speed and SLURM job. GRID is a name from 'echolm grid list' or the path of a YAML file. What is missing (data, weights) is named, with
    the command that gets it. --json lists every cell; with --watch, a document a look.
    """
    from grid.definition import load_grid

    grid = load_grid(grid_name)
    cells = grid.where(where)
    while True:
        look = _look(workspace, grid, cells)
        standings, jobs = look.standings, look.jobs
        over = not any(s.state.name in ("pending", "running", "interrupted") for s in standings)
        if as_json:
            print_json({
                "grid": grid.name, "states": states(standings), "given_up": look.given_up, "stopped": look.stop or None,
                "cells": [described(s, jobs) for s in standings],
            })  # fmt: skip
        else:
            _show(grid, standings, jobs, show_all, live=watch and not over)
        if over or not watch:
            break
        time.sleep(every)
    if not as_json:
        why = hindrances(grid_name, look.stop, look.given_up, on=look.on)
        but = {s.cell.id for s in standings if look.stop or s.cell.id in look.covered or s.cell.id in look.given_up}
        tell([*blocked(standings), *why, *remedies(grid_name, standings, on=look.on, but=but, retry_said=bool(why))])


@dataclass(frozen=True)
class Look:
    """Where cells stand. ``on``: where the grid was run, as far as that is known; ``jobs``, ``covered``: its jobs that have
    cells, and the cells that they will train; ``given_up``: cell -> why; ``stop``: why nothing more of the grid is started, or ''."""

    standings: list[Standing]
    on: str
    jobs: Jobs
    covered: frozenset[str]
    given_up: dict[str, str]
    stop: str


def _look(workspace: Workspace, grid: Grid, cells: Sequence[Cell]) -> Look:
    """What is known now. Without an answer of SLURM, records and what launches wrote down speak alone."""
    from cluster.failures import failures, given_up, never_began
    from cluster.tracebacks import stops
    from grid.plan import survey, to_run

    jobs: Jobs = {}
    covered: frozenset[str] = frozenset()
    begun = ""
    if (on := where_run(workspace, grid.name)) == "slurm":
        from cluster.slurm.ledger import look, owners

        try:
            views = look(workspace, grid.name, remembered=False)
            begun = max((view.batch.name for view in views if view.batch.begun), default="")
            jobs, covered = owners(views), frozenset(cell for view in views for cell in view.covered())
        except EchoLMError as error:
            tell([f"SLURM is not asked: {error}"])
    standings, found = survey(cells, workspace), failures(workspace, grid.name)
    waiting = {s.cell.id for s in standings if to_run(s)} - covered
    lost = {cell: reason for cell, reason in given_up(found).items() if cell in waiting}
    stop = (stops(workspace, grid.name) or never_began(found, begun)) if any(s.state.name != "complete" for s in standings) else ""
    return Look(standings, on, jobs, covered, lost, stop)


def _show(grid: Grid, standings: Sequence[Standing], jobs: Jobs, show_all: bool, live: bool) -> None:
    """The table; on a terminal that is watched, in place of the last one."""
    screen = io.StringIO()
    shown = [s for s in standings if show_all or s.state.name not in ("complete", "pending")]
    if not show_all:
        shown = sorted(shown, key=lambda s: s.state.name != "running")  # first what runs, else in the grid's order
    more = 0 if show_all else max(0, len(shown) - LISTED)
    with redirect_stdout(screen):
        if shown:
            print_table(COLUMNS, [row(s, jobs) for s in shown[: len(shown) - more]])
            click.echo(f"... and {more} more; --all lists them, --where some of them\n" if more else "", nl=False)
        queued = sum(s.state.name == "pending" and s.cell.id in jobs for s in standings)
        click.echo(f"{grid.name}: {counts(standings)}" + (f"; {queued} queued in SLURM" if queued else ""))
    place = CLEAR if live and sys.stdout.isatty() else ""
    click.echo(f"{place}{screen.getvalue()}", nl=False)
