"""``echolm compare`` and ``echolm seeds-needed``: two values of a grid, paired by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from echolm.cli.options import as_json, grid_argument, print_json, typed
from echolm.cli.standings import where_run
from echolm.cli.tables import open_grid
from echolm.record import cell_standing
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.statistics import Comparison
    from grid.tables.definition import ColumnDefinition, TableGrid
    from grid.tables.selection import Compared, Selected, Step

C = TypeVar("C", bound=Callable[..., Any])


def values(command: C) -> C:
    """The arguments GRID, A, B and the option --column."""
    for option in (
        click.option("--column", "heading", metavar="HEADING", default="", help="What to compare: a column of their tables, such as 'dice ED'.  [default: the first]"),
        click.argument("second", metavar="B"),
        click.argument("first", metavar="A"),
        grid_argument,
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@values
@click.option("--margin", type=click.FloatRange(min=0, min_open=True), help="Also whether both are equivalent within ± this.")
@as_json
@click.pass_obj
def compare(workspace: Workspace, grid_name: str, first: str, second: str, heading: str, margin: float | None, as_json: bool) -> None:
    """Compare two values of GRID, paired by patient.

    It prints the difference with its interval and p, what cannot be claimed, and which runs diverged. A and B name them by their labels, as in head=gcn,encoder=tiny-r3d,
    trainable=all (without a blank): all that differs within one is the seed.
    """
    from grid.statistics import compare as compared
    from grid.tables.selection import remarks

    _, column, _, sides = _pair(workspace, grid_name, first, second, heading)
    found = compared(sides[0].resampled, sides[1].resampled, margin)
    notes = remarks(sides)
    if as_json:
        more = {"equivalent": found.equivalent, "text": found.sentence(column.digits), "notes": notes}
        print_json({"grid": grid_name, "column": column.heading, **_plain(found), **_flags(sides), **more})
    else:
        click.echo("\n".join([f"{column.heading}: {found.sentence(column.digits)}", *(f"- {note}" for note in notes)]))


@click.command("seeds-needed")
@values
@click.option("--power", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.8, show_default=True, help="Chance that they decide.")
@as_json
@click.pass_obj
def seeds_needed(workspace: Workspace, grid_name: str, first: str, second: str, heading: str, power: float, as_json: bool) -> None:
    """Say how many more seeds would decide a difference.

    It is that of two values of GRID, paired by patient; the commands that run them are printed. A and B name them by their labels, as in head=gcn,encoder=tiny-r3d,
    trainable=all (without a blank): all that differs within one is the seed.
    """
    from grid.statistics import seeds_needed as needed
    from grid.tables.selection import kept, plannable, steps

    grid, column, chosen, sides = _pair(workspace, grid_name, first, second, heading)
    plannable(sides)
    found = needed(sides[0].resampled, sides[1].resampled, power)
    wanted = steps(list(zip(chosen, sides, strict=True)), found)
    seeds = _seeds(grid, wanted)
    notes = kept(grid, wanted, seeds)
    name = _name(grid, seeds)
    commands = [] if notes else _commands(grid, name, wanted, seeds, where_run(workspace, grid.name))
    command = "seeds-needed" if found.outcome == "unknown" else "compare"
    again = typed(command, name, first, second, *(["--column", heading] if heading else []))
    if as_json:
        plain = {"outcome": found.outcome, "more": list(found.more), "total": list(found.total), "text": found.text}
        told = {"commands": commands, "again": again if commands else None, "notes": notes}
        print_json({"grid": grid.name, "column": column.heading, **plain, **told, "comparison": _plain(found.comparison)})
        return
    click.echo("\n".join([f"{column.heading}: {found.text}.", *(f"- {note}; so no command runs more." for note in notes)]))
    if commands:
        click.echo("\n  ".join([f"to get these {sum(found.more):,} runs, type", *commands]))
        click.echo(f"and then, to ask again\n  {again}")


def _seeds(grid: TableGrid, wanted: Sequence[Step]) -> set[int]:
    """The seeds that a copy of the grid needs; none where the grid has all of them."""
    new = {int(seed) for step in wanted for seed in step.new}
    return new and new | {int(cell.coordinates["seed"]) for cell in grid.cells if cell.coordinates.get("seed", "").isdecimal()}


def _name(grid: TableGrid, seeds: set[int]) -> str:
    """What has all the seeds: the grid, or its copy with ``seeds``."""
    from grid.copy import copy_name

    return copy_name(grid.name, seeds) if seeds else grid.typed


def _commands(grid: TableGrid, name: str, wanted: Sequence[Step], seeds: set[int], on: str) -> list[str]:
    """What brings the seeds. What the grid has is brought there, before what makes a copy (unless that is there) and launches it."""
    from grid.copy import is_copied, ranges
    from grid.tables.missing import place_words

    first = [typed("grid", "copy", grid.typed, name, "--seeds", ranges(seeds))] if seeds and not is_copied(grid.name, seeds) else []
    launches = [typed("launch", name, *place_words("launch", on), *_where(step)) for step in wanted if step.remedy == "launch"]
    others = [typed(step.remedy, grid.typed, *place_words(step.remedy, on), *([] if step.remedy == "collect" else _where(step))) for step in wanted if step.remedy != "launch"]
    return [*dict.fromkeys(others), *first, *launches]


def _where(step: Step) -> list[str]:
    return [word for text in step.where for word in ("--where", text)]


def _pair(
    workspace: Workspace, grid_name: str, first: str, second: str, heading: str
) -> tuple[TableGrid, ColumnDefinition, tuple[Selected, Selected], tuple[Compared, Compared]]:
    from grid.tables.selection import column_of, pair, selected

    grid, results = open_grid(workspace, grid_name)
    chosen = selected(grid, first), selected(grid, second)
    column = column_of(grid, chosen, heading)
    return grid, column, chosen, pair(grid, results, *chosen, column, partial(cell_standing, workspace.runs), where_run(workspace, grid.name))


def _plain(found: Comparison) -> dict[str, Any]:
    names = ("first", "second", "statistic", "difference", "low", "high", "p", "wilcoxon", "patients", "seeds", "crossed", "claim")
    return {name: getattr(found, name) for name in names}


def _flags(sides: tuple[Compared, Compared]) -> dict[str, Any]:
    """What sets these values apart from sound ones of patients."""
    return {"diverged": [[run.seed for run in side.diverged] for side in sides], "synthetic": [side.synthetic for side in sides]}
