"""Two values of a grid by the labels of their cells (``head=gcn,encoder=tiny-r3d``), resampled together for a comparison."""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.statistics import Diverged, Resampled, SeedsNeeded, told
from grid.tables.build import State, build
from grid.tables.definition import SEED, ColumnDefinition, TableCell, TableDefinition, TableGrid
from grid.tables.further import FurtherCell, FurtherGrid
from grid.tables.missing import command
from grid.tables.table import ABSENT, LOCAL, Missing, Table, Value
from grid.tables.text import PHANTOM

TABLE, VALUE = "comparison", "value"
REMEDY = "give the cells a configuration that trains, such as a lower learning rate, in the grid's file"


@dataclass(frozen=True)
class Selected:
    """The cells of one value, which differ in their seed alone. ``text`` as typed, ``conditions`` axis -> label."""

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
    """One side of a comparison. ``cells``: seed -> cell id. ``diverged``, ``notes``, ``synthetic`` and ``missing`` as in a table's ``Value``."""

    resampled: Resampled
    cells: Mapping[str, str]
    diverged: tuple[Diverged, ...] = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    missing: tuple[Missing, ...] = ()

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
        """The diverged seeds with their cells, in words; "" without any."""
        return _failed(self.diverged, self.cells)


@dataclass(frozen=True)
class Step:
    """Further seeds of a value and the command that brings them (see ``Missing``); ``new``: those that the grid must get first."""

    value: Selected
    remedy: str
    seeds: tuple[str, ...]
    new: tuple[str, ...] = ()

    @property
    def where(self) -> list[str]:
        """What selects their cells (``--where``)."""
        return [*self.value.where, f"{SEED}={_shortened(self.seeds)}"]


def selected(grid: TableGrid, text: str) -> Selected:
    """The cells of a grid that have all labels of ``axis=label,axis=label``.

    EchoLMError for an axis or a label that is not there, and for cells that differ in more than their seed: it says which
    axes to add.
    """
    conditions = _conditions(text)
    for axis, label in conditions.items():
        known = {cell.coordinates[axis] for cell in grid.cells if axis in cell.coordinates}
        if axis == SEED or not known:
            axes = {axis for cell in grid.cells for axis in cell.coordinates} - {SEED}
            raise EchoLMError(f"{text!r}: {axis!r} cannot tell values apart; {suggest(axis, axes)}")
        if label not in known:
            raise EchoLMError(f"{text!r}: no cell has {axis}={label}; {suggest(label, known)}")
    cells = [cell for cell in grid.cells if all(cell.coordinates.get(axis) == label for axis, label in conditions.items())]
    if not cells:
        raise EchoLMError(f"{text!r}: no cell of grid {grid.name} has all of these labels; type: {shlex.join(['echolm', 'grid', 'show', grid.typed])}")
    found: dict[str, set[str]] = {}
    for cell in cells:
        for axis in {axis for one in cells for axis in one.coordinates} - {SEED}:
            found.setdefault(axis, set()).add(cell.coordinates.get(axis, "-"))
    if open_axes := {axis: labels for axis, labels in found.items() if len(labels) > 1}:
        choices = "; ".join(f"{axis}={'|'.join(sorted(labels))}" for axis, labels in sorted(open_axes.items()))
        raise EchoLMError(f"{text!r} fits {len(cells)} cells that differ in more than their seed; add {choices}")
    return Selected(text, conditions, tuple(cells))


def column_of(grid: TableGrid, values: Sequence[Selected], heading: str = "") -> ColumnDefinition:
    """The column of the values' tables with this heading, the first one without; EchoLMError when there is none."""
    names = dict.fromkeys(name for value in values for cell in value.cells for name in cell.tables if name in grid.tables)
    columns = [_anywhere(column) for name in names for column in grid.tables[name].columns]
    if not columns:
        raise EchoLMError(f"grid {grid.name}: no table has these cells, so no column says what to compare")
    found = {text: column for column in reversed(columns) for text in (column.heading, _plain(column))}
    if heading and heading not in found:
        raise EchoLMError(f"--column {heading!r}: no table of these cells has it; {suggest(heading, dict.fromkeys(map(_plain, columns)))}")
    return found[heading] if heading else columns[0]


