"""``echolm launch --on slurm``: print what was submitted, or would be, and what became of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from signal import Signals
from typing import TYPE_CHECKING, Any

import click

from cluster.place import LaunchNews
from cluster.status import (
    blocked_cells,
    blocking_reasons,
    count_states,
    counts_line,
    half_weights,
    next_commands,
    waiting_cells,
)
from echolm.cli.hints import warn, warn_of_failures
from echolm.cli.launch_cost import preview_cost, print_cost
from echolm.cli.options import print_json
from echolm.commands import Command, Hint
from echolm.text import counted

if TYPE_CHECKING:
    from cluster.place import LaunchOptions, LaunchResult, Place
    from cluster.slurm.submit.launch import LaunchStep, SlurmPlace
    from grid.definition.grid import Cell, Grid


def submit(
    place: Place,
    grid_name: str,
    grid: Grid,
    cells: Sequence[Cell],
    options: LaunchOptions,
    facts: dict[str, Any] | None,
) -> int:
    """Submit what is missing, and with a watch go on until every cell has ended.

    Args:
        place: the SLURM site.
        grid_name: the grid as it was typed.
        grid: the grid.
        cells: some or all of its cells.
        options: how they are run.
        facts: the beginning of the JSON document to print. None prints text.

    Returns:
        The exit status: 0 submitted or complete, 1 not, 130 or 143 when a signal ended the watch.
    """
    news = SlurmNews(grid.name, quiet=facts is not None)
    result = place.launch(grid, cells, news)
    if facts is not None:
        document = {
            "grid": grid.name,
            **facts,
            "states": count_states(result.statuses),
            "submitted": list(result.submitted),
            "covered": sorted(result.covered),
            "given_up": result.given_up,
            "stopped": result.stopped or result.stop_reason or None,
            "failures": [vars(failure) for failure in result.failures],
        }
        print_json(document)
    warn(blocked_cells(result.statuses))
    warn(waiting_cells(result.statuses))
    watched = options.watch_every is not None
    warn(last_words(grid_name, result, watched, news.last_submitted))
    if result.stopped:
        return 128 + Signals[result.stopped]
    return 0 if result.done else 1


class SlurmNews(LaunchNews):
    """Steps as text: new failures, and a line of counts when it says something new.

    Args:
        grid: the grid's name.
        quiet: keep standard output free for a JSON document.
    """

    def __init__(self, grid: str, quiet: bool = False) -> None:
        self._grid = grid
        self._quiet = quiet
        self._line = ""
        self._away = ""
        self.last_submitted = False
        """Whether the last step submitted arrays."""

    def step(self, step: LaunchStep) -> None:
        """Print one step."""
        self.last_submitted = bool(step.arrays)
        if step.away and step.away != self._away:
            warn([f"{step.away}; waiting"])
        self._away = step.away
        if self._quiet:
            return
        warn_of_failures(step.failures)
        line = f"{self._grid}: {counts_line(step.statuses)}"
        if step.plan.covered:
            line += f"; {len(step.plan.covered)} in jobs"
        if step.more_arrays:
            line += f"; more jobs for them: {', '.join(step.more_arrays)}"
        if step.arrays:
            cells = counted(step.placed, "cell")
            arrays = counted(len(step.arrays), "array")
            line += f"; submitted {cells}: {arrays} {', '.join(step.arrays)}"
        if step.plan.cells > step.placed:
            cells = counted(step.plan.cells - step.placed, "cell")
            line += f"; {cells} must wait for room (jobs at once, or the submit limit)"
        if line != self._line:
            click.echo(line)
        self._line = line

    def warn(self, line: str) -> None:
        """Print a line on standard error."""
        warn([line])


def last_words(grid: str, result: LaunchResult, watched: bool, submitted: bool) -> list[str | Hint]:
    """Say at the end why cells are not started, and what to type next."""
    reasons = blocking_reasons(grid, result.stop_reason, result.given_up, on="slurm")
    if result.stopped:
        line = f"stopped by {result.stopped}; the jobs go on, and the same command goes on watching"
        return [line, *reasons]
    if watched:
        not_started = {*result.covered, *result.given_up}
        if result.stop_reason:
            not_started = {status.cell.id for status in result.statuses}
        hints = next_commands(
            grid,
            result.statuses,
            on="slurm",
            not_started=not_started,
            retry_said=bool(reasons),
        )
        return [*reasons, *hints]
    if reasons or not (submitted or result.covered):
        return list(reasons)
    text = "to submit what is left, run launch again; to follow them"
    return [Hint(text, Command("status", grid))]


def print_preview(
    place: SlurmPlace,
    grid_name: str,
    grid: Grid,
    cells: Sequence[Cell],
    as_json: bool,
    by: str | None = None,
) -> None:
    """Print what a launch would submit, what it will cost, and what that takes for granted.

    Args:
        place: the site.
        grid_name: the grid as it was typed.
        grid: the grid.
        cells: some or all of its cells.
        as_json: whether it is printed as JSON.
        by: the axis by which the cost is told apart. None: recipe, where the grid has it.

    Raises:
        EchoLMError: it would cost more than the budget.
    """
    from cluster.slurm.submit.launch import site_and_needs
    from cluster.slurm.submit.preview import count_cells, planned_arrays
    from cluster.slurm.submit.top_up import jobs_to_add

    preview = place.preview(grid, cells)
    plan = preview.plan
    cost = preview_cost(place, preview, by)
    profile, _ = site_and_needs(place.options)
    at_once = place.options.slots or profile.jobs_at_once
    planned = planned_arrays(plan, preview.views, profile, at_once, preview.offline)
    blocked = []
    for status in preview.statuses:
        if status.cell.id not in preview.assumed_cells:
            blocked.append(status)
    more_jobs = 0
    if not plan.stop:
        more_jobs = sum(jobs_to_add(view) for view in preview.views)
    if as_json:
        document: dict[str, Any] = {
            "grid": grid.name,
            "states": count_states(preview.statuses),
            "covered": sorted(plan.covered),
            "given_up": plan.given_up,
            "stopped": plan.stop or None,
            "more_jobs": more_jobs,
            "forecast": preview.forecast.plain(),
            "forecast_with_gpu": preview.with_gpu.plain() if preview.with_gpu else None,
            "cost": cost.plain(),
            "disk": preview.disk.plain(),
            "assumed": preview.assumed,
            "arrays": [],
        }
        for shape in planned:
            sizes = [array.count for array in shape.arrays]
            document["arrays"].append(
                {
                    "units": [list(unit.cells) for unit in shape.job.units],
                    "jobs": sum(sizes),
                    "after": list(shape.job.after),
                    "arrays": sizes,
                    "waiting": [list(unit.cells) for unit in shape.waiting],
                    "sbatch": shape.text,
                }
            )
        print_json(document)
    else:
        for shape in planned:
            click.echo(f"# {shape.line}")
            click.echo(shape.text + "\n")
        print_cost(cost)
        for line in preview.forecast.lines(datetime.now()):
            click.echo(line)
        if preview.with_gpu:
            click.echo(f"with --gpus 1: {preview.with_gpu.short}")
        for line in preview.disk.lines():
            click.echo(line)
        for line in preview.assumed:
            click.echo(f"assumed: {line}")
        waiting = sum(count_cells(shape.waiting) for shape in planned)
        cells_to_submit = counted(plan.cells - waiting, "cell")
        line = f"{grid.name}: {counts_line(preview.statuses)}; would submit {cells_to_submit}"
        if plan.covered:
            line += f"; {len(plan.covered)} in jobs"
        if more_jobs:
            line += f"; {counted(more_jobs, 'job')} more for them, as room allows"
        click.echo(line)
        warn(preview.disk.warnings())
        warn(blocked_cells(blocked))
        warn(waiting_cells(preview.statuses))
        warn(half_weights(preview.statuses))
        warn(blocking_reasons(grid_name, plan.stop, plan.given_up, on="slurm"))
    if place.options.budget_gpu_hours is not None:
        preview.forecast.refuse(place.options.budget_gpu_hours)
