"""What to type to get the seeds that would decide a difference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.text import counted, ranges
from grid.definition.copy import copied, copy_name, fixed, is_copied, seeds_of
from grid.definition.tables import SEED, TableGrid
from grid.statistics import SeedsNeeded
from grid.statistics.comparison import EQUAL, UNDECIDED
from grid.tables.compare import REMEDY, Compared, Pair, Selected
from grid.tables.comparison_text import Line
from grid.tables.missing import grid_command, narrowed, whole_grid
from grid.tables.seed_cost import SeedCost, seed_cost


@dataclass(frozen=True)
class SeedsToAdd:
    """Further seeds of a value.

    Attributes:
        value: the value.
        seeds: the seeds.
        command: what brings them, once the grid has them.
        new: those that the grid must get first.
    """

    value: Selected
    seeds: tuple[str, ...]
    command: Command
    new: tuple[str, ...] = ()


MANY = 20
"""Seeds a side from which it is asked whether so small a difference matters."""
WORDS = {
    "decided": "decided",
    "equal": EQUAL,
    "needed": UNDECIDED,
    "beyond": UNDECIDED,
    "patients": UNDECIDED,
    "unknown": "unknown",
}
"""The outcome of ``seeds_needed`` -> the verdict that is printed first."""


@dataclass(frozen=True)
class SeedPlan:
    """How to get the seeds.

    Attributes:
        commands: what to type. Empty where ``notes`` say why nothing helps.
        again: what asks the same question of the seeds that are there then.
        notes: why a copy of the grid would not have the seeds.
        cost: what they cost. None where that is not known.
    """

    commands: tuple[Command, ...]
    again: Command
    notes: tuple[str, ...]
    cost: SeedCost | None = None


def plan_seeds(
    pair: Pair, needed: SeedsNeeded, heading: str, place: str, margin: float | None = None
) -> SeedPlan:
    """Plan how to get the seeds that are needed.

    Args:
        pair: the two values.
        needed: how many seeds each needs.
        heading: of the column, as it was typed.
        place: where the grid is run.
        margin: as it was typed.
    """
    grid = pair.grid
    values = list(zip(pair.selected, pair.sides, strict=True))
    steps = seed_steps(grid, values, needed, place)
    seeds = _seeds_of_copy(grid, steps)
    target = copy_name(grid.name, seeds) if seeds else grid.typed
    notes = why_copy_lacks_seeds(grid, steps, seeds)
    commands: list[Command] = []
    if not notes:
        commands = _commands(grid, target, steps, seeds)
    options = [value.text for value in pair.selected]
    if heading:
        options += ["--column", heading]
    if margin is not None:
        options += ["--margin", f"{margin:g}"]
    verb = "seeds-needed" if needed.outcome == "unknown" else "compare"
    again = Command(verb, target, options=tuple(options))
    cells = [[cell.id for cell in value.cells] for value in pair.selected]
    cost = seed_cost(pair.results, cells, needed.more)
    return SeedPlan(tuple(commands), again, tuple(notes), cost)


def seed_lines(
    pair: Pair, needed: SeedsNeeded, plan: SeedPlan, margin: float | None = None
) -> list[Line]:
    """Return how many seeds are needed as lines, the verdict first."""
    lines = [(WORDS[needed.outcome], f"{pair.column.heading}: {needed.text}")]
    digits = pair.column.digits
    lines.append(("difference", needed.comparison.difference_text(digits)))
    if plan.cost is not None:
        lines.append(("cost", plan.cost.text))
    elif sum(needed.more):
        runs = counted(sum(needed.more), "run")
        lines.append(("cost", f"{runs}; how long one takes is not known from stored runs"))
    question = margin_question(pair, needed, margin)
    if question:
        lines.append(("margin?", question))
    return lines


def margin_question(pair: Pair, needed: SeedsNeeded, margin: float | None) -> str:
    """Return the question whether so small a difference matters, or '' where it is not asked.

    It is asked without a margin, where the difference takes many seeds, or no number decides it.
    """
    is_far = needed.outcome in ("beyond", "patients") or max(needed.total) > MANY
    if margin is not None or needed.outcome in ("decided", "unknown") or not is_far:
        return ""
    difference = abs(needed.comparison.difference)
    return (
        f"does a difference of {difference:.{max(pair.column.digits, 2)}g} matter to you? With "
        "--margin M, the least that would, this says how many seeds show both to be equal within M"
    )


def check_plannable(sides: Sequence[Compared]) -> None:
    """Check that more seeds can be planned from these values.

    Raises:
        EchoLMError: some of their runs diverged.
    """
    for side in sides:
        if side.diverged:
            raise EchoLMError(
                f"{side.name!r}: {side.failed}; how many seeds would decide cannot be said from "
                f"runs that diverged; {REMEDY} and compare those"
            )


def seed_steps(
    grid: TableGrid,
    values: Sequence[tuple[Selected, Compared]],
    needed: SeedsNeeded,
    place: str,
) -> list[SeedsToAdd]:
    """Return what brings the seeds that are needed.

    Of each value first those that the grid has and that lack a run, for each command its own step,
    then those that it does not have yet.
    """
    launch = grid_command("launch", grid.typed, place)
    steps = []
    for (value, side), more in zip(values, needed.more, strict=True):
        waiting = [item for item in side.missing if item.command][:more]
        first_new = 1 + max((int(seed) for seed in value.seeds if seed.isdecimal()), default=-1)
        end = first_new + more - len(waiting)
        new = tuple(str(seed) for seed in range(first_new, end))
        seeds: dict[Command, list[str]] = {}
        for item in waiting:
            command = whole_grid(item.command)
            if command is not None:
                seeds.setdefault(command, []).append(item.seed)
        to_launch = (*seeds.pop(launch, ()), *new)
        for command, names in seeds.items():
            steps.append(_step(value, command, tuple(names)))
        if to_launch:
            steps.append(_step(value, launch, to_launch, new))
    return steps


def why_copy_lacks_seeds(
    grid: TableGrid, steps: Sequence[SeedsToAdd], seeds: Collection[int]
) -> list[str]:
    """Return why a copy of the grid would not have the new seeds of some steps.

    Nothing where it has them all.

    Args:
        grid: the grid.
        steps: what brings the seeds.
        seeds: of the copy. Empty where no copy is needed.
    """
    if not seeds:
        return []
    reasons = []
    try:
        copy = copied(grid.typed, seeds)
        for step in steps:
            if not set(step.new) <= seeds_of(copy, step.value.where):
                reasons.append(f"{step.value.text}: {fixed(len(step.value.seeds))}")
    except EchoLMError as error:
        return [str(error)]
    return reasons


def _step(
    value: Selected, command: Command, seeds: tuple[str, ...], new: tuple[str, ...] = ()
) -> SeedsToAdd:
    where = [*value.where, f"{SEED}={_shortened(seeds)}"]
    return SeedsToAdd(value, seeds, narrowed(command, where), new)


def _seeds_of_copy(grid: TableGrid, steps: Sequence[SeedsToAdd]) -> set[int]:
    """Return the seeds that a copy of the grid needs, or none where the grid has all of them."""
    new: set[int] = set()
    for step in steps:
        new.update(int(seed) for seed in step.new)
    if not new:
        return set()
    seeds = [cell.coordinates.get(SEED, "") for cell in grid.cells]
    return new | {int(seed) for seed in seeds if seed.isdecimal()}


def _commands(
    grid: TableGrid, target: str, steps: Sequence[SeedsToAdd], seeds: Collection[int]
) -> list[Command]:
    """Return what brings the seeds.

    What the grid has is brought there first. Then the copy is made, unless it is there, and
    launched.

    Args:
        grid: the grid.
        target: what has all the seeds: the grid, or its copy.
        steps: what brings the seeds.
        seeds: of the copy. Empty where no copy is needed.
    """
    in_grid: dict[Command, None] = {}
    launches = []
    for step in steps:
        if step.command.verb == "launch":
            launches.append(replace(step.command, target=target))
        else:
            in_grid[step.command] = None
    copies = []
    if seeds and not is_copied(grid.name, seeds):
        options = (target, "--seeds", ranges(seeds))
        copies.append(Command("grid copy", grid.typed, options=options))
    return [*in_grid, *copies, *launches]


def _shortened(seeds: Sequence[str]) -> str:
    """Return ``0,3-610``, as ``--where`` understands it."""
    if all(seed.isdecimal() and seed == str(int(seed)) for seed in seeds):
        return ranges(int(seed) for seed in seeds)
    return ",".join(seeds)