def pair(
    grid: TableGrid, results: Path | None, first: Selected, second: Selected, column: ColumnDefinition, state: State | None = None,
    on: str = LOCAL,
) -> tuple[Compared, Compared]:
    """Both values in the same resamples, with what a table would say about them; ``state`` as for ``build``, ``on``: where the
    grid is run. The other columns of the column's tables are read as well: a run that diverged in one of them is diverged.

    EchoLMError when one has no complete run, runs that cannot be averaged, or a seed whose value is not a number.
    """
    if first.cells == second.cells:
        raise EchoLMError(f"{first.text!r} and {second.text!r} are the same cells; nothing to compare")
    cells = [
        FurtherCell(cell.id, {SEED: ABSENT, **cell.coordinates, VALUE: one.text}, (TABLE,)) for one in (first, second) for cell in one.cells
    ]
    chosen = {cell.id for cell in cells}
    baselines = [grid.tables[name].baseline for cell in (*first.cells, *second.cells) for name in cell.tables if name in grid.tables]
    cells += [FurtherCell(cell.id, cell.coordinates, ()) for cell in grid.cells if cell.id not in chosen]
    columns = _beside(grid, (*first.cells, *second.cells), _anywhere(column))
    definition = TableDefinition(title=TABLE, rows=(VALUE,), columns=columns, baseline=next(filter(None, baselines), {}))
    table = build(FurtherGrid(grid.name, grid.title, cells, {TABLE: definition}, grid.typed), TABLE, results, state=state)
    table = replace(table, where=(), on=on)  # commands select the cells in the grid, which does not have this table
    return _found(table, first, table.rows[0].values[0]), _found(table, second, table.rows[1].values[0])


def remarks(sides: Sequence[Compared]) -> list[str]:
    """What a reader must know beside a comparison: diverged runs, notes on either value, synthetic data, and that every p is of it alone."""
    found = [f"{side.name}: {note}." for side in sides for note in side.notes]
    if synthetic := [side.name for side in sides if side.synthetic]:
        found.append(f"{' and '.join(synthetic)}: {PHANTOM}, which says nothing about patients.")
    return [*found, "Every p is of this comparison alone, not adjusted for others: a table's bold print is."]


def plannable(sides: Sequence[Compared]) -> None:
    """EchoLMError when more seeds cannot be planned from these, as some diverged."""
    for side in sides:
        if side.diverged:
            raise EchoLMError(
                f"{side.name!r}: {side.failed}; how many seeds would decide cannot be said from runs that failed to train; "
                f"{REMEDY} and compare those"
            )


def steps(values: Sequence[tuple[Selected, Compared]], needed: SeedsNeeded) -> list[Step]:
    """What brings the seeds that are needed: of each value first those that the grid has and that lack a run, for each command
    its own step, then those that it does not have yet."""
    found = []
    for (value, side), more in zip(values, needed.more, strict=True):
        waiting = [item for item in side.missing if item.remedy][:more]
        first = max((int(seed) for seed in value.seeds if seed.isdecimal()), default=-1) + 1
        new = tuple(map(str, range(first, first + more - len(waiting))))
        seeds: dict[str, tuple[str, ...]] = {}
        for item in waiting:
            seeds[item.remedy] = (*seeds.get(item.remedy, ()), item.seed)
        found += [Step(value, remedy, own) for remedy, own in seeds.items() if remedy != "launch"]
        if launched := (*seeds.get("launch", ()), *new):
            found.append(Step(value, "launch", launched, new))
    return found


