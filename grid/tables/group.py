"""Which cells stand behind which value of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.tables.definition import SEED, TableCell, TableDefinition, TableGrid
from grid.tables.table import ABSENT

CellsBySeed = dict[str, TableCell]


def group(grid: TableGrid, name: str) -> dict[tuple[str, ...], tuple[CellsBySeed, ...]]:
    """Row labels -> the cells of each column by seed, in the table's order.

    EchoLMError when an axis or a column's label does not exist, two cells of one seed fall together, or a cell of the
    table has no column.
    """
    definition, where = grid.tables[name], f"table {name} of grid {grid.name}"
    found = members(grid, name)
    _check_axes(definition, found, where)
    baseline_cells(grid, name)
    rows: dict[tuple[str, ...], tuple[CellsBySeed, ...]] = {}
    for cell in found:
        labels = tuple(cell.coordinates.get(axis, ABSENT) for axis in definition.rows)
        columns = rows.setdefault(labels, tuple({} for _ in definition.columns))
        pairs = zip(columns, definition.columns, strict=True)
        taken = [cells for cells, column in pairs if column.takes(cell.coordinates)]
        if not taken:
            at = f"cell {cell.id} ({' '.join(f'{axis}={label}' for axis, label in cell.coordinates.items())})"
            raise EchoLMError(f"{where}: no column takes {at}; add one, or leave the cell out of the table")
        for cells in taken:
            other = cells.setdefault(cell.coordinates.get(SEED, ABSENT), cell)
            if other is not cell:
                _refuse(where, other, cell)
    return {labels: rows[labels] for labels in _ordered(definition, list(rows))}


def members(grid: TableGrid, name: str) -> list[TableCell]:
    """The cells of a table: those that ``cells`` of its definition selects, else those that name it."""
    conditions = grid.tables[name].cells
    if not conditions:
        return [cell for cell in grid.cells if name in cell.tables]
    for axis, labels in conditions.items():
        known = {label for cell in grid.cells for label in _labels(cell, axis)}
        if unknown := [label for label in labels if label not in known]:
            axes = {axis for cell in grid.cells for axis in cell.coordinates} | {"table"}
            hint = suggest(unknown[0], known) if known else suggest(axis, axes)
            raise EchoLMError(f"table {name} of grid {grid.name}: cells: no cell has {axis}={unknown[0]}; {hint}")
    return [cell for cell in grid.cells if all(_labels(cell, axis) & set(labels) for axis, labels in conditions.items())]


def baseline_cells(grid: TableGrid, name: str) -> list[TableCell]:
    """The cells of the grid that its table names as baseline; EchoLMError when it names some that are not there."""
    wanted = grid.tables[name].baseline
    found = [cell for cell in grid.cells if all(cell.coordinates.get(axis) == label for axis, label in wanted.items())]
    for axis, label in wanted.items() if not found else ():
        if label not in (known := {cell.coordinates[axis] for cell in grid.cells if axis in cell.coordinates}):
            hint = suggest(label, known) if known else suggest(axis, {axis for cell in grid.cells for axis in cell.coordinates})
            raise EchoLMError(f"table {name} of grid {grid.name}: baseline: no cell has {axis}={label}; {hint}")
    return found if wanted else []


def telling_axes(cells: Sequence[TableCell]) -> list[str]:
    """The axes but the seed in which cells differ."""
    axes = dict.fromkeys(axis for cell in cells for axis in cell.coordinates if axis != SEED)
    return [axis for axis in axes if len({cell.coordinates.get(axis) for cell in cells}) > 1]


def _labels(cell: TableCell, axis: str) -> set[str]:
    if axis == "table":
        return set(cell.tables)
    return {cell.coordinates[axis]} if axis in cell.coordinates else set()


def _ordered(definition: TableDefinition, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows by ``order``; labels that it does not have stand after those it has, as they come in the grid."""
    if not definition.order:
        return rows
    places = []
    for index, axis in enumerate(definition.rows):
        labels = dict.fromkeys([*definition.order.get(axis, ()), *(row[index] for row in rows)])
        places.append({label: place for place, label in enumerate(labels)})
    return sorted(rows, key=lambda row: [place[label] for place, label in zip(places, row, strict=True)])


def _check_axes(definition: TableDefinition, members: Sequence[TableCell], where: str) -> None:
    """Every axis and every label that the table names is one of its cells'."""
    known: dict[str, set[str]] = {}
    for cell in members:
        for axis, label in cell.coordinates.items():
            known.setdefault(axis, set()).add(label)
    if not members:
        return
    for axis in definition.rows:
        if axis not in known:
            raise EchoLMError(f"{where}: rows: no cell has an axis {axis!r}; {suggest(axis, known)}")
    columns = [(f"column {column.heading!r}: where", column.where) for column in definition.columns]
    named = [(place, *pair) for place, labels in columns for pair in labels.items()]
    named += [("order", axis, label) for axis, labels in definition.order.items() for label in labels]
    for place, axis, label in named:
        if label not in known.get(axis, set()):
            hint = suggest(label, known[axis]) if axis in known else suggest(axis, known)
            raise EchoLMError(f"{where}: {place}: no cell has {axis}={label}; {hint}")


def _refuse(where: str, one: TableCell, other: TableCell) -> NoReturn:
    axes = sorted(set(one.coordinates) | set(other.coordinates))
    differing = [axis for axis in axes if one.coordinates.get(axis) != other.coordinates.get(axis)]
    raise EchoLMError(
        f"{where}: cells {one.id} and {other.id} fall into the same row with the same seed; "
        f"add to rows: {', '.join(differing) or '(they differ in no axis)'}; or tell columns apart by where"
    )
