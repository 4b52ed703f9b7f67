"""``echolm compare`` and ``echolm seeds-needed``: values of a grid, paired by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from echolm.cli.hints import warn_of_changes
from echolm.cli.options import as_json, grid_argument, print_json, print_table, program
from echolm.cli.options import grid_name as name_of_grid
from echolm.cli.terminal import say
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tables.compare import Pair

C = TypeVar("C", bound=Callable[..., Any])


def values(second_required: bool) -> Callable[[C], C]:
    """Add the arguments GRID, A, B and the options --column and --margin.

    Args:
        second_required: whether B must be given.
    """

    def add(command: C) -> C:
        column = click.option(
            "--column",
            "heading",
            metavar="HEADING",
            default="",
            help="What to compare: a column of their tables, such as 'dice ED'.  [default: the "
            "first]",
        )
        margin = click.option(
            "--margin",
            type=click.FloatRange(min=0, min_open=True),
            help="The least difference that matters: also whether both are equal within ± this.",
        )
        first = click.argument("first", metavar="A")
        metavar = "B" if second_required else "[B]"
        second = click.argument("second", metavar=metavar, required=second_required)
        # Decorators apply from the inside out: the arguments stand in the order GRID, A, B.
        return grid_argument(first(second(column(margin(command)))))

    return add


@click.command()
@values(second_required=False)
@click.option(
    "--subgroup",
    metavar="VALUE",
    help="Compare in subgroups of the test patients, and whether they differ: a value of the "
    "store, as sex, or its groups too, as 'age=<60|60-75|>=75'.",
)
@as_json
@click.pass_obj
def compare(
    workspace: Workspace,
    grid_name: str,
    first: str,
    second: str | None,
    heading: str,
    margin: float | None,
    subgroup: str | None,
    as_json: bool,
) -> None:
    """Compare two values of GRID, or all labels of an axis, paired by patient.

    The verdict on A stands first: better, worse, undecided, or equal within the margin. Then come
    the difference with its interval and p, what cannot be claimed, and which runs diverged. A and B
    name values by their labels, as in head=gcn,encoder=tiny-r3d,trainable=all (without a blank):
    all that differs within one is the seed.

    With the name of an axis alone, as in `compare GRID head`, its labels are compared with the
    best of them, paired over all other axes.

    With --subgroup, A and B are compared in each group, and an interaction says whether their
    difference differs between groups: the difference of the differences, with its interval.
    """
    place = _place(workspace, grid_name)
    if subgroup and second is None:
        raise click.UsageError("--subgroup compares two values: give A and B")
    if second is None:
        _main_effect(workspace, grid_name, first, heading, margin, place, as_json)
        return
    from grid.statistics import compare as compare_values
    from grid.tables.compare import read_pair
    from grid.tables.comparison_text import comparison_facts, comparison_lines, flags, remarks

    pair = read_pair(workspace, grid_name, first, second, heading, place)
    warn_of_changes(workspace, pair.grid, place)
    if subgroup:
        _in_subgroups(workspace, pair, subgroup, place, as_json)
        return
    first_side, second_side = pair.sides
    comparison = compare_values(first_side.resampled, second_side.resampled, margin)
    notes = remarks(pair.sides)
    if as_json:
        print_json(
            {
                "grid": grid_name,
                "column": pair.column.heading,
                "verdict": comparison.word(pair.column.direction or None),
                **comparison_facts(comparison),
                **flags(pair.sides),
                "equivalent": comparison.equivalent,
                "text": comparison.sentence(pair.column.digits),
                "notes": notes,
            }
        )
        return
    _print_lines(comparison_lines(pair, comparison))
    for note in notes:
        say(f"- {note}")


@click.command("seeds-needed")
@values(second_required=True)
@click.option(
    "--power",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    help="Chance that they decide.",
)
@as_json
@click.pass_obj
def seeds_needed(
    workspace: Workspace,
    grid_name: str,
    first: str,
    second: str,
    heading: str,
    margin: float | None,
    power: float,
    as_json: bool,
) -> None:
    """Say how many more seeds would decide a difference, and what they cost.

    The difference is that of two values of GRID, paired by patient. The commands that run the seeds
    are printed. A and B name them by their labels, as in head=gcn,encoder=tiny-r3d,trainable=all
    (without a blank): all that differs within one is the seed. With --margin, a difference that is
    smaller is not to be decided: the answer is how many seeds show both to be equal within it.
    """
    from grid.statistics import seeds_needed as needed_seeds
    from grid.tables.compare import read_pair
    from grid.tables.comparison_text import comparison_facts, value_remarks
    from grid.tables.seeds_to_add import (
        WORDS,
        check_plannable,
        margin_question,
        plan_seeds,
        seed_lines,
    )

    place = _place(workspace, grid_name)
    pair = read_pair(workspace, grid_name, first, second, heading, place)
    warn_of_changes(workspace, pair.grid, place)
    check_plannable(pair.sides)
    first_side, second_side = pair.sides
    needed = needed_seeds(first_side.resampled, second_side.resampled, power, margin=margin)
    plan = plan_seeds(pair, needed, heading, place, margin)
    commands = [command.text(program()) for command in plan.commands]
    again = plan.again.text(program())
    if as_json:
        cost = plan.cost
        print_json(
            {
                "grid": pair.grid.name,
                "column": pair.column.heading,
                "verdict": WORDS[needed.outcome],
                "outcome": needed.outcome,
                "more": needed.more,
                "total": needed.total,
                "text": needed.text,
                "cost_seconds": cost.seconds if cost else None,
                "cost": cost.text if cost else None,
                "margin_question": margin_question(pair, needed, margin) or None,
                "commands": commands,
                "again": again if commands else None,
                "notes": plan.notes,
                "comparison": comparison_facts(needed.comparison),
                "remarks": value_remarks(pair.sides),
            }
        )
        return
    _print_lines(seed_lines(pair, needed, plan, margin))
    for remark in value_remarks(pair.sides):
        say(f"- {remark}")
    for note in plan.notes:
        say(f"- {note}; so no command runs more.")
    if commands:
        say(f"to get these {sum(needed.more):,} runs, type")
        for command in commands:
            say(f"  {command}")
        say(f"and then, to ask again\n  {again}")


def _in_subgroups(
    workspace: Workspace, pair: Pair, subgroup: str, place: str, as_json: bool
) -> None:
    """Print a comparison in subgroups, and its interactions."""
    from grid.tables.comparison_text import value_remarks
    from grid.tables.interactions import HEADER, INTERACTION_HEADER, in_subgroups

    found = in_subgroups(workspace, pair, subgroup, place)
    notes = [*value_remarks(pair.sides), *found.notes]
    if as_json:
        print_json({**found.facts(), "notes": notes})
        return
    first_side, second_side = pair.sides
    say(f"{pair.column.heading}: {first_side.name} - {second_side.name}, by {found.name}")
    print_table(HEADER, found.rows())
    print_table(INTERACTION_HEADER, found.interaction_rows())
    for note in notes:
        say(f"- {note}")


def _main_effect(
    workspace: Workspace,
    grid_name: str,
    axis: str,
    heading: str,
    margin: float | None,
    place: str,
    as_json: bool,
) -> None:
    """Print the main effect of an axis."""
    from grid.tables.main_effect import HEADER, read_main_effect

    if "=" in axis:
        raise EchoLMError(
            f"{axis!r} is one value; name a second one to compare it with, or an axis alone"
        )
    effect = read_main_effect(workspace, grid_name, axis, heading, margin, place)
    warn_of_changes(workspace, effect.opened, place)
    if as_json:
        print_json(effect.facts())
        return
    say(effect.headline)
    print_table(HEADER, effect.rows())
    for note in effect.notes:
        say(f"- {note}")


def _print_lines(lines: Sequence[tuple[str, str]]) -> None:
    """Print lines whose texts stand below one another."""
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        say(f"{name:<{width}}  {text}")


def _place(workspace: Workspace, reference: str) -> str:
    """Return where a grid is run."""
    from cluster.status import where_run

    return where_run(workspace, name_of_grid(reference))