def kept(grid: TableGrid, wanted: Sequence[Step], seeds: Collection[int]) -> list[str]:
    """Why a copy of the grid with ``seeds`` would not have the new ones of some steps; nothing where it has them all."""
    from grid.copy import copied, fixed, seeds_of

    if not seeds:
        return []
    try:
        copy = copied(grid.typed, seeds)
        return [f"{one.value.text}: {fixed(len(one.value.seeds))}" for one in wanted if not {*one.new} <= seeds_of(copy, one.value.where)]
    except EchoLMError as error:
        return [str(error)]


def _shortened(seeds: Sequence[str]) -> str:
    """``0,3-610``, as ``--where`` understands it."""
    from grid.copy import ranges

    return ranges(map(int, seeds)) if all(seed.isdecimal() and seed == str(int(seed)) for seed in seeds) else ",".join(seeds)


def _conditions(text: str) -> dict[str, str]:
    conditions: dict[str, str] = {}
    for part in text.split(","):
        axis, equals, label = part.partition("=")
        if not equals or not axis.strip() or not label:
            raise EchoLMError(f"{text!r}: write axis=label,axis=label")
        if conditions.setdefault(axis.strip(), label) != label:
            raise EchoLMError(f"{text!r}: axis {axis.strip()} is named twice")
    return conditions


def _plain(column: ColumnDefinition) -> str:
    """``dice ED``: the heading of a column without a label."""
    return column.model_copy(update={"label": "", "where": {}}).heading


def _anywhere(column: ColumnDefinition) -> ColumnDefinition:
    """What a column shows, of any cells; its label goes where it may name the column's own."""
    return column.model_copy(update={"where": {}, "label": "" if column.where else column.label})


def _beside(grid: TableGrid, cells: Sequence[TableCell], own: ColumnDefinition) -> tuple[ColumnDefinition, ...]:
    """``own``, and what else the tables of the cells that have it show."""
    tables = [grid.tables[name] for name in dict.fromkeys(name for cell in cells for name in cell.tables) if name in grid.tables]
    shown = [[column.model_copy(update={"where": {}, "label": ""}) for column in table.columns] for table in tables]
    own_plain = own.model_copy(update={"label": ""})
    found = {column.heading: column for columns in shown if own_plain in columns for column in columns if column != own_plain}
    return own, *(column for heading, column in found.items() if heading != own.heading)


def _failed(diverged: Sequence[Diverged], cells: Mapping[str, str]) -> str:
    which = ", ".join(cells.get(run.seed, "") for run in diverged)
    return f"{'cell' if len(diverged) == 1 else 'cells'} {which}: {told(diverged)}"


def _found(table: Table, chosen: Selected, value: Value) -> Compared:
    cells = {cell.coordinates.get(SEED, ABSENT): cell.id for cell in chosen.cells}
    if value.resampled is None and value.diverged:
        raise EchoLMError(f"{chosen.text!r}: {_failed(value.diverged, cells)}, and no other run was collected; {REMEDY}")
    if value.resampled is None:
        raise EchoLMError(f"{chosen.text!r}: {value.refused or _absent(table, chosen, value)}")
    found = Compared(value.resampled, cells, value.diverged, value.notes, value.synthetic, value.missing)
    if found.undefined:
        raise EchoLMError(f"{chosen.text!r}: {found.failed}; its mean over seeds is not defined; {REMEDY} and compare those")
    return found


def _absent(table: Table, chosen: Selected, value: Value) -> str:
    """Why a value has no run, and the commands for that."""
    places = {axis: (label,) for axis, label in chosen.conditions.items()}
    reasons = dict.fromkeys(item.reason for item in value.missing)
    commands = dict.fromkeys(command(table, places, item.remedy) for item in value.missing if item.remedy)
    if commands:
        commands[command(table, {}, "collect")] = None
    return "; ".join(["; ".join(reasons), *([f"type: {', then: '.join(commands)}"] if commands else [])])
