"""Two values of a grid, resampled together for a comparison.

They are named by the labels of their cells: ``head=gcn,encoder=tiny-r3d``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.text import suggest
from echolm.workspace import Workspace
from grid.definition.extra_tables import GridWithTables, TaggedCell
from grid.definition.tables import (
    SEED,
    ColumnDefinition,
    TableCell,
    TableDefinition,
    TableGrid,
)
from grid.statistics import (
    DivergedRun,
    FarBehindRun,
    Resampled,
    describe_diverged,
    same_test_set,
)
from grid.tables.build import State, build
from grid.tables.missing import grid_command, narrowed
from grid.tables.origins import TodaysOrigins
from grid.tables.store_facts import keep_store_facts
from grid.tables.table import ABSENT, LOCAL, Missing, Table, Value, ValueSource
from grid.tables.workspace_tables import open_results

TABLE, VALUE = "comparison", "value"
REMEDY = (
    "give the cells a configuration that trains, such as a lower learning rate, in the grid's file"
)


@dataclass(frozen=True)
class Selected:
    """The cells of one value, which differ in their seed alone.

    Attributes:
        text: as it was typed.
        conditions: axis -> label.
        cells: the cells.
    """

    text: str
    conditions: Mapping[str, str]
    cells: tuple[TableCell, ...]

    @property
    def seeds(self) -> tuple[str, ...]:
        """The seeds that the grid has for it."""
        return tuple(cell.coordinates.get(SEED, "") for cell in self.cells)

    @property
    def where(self) -> list[str]:
        """What selects its cells (``--where``)."""
        return [f"{axis}={label}" for axis, label in self.conditions.items()]


@dataclass(frozen=True)
class Compared:
    """One side of a comparison.

    Attributes:
        resampled: its rows.
        cells: seed -> cell id.
        diverged: as in a table's ``Value``.
        far_behind: as there.
        notes: as there.
        synthetic: as there.
        missing: as there.
        sources: as there.
    """

    resampled: Resampled
    cells: Mapping[str, str]
    diverged: tuple[DivergedRun, ...] = ()
    far_behind: tuple[FarBehindRun, ...] = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    missing: tuple[Missing, ...] = ()
    sources: tuple[ValueSource, ...] = ()

    @property
    def name(self) -> str:
        """As it was typed."""
        return self.resampled.runs.name

    @property
    def undefined(self) -> bool:
        """Whether a seed's value, and so the mean, is not a finite number."""
        return not math.isfinite(self.resampled.estimate)

    @property
    def failed(self) -> str:
        """The diverged seeds with their cells, in words. Empty without any."""
        return _describe_failed(self.diverged, self.cells)


@dataclass(frozen=True)
class Pair:
    """Two values of a grid, ready to be compared.

    Attributes:
        grid: the grid.
        column: what is compared.
        selected: their cells.
        sides: their rows.
        results: the folder that was collected.
    """

    grid: TableGrid
    column: ColumnDefinition
    selected: tuple[Selected, Selected]
    sides: tuple[Compared, Compared]
    results: Path | None = None


class NoRunError(EchoLMError):
    """A value without any run.

    Args:
        message: why it has none.
        commands: what to type for that, one after another.
    """

    def __init__(self, message: str, commands: Sequence[Command] = ()) -> None:
        super().__init__(message)
        self.commands = tuple(commands)

    def text(self, program: Sequence[str] = ("echolm",)) -> str:
        """Spell the error, its commands as one types them after ``program``."""
        if not self.commands:
            return self.message
        commands = ", then: ".join(command.text(program) for command in self.commands)
        return f"{self.message}; type: {commands}"


def read_pair(
    workspace: Workspace, reference: str, first: str, second: str, heading: str, place: str
) -> Pair:
    """Read two values of a grid in a workspace.

    Args:
        workspace: the workspace.
        reference: the grid, by its name or the path of its file.
        first: the labels of one value.
        second: the labels of the other.
        heading: of the column to compare. Empty for the first of their tables.
        place: where the grid is run.

    Raises:
        EchoLMError: they cannot be compared.
    """
    grid, results = open_results(workspace, reference)
    values = selected(grid, first), selected(grid, second)
    column = column_of(grid, values, heading)
    today = TodaysOrigins(workspace, grid.name, grid.cells)
    if results is not None:
        keep_store_facts(workspace, grid.name, results)
    sides = pair(grid, results, *values, column, today.state, place, today)
    return Pair(grid, column, values, sides, results)


