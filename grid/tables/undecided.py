"""Published numbers on which there is no verdict yet: why, where, and the command that leads to one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from echolm.errors import EchoLMError
from grid.copy import copied, copy_name, fixed, is_copied, ranges, seeds_of
from grid.definition import Grid
from grid.statistics import FEWEST_SEEDS
from grid.tables.missing import Gap, command, conditions, together
from grid.tables.table import Table, Value

COPY = "copy"
"""The remedy where the grid itself has too few seeds."""
COLUMN = ""
"""Stands as an axis for what a column shows, which no axis of the grid tells."""


@dataclass(frozen=True)
class Undecided:
    """One reason, the places that it holds for ("" for all), and what to type ("" where nothing helps)."""

    reason: str
    places: str
    commands: str

    @property
    def text(self) -> str:
        """The sentence."""
        return f"whether the published number was reproduced is not decidable: {self.reason}{f'; type: {self.commands}' if self.commands else ''}"


def undecided(table: Table) -> list[Undecided]:
    """One for each reason, in the order of the table. A place names columns where it is not of all of them."""
    expected = [(place, value) for place, value in _with_columns(table) if value.expected]
    open_ones = [(place, value) for place, value in expected if value.verdict and value.verdict.outcome == "not decidable"]
    copy = _copy(table) if any(map(_needs_copy, (value for _, value in open_ones))) else None
    found = [gap for place, value in open_ones for gap in _gaps(table, place, value, copy)]
    groups: dict[str, list[Gap]] = {}
    for gap in together(found, [place for place, _ in expected]):
        groups.setdefault(gap.reason, []).append(gap)
    return [Undecided(reason, _places(gaps), _commands(table, gaps)) for reason, gaps in groups.items()]


def _with_columns(table: Table) -> list[tuple[dict[str, str], Value]]:
    """``table.places``, with what the column shows where columns differ in that too."""
    shown = [column.model_copy(update={"where": {}, "label": "" if column.where else column.label}).heading for column in table.columns]
    named = [{COLUMN: text} if len(set(shown)) > 1 else {} for text in shown]
    return [({**place, **named[at % len(named)]}, value) for at, (place, value) in enumerate(table.places)]


def _needs_copy(value: Value) -> bool:
    return value.expected < FEWEST_SEEDS and not value.diverged


def _gaps(table: Table, place: Mapping[str, str], value: Value, copy: Grid | None) -> list[Gap]:
    """One for each command that helps; one without a command where none does."""
    verdict = value.verdict.text if value.verdict else ""
    reason = "a run diverged" if value.diverged else verdict.partition(": ")[2]
    places = tuple((axis, (label,)) for axis, label in place.items())
    if value.diverged or len(value.seeds) >= FEWEST_SEEDS:
        return [Gap(places, (), reason, "")]
    remedies = dict.fromkeys(item.remedy for item in value.missing)
    if copy and _needs_copy(value) and not _has_enough(table, place, copy):
        return [Gap(places, (), f"{reason}, but {fixed(value.expected)}", "")]
    if _needs_copy(value):
        remedies = {remedy: None for remedy in remedies if remedy != "launch"} | {COPY: None}
    return [Gap(places, (), reason, remedy) for remedy in remedies]


def _copy(table: Table) -> Grid | None:
    """The grid with enough seeds; None where it cannot be copied so, which the command to copy it says."""
    try:
        return copied(table.typed or table.grid, _seeds(table))
    except EchoLMError:
        return None


def _has_enough(table: Table, place: Mapping[str, str], copy: Grid) -> bool:
    """Whether the copy has enough seeds at a place: a block of one seed keeps it."""
    labels = {axis: (label,) for axis, label in place.items() if axis != COLUMN}
    try:
        return len(seeds_of(copy, conditions(table, labels))) >= FEWEST_SEEDS
    except EchoLMError:
        return False


def _places(gaps: list[Gap]) -> str:
    found = dict.fromkeys(", ".join("/".join(labels) for _, labels in gap.places) for gap in gaps)
    return "; ".join(found) if all(found) else ""


def _commands(table: Table, gaps: list[Gap]) -> str:
    lines: dict[str, None] = {}
    for gap in gaps:
        places = {axis: labels for axis, labels in gap.places if axis != COLUMN}
        if gap.remedy == COPY:
            lines |= dict.fromkeys(_copied(table, places))
        elif gap.remedy:
            lines[command(table, places, gap.remedy)] = None
    return "; ".join(f"`{line}`" for line in lines)


def _seeds(table: Table) -> set[int]:
    """The seeds of a copy that has enough: those of the table, and the first that it lacks."""
    names = [name for value in table.values for name in (*value.seeds, *(item.seed for item in value.missing))]
    seeds = {int(name) for name in names if name.isdecimal()}
    following = (number for number in range(len(seeds) + FEWEST_SEEDS) if number not in seeds)
    return seeds | {next(following) for _ in range(FEWEST_SEEDS - len(seeds))}


def _copied(table: Table, places: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A copy of the grid that has enough seeds, unless it is there, and its launch."""
    seeds = _seeds(table)
    more = copy_name(table.grid, seeds)
    made = shlex.join([*table.program, "grid", "copy", table.typed or table.grid, more, "--seeds", ranges(seeds)])
    return [*([] if is_copied(table.grid, seeds) else [made]), command(replace(table, typed=more), places)]
