"""Published numbers on which there is no verdict yet: why, where, and the command that leads to one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from grid.copy import copy_name, is_copied, ranges
from grid.statistics import FEWEST_SEEDS
from grid.tables.missing import Gap, command, together
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
    found = [_gap(place, value) for place, value in expected if value.verdict and value.verdict.outcome == "not decidable"]
    groups: dict[str, list[Gap]] = {}
    for gap in together(found, [place for place, _ in expected]):
        groups.setdefault(gap.reason, []).append(gap)
    return [Undecided(reason, _places(gaps), _commands(table, gaps)) for reason, gaps in groups.items()]


def _with_columns(table: Table) -> list[tuple[dict[str, str], Value]]:
    """``table.places``, with what the column shows where columns differ in that too."""
    shown = [column.model_copy(update={"where": {}, "label": "" if column.where else column.label}).heading for column in table.columns]
    named = [{COLUMN: text} if len(set(shown)) > 1 else {} for text in shown]
    return [({**place, **named[at % len(named)]}, value) for at, (place, value) in enumerate(table.places)]


def _gap(place: Mapping[str, str], value: Value) -> Gap:
    verdict = value.verdict.text if value.verdict else ""
    reason = "a run diverged" if value.diverged else verdict.partition(": ")[2]
    places = tuple((axis, (label,)) for axis, label in place.items())
    if value.diverged or len(value.seeds) >= FEWEST_SEEDS:
        return Gap(places, (), reason, "")
    return Gap(places, (), reason, value.missing[0].remedy if value.expected >= FEWEST_SEEDS else COPY)


def _places(gaps: list[Gap]) -> str:
    found = [", ".join("/".join(labels) for _, labels in gap.places) for gap in gaps]
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


def _copied(table: Table, places: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A copy of the grid that has enough seeds, unless it is there, and its launch."""
    names = [name for value in table.values for name in (*value.seeds, *(item.seed for item in value.missing))]
    seeds = {int(name) for name in names if name.isdecimal()}
    following = (number for number in range(len(seeds) + FEWEST_SEEDS) if number not in seeds)
    seeds |= {next(following) for _ in range(FEWEST_SEEDS - len(seeds))}
    more = copy_name(table.grid, seeds)
    copied = shlex.join([*table.program, "grid", "copy", table.typed or table.grid, more, "--seeds", ranges(seeds)])
    return [*([] if is_copied(table.grid, seeds) else [copied]), command(replace(table, typed=more), places)]
