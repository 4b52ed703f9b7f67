"""Published numbers on which there is no verdict yet: why, where, and what leads to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.text import ranges
from grid.definition.copy import copied, copy_name, fixed, is_copied, seeds_of
from grid.definition.grid import Grid
from grid.statistics import FEWEST_SEEDS
from grid.statistics.far_behind import FAR_BEHIND
from grid.tables.missing import (
    Gap,
    conditions,
    grid_command,
    merge,
    narrowed,
    one_place,
    whole_grid,
)
from grid.tables.table import Table, Value

COLUMN = ""
"""Stands as an axis for what a column shows, which no axis of the grid tells."""


@dataclass(frozen=True)
class Undecided:
    """One reason why published numbers have no verdict.

    Attributes:
        reason: the reason.
        places: where it holds. Empty for all places.
        commands: what to type. Empty where nothing helps.
    """

    reason: str
    places: str
    commands: tuple[Command, ...]

    def text(self, program: Sequence[str] = ("echolm",)) -> str:
        """Return the sentence. ``program``: the words that commands begin with."""
        sentence = "whether the published number was reproduced is not decidable: " + self.reason
        if not self.commands:
            return sentence
        commands = "; ".join(f"`{command.text(program)}`" for command in self.commands)
        return f"{sentence}; type: {commands}"


def undecided(table: Table) -> list[Undecided]:
    """Return one for each reason, in the order of the table.

    A place names columns where it is not of all of them.
    """
    expected = [pair for pair in _located_by_column(table) if pair[1].expected]
    open_values = [pair for pair in expected if _is_open(pair[1])]
    copy = None
    if any(_needs_copy(value) for _, value in open_values):
        copy = _SeedCopy.of(table)
    all_gaps: list[Gap] = []
    for coordinates, value in open_values:
        all_gaps += _gaps(table, coordinates, value, copy)
    by_reason: dict[str, list[Gap]] = {}
    for gap in merge(all_gaps, [coordinates for coordinates, _ in expected]):
        by_reason.setdefault(gap.reason, []).append(gap)
    reasons = []
    for reason, gaps in by_reason.items():
        commands = _commands(table, gaps, copy)
        reasons.append(Undecided(reason, _places_text(gaps), commands))
    return reasons


@dataclass(frozen=True)
class _SeedCopy:
    """A copy of a table's grid that has enough seeds.

    Attributes:
        file: its file, as commands name it.
        create: what makes it.
        is_there: whether it is made already.
        grid: the copy. None where the grid cannot be copied so, which ``create`` says when typed.
    """

    file: str
    create: Command
    is_there: bool
    grid: Grid | None

    @classmethod
    def of(cls, table: Table) -> _SeedCopy:
        """Plan the copy: with the seeds of the table, and the first that it lacks."""
        seeds = _enough_seeds(table)
        file = copy_name(table.grid, seeds)
        create = Command("grid copy", table.reference, options=(file, "--seeds", ranges(seeds)))
        try:
            grid = copied(table.reference, seeds)
        except EchoLMError:
            grid = None
        return cls(file, create, is_copied(table.grid, seeds), grid)

    def lacks_seeds(self, where: Sequence[str]) -> bool:
        """Return whether cells have too few seeds in the copy too: a block of one seed keeps it."""
        if self.grid is None:
            return False
        try:
            return len(seeds_of(self.grid, where)) < FEWEST_SEEDS
        except EchoLMError:
            return True


def _located_by_column(table: Table) -> list[tuple[dict[str, str], Value]]:
    """Return values with their coordinates, and with what the column shows where that differs."""
    headings = []
    for column in table.columns:
        label = "" if column.where else column.label
        headings.append(column.model_copy(update={"where": {}, "label": label}).heading)
    located = []
    for row in table.rows:
        for column, heading, value in zip(table.columns, headings, row.values, strict=True):
            coordinates = table.coordinates(row, column)
            if len(set(headings)) > 1:
                coordinates[COLUMN] = heading
            located.append((coordinates, value))
    return located


def _is_open(value: Value) -> bool:
    return value.verdict is not None and value.verdict.outcome == "not decidable"


def _needs_copy(value: Value) -> bool:
    """Return whether the grid itself has too few seeds."""
    is_sound = not value.diverged and not value.far_behind
    return value.expected < FEWEST_SEEDS and is_sound


def _gaps(
    table: Table, coordinates: Mapping[str, str], value: Value, copy: _SeedCopy | None
) -> list[Gap]:
    """Return one gap for each command that helps, or one without a command where none does."""
    places = one_place(coordinates)
    if value.diverged:
        return [Gap(places, (), "a run diverged")]
    if value.far_behind:
        return [Gap(places, (), f"a seed is {FAR_BEHIND}")]
    reason = ""
    if value.verdict:
        reason = value.verdict.text.partition(": ")[2]
    if len(value.seeds) >= FEWEST_SEEDS:
        return [Gap(places, (), reason)]
    commands = dict.fromkeys(whole_grid(item.command) for item in value.missing)
    if copy is not None and _needs_copy(value):
        where = conditions(table, _axis_labels(places))
        if copy.lacks_seeds(where):
            return [Gap(places, (), f"{reason}, but {fixed(value.expected)}")]
        # The copy's launch runs what the grid itself could launch.
        for command in list(commands):
            if command is not None and command.verb == "launch":
                del commands[command]
        commands[grid_command("launch", copy.file, table.place)] = None
    return [Gap(places, (), reason, command) for command in commands]


def _commands(table: Table, gaps: Sequence[Gap], copy: _SeedCopy | None) -> tuple[Command, ...]:
    """Return the commands for some gaps, each once."""
    commands: dict[Command, None] = {}
    for gap in gaps:
        if gap.command is None:
            continue
        if copy is not None and gap.command.target == copy.file and not copy.is_there:
            commands[copy.create] = None
        where = conditions(table, _axis_labels(gap.places))
        commands[narrowed(gap.command, where)] = None
    return tuple(commands)


def _axis_labels(places: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Return axis -> labels, without what columns show."""
    return {axis: labels for axis, labels in places if axis != COLUMN}


def _places_text(gaps: Sequence[Gap]) -> str:
    texts = []
    for gap in gaps:
        texts.append(", ".join("/".join(labels) for _, labels in gap.places))
    if not all(texts):
        return ""
    return "; ".join(dict.fromkeys(texts))


def _enough_seeds(table: Table) -> set[int]:
    """Return the seeds of a copy that has enough."""
    seeds: set[int] = set()
    for value in table.values:
        for name in (*value.seeds, *(item.seed for item in value.missing)):
            if name.isdecimal():
                seeds.add(int(name))
    number = 0
    while len(seeds) < FEWEST_SEEDS:
        seeds.add(number)
        number += 1
    return seeds