def selected(grid: TableGrid, text: str) -> Selected:
    """Return the cells of a grid that have all labels of ``axis=label,axis=label``.

    Raises:
        EchoLMError: an axis or a label is not there, or the cells differ in more than their seed.
            It says which axes to add.
    """
    conditions = _conditions(text)
    for axis, label in conditions.items():
        _check_label(grid, text, axis, label)
    cells = [cell for cell in grid.cells if _meets(cell, conditions)]
    if not cells:
        raise EchoLMError(
            f"{text!r}: no cell of grid {grid.name} has all of these labels; type",
            Command("grid show", grid.typed),
        )
    choices = _choices(cells)
    if choices:
        raise EchoLMError(
            f"{text!r} fits {len(cells)} cells that differ in more than their seed; add {choices}"
        )
    return Selected(text, conditions, tuple(cells))


def column_of(grid: TableGrid, values: Sequence[Selected], heading: str = "") -> ColumnDefinition:
    """Return the column of the values' tables with this heading, the first one without.

    Raises:
        EchoLMError: there is none.
    """
    cells: list[TableCell] = []
    for value in values:
        cells += value.cells
    columns = []
    for table in _tables_of(grid, cells):
        columns += [_of_any_cells(column) for column in table.columns if not column.cost]
    if not columns:
        raise EchoLMError(
            f"grid {grid.name}: no table has these cells, so no column says what to compare"
        )
    if not heading:
        return columns[0]
    for column in columns:
        if heading in (column.heading, _plain_heading(column)):
            return column
    known = {_plain_heading(column) for column in columns}
    raise EchoLMError(
        f"--column {heading!r}: no table of these cells has it; {suggest(heading, known)}"
    )


def pair(
    grid: TableGrid,
    results: Path | None,
    first: Selected,
    second: Selected,
    column: ColumnDefinition,
    state: State | None = None,
    place: str = LOCAL,
    today: TodaysOrigins | None = None,
) -> tuple[Compared, Compared]:
    """Return both values in the same resamples, with what a table would say about them.

    The other columns of the column's tables are read as well: a run that diverged in one of them is
    diverged.

    Args:
        grid: the grid.
        results: the folder that was collected.
        first: one value.
        second: the other.
        column: what to compare.
        state: tells why runs are missing, as for ``build``.
        place: where the grid is run.
        today: what cells are made from today, as for ``build``.

    Raises:
        EchoLMError: one has no complete run, no run that counts today, runs that cannot be
            averaged, or a seed whose value is not a number. Or their patients have other true
            values.
    """
    if first.cells == second.cells:
        raise EchoLMError(
            f"{first.text!r} and {second.text!r} are the same cells; nothing to compare"
        )
    compared_cells = [*first.cells, *second.cells]
    cells = []
    for value in (first, second):
        for cell in value.cells:
            coordinates = {SEED: ABSENT, **cell.coordinates, VALUE: value.text}
            cells.append(TaggedCell(cell.id, coordinates, (TABLE,)))
    ids = {cell.id for cell in compared_cells}
    for cell in grid.cells:
        if cell.id not in ids:
            cells.append(TaggedCell(cell.id, cell.coordinates, ()))
    definition = TableDefinition(
        title=TABLE,
        rows=(VALUE,),
        columns=_columns_to_read(grid, compared_cells, _of_any_cells(column)),
        baseline=_baseline(grid, compared_cells),
    )
    grid_of_two = GridWithTables(grid.name, grid.title, cells, {TABLE: definition}, grid.typed)
    table = build(grid_of_two, TABLE, results, state=state, place=place, today=today, hold=True)
    first_row, second_row = table.rows
    sides = (
        _compared(table, first, first_row.values[0]),
        _compared(table, second, second_row.values[0]),
    )
    same_test_set(sides[0].resampled.runs, sides[1].resampled.runs)
    return sides


def _conditions(text: str) -> dict[str, str]:
    """Read ``axis=label,axis=label``."""
    conditions: dict[str, str] = {}
    for part in text.split(","):
        name, equals, label = part.partition("=")
        axis = name.strip()
        if not equals or not axis or not label:
            raise EchoLMError(f"{text!r}: write axis=label,axis=label")
        if conditions.setdefault(axis, label) != label:
            raise EchoLMError(f"{text!r}: axis {axis} is named twice")
    return conditions


def _check_label(grid: TableGrid, text: str, axis: str, label: str) -> None:
    labels: dict[str, set[str]] = {}
    for cell in grid.cells:
        for name, label_of_cell in cell.coordinates.items():
            labels.setdefault(name, set()).add(label_of_cell)
    labels.pop(SEED, None)
    if axis not in labels:
        raise EchoLMError(f"{text!r}: {axis!r} cannot tell values apart; {suggest(axis, labels)}")
    if label not in labels[axis]:
        hint = suggest(label, labels[axis])
        raise EchoLMError(f"{text!r}: no cell has {axis}={label}; {hint}")


def _meets(cell: TableCell, conditions: Mapping[str, str]) -> bool:
    return all(cell.coordinates.get(axis) == label for axis, label in conditions.items())


def _choices(cells: Sequence[TableCell]) -> str:
    """Return ``axis=label|label`` for each axis but the seed in which cells differ."""
    axes: set[str] = set()
    for cell in cells:
        axes.update(cell.coordinates)
    axes.discard(SEED)
    texts = []
    for axis in sorted(axes):
        labels = {cell.coordinates.get(axis, ABSENT) for cell in cells}
        if len(labels) > 1:
            texts.append(f"{axis}={'|'.join(sorted(labels))}")
    return "; ".join(texts)


def _tables_of(grid: TableGrid, cells: Sequence[TableCell]) -> list[TableDefinition]:
    """Return the tables that have any of the cells."""
    names: dict[str, None] = {}
    for cell in cells:
        names.update(dict.fromkeys(cell.tables))
    return [grid.tables[name] for name in names if name in grid.tables]


def _plain_heading(column: ColumnDefinition) -> str:
    """Return ``dice ED``: the heading of a column without a label."""
    return column.model_copy(update={"label": "", "where": {}}).heading


def _of_any_cells(column: ColumnDefinition) -> ColumnDefinition:
    """Return what a column shows, of any cells.

    Its label goes where it may name the column's own cells.
    """
    label = "" if column.where else column.label
    return column.model_copy(update={"where": {}, "label": label})


def _columns_to_read(
    grid: TableGrid, cells: Sequence[TableCell], column: ColumnDefinition
) -> tuple[ColumnDefinition, ...]:
    """Return ``column``, and what else the tables of the cells that have it show of them."""
    plain = column.model_copy(update={"label": ""})
    others: dict[str, ColumnDefinition] = {}
    for table in _tables_of(grid, cells):
        shown = []
        for one in table.columns:
            if any(one.takes(cell.coordinates) for cell in cells):
                shown.append(one.model_copy(update={"where": {}, "label": ""}))
        if plain in shown:
            others.update({one.heading: one for one in shown if one != plain})
    others.pop(column.heading, None)
    return column, *others.values()


def _baseline(grid: TableGrid, cells: Sequence[TableCell]) -> dict[str, str]:
    """Return the baseline of the first table of the cells that has one."""
    for cell in cells:
        for name in cell.tables:
            if name in grid.tables and grid.tables[name].baseline:
                return grid.tables[name].baseline
    return {}


def _describe_failed(diverged: Sequence[DivergedRun], cells: Mapping[str, str]) -> str:
    ids = ", ".join(cells.get(run.seed, "") for run in diverged)
    noun = "cell" if len(diverged) == 1 else "cells"
    return f"{noun} {ids}: {describe_diverged(diverged)}"


def _compared(table: Table, side: Selected, value: Value) -> Compared:
    """Return one side of a comparison from its value in the table of both."""
    cells = {cell.coordinates.get(SEED, ABSENT): cell.id for cell in side.cells}
    if value.resampled is None and value.diverged:
        raise EchoLMError(
            f"{side.text!r}: {_describe_failed(value.diverged, cells)}, "
            f"and no other run was collected; {REMEDY}"
        )
    can_be_run = any(item.command for item in value.missing)
    if value.resampled is None and value.refused and not can_be_run:
        raise EchoLMError(f"{side.text!r}: {value.refused}")
    # Commands select the cells in the grid, which does not have the table of both.
    missing = []
    for item in value.missing:
        if item.command is not None:
            item = replace(item, command=narrowed(item.command, side.where))
        missing.append(item)
    if value.resampled is None:
        raise _no_run(table, side, missing)
    compared = Compared(
        resampled=value.resampled,
        cells=cells,
        diverged=value.diverged,
        far_behind=value.far_behind,
        notes=value.notes,
        synthetic=value.synthetic,
        missing=tuple(missing),
        sources=value.sources,
    )
    if compared.undefined and not compared.diverged:
        raise EchoLMError(f"{side.text!r}: {'; '.join(value.notes)}; nothing to compare")
    if compared.undefined:
        raise EchoLMError(
            f"{side.text!r}: {compared.failed}; its mean over seeds is not defined; "
            f"{REMEDY} and compare those"
        )
    return compared


def _no_run(table: Table, side: Selected, missing: Sequence[Missing]) -> NoRunError:
    """Return why a value has no run, with the commands for that."""
    reasons = "; ".join(dict.fromkeys(item.reason for item in missing))
    commands = dict.fromkeys(item.command for item in missing if item.command)
    if commands:
        commands[grid_command("collect", table.reference)] = None
    return NoRunError(f"{side.text!r}: {reasons}", tuple(commands))
