"""Which cells stand behind which value of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NoReturn

from echolm.errors import EchoLMError
from echolm.text import suggest
from grid.definition.tables import (
    ABSENT,
    SEED,
    TableCell,
    TableDefinition,
    TableGrid,
    coordinates_text,
)

CellsBySeed = dict[str, TableCell]


def cells_of_table(grid: TableGrid, name: str) -> dict[tuple[str, ...], tuple[CellsBySeed, ...]]:
    """Return row labels -> the cells of each column by seed, in the table's order.

    Raises:
        EchoLMError: an axis or a column's label does not exist, two cells of one seed fall
            together, or a cell of the table has no column.
    """
    definition = grid.tables[name]
    where = f"table {name} of grid {grid.name}"
    members = table_members(grid, name)
    _check_names(definition, members, where)
    baseline_cells(grid, name)  # it must exist
    rows: dict[tuple[str, ...], tuple[CellsBySeed, ...]] = {}
    for cell in members:
        labels = tuple(cell.coordinates.get(axis, ABSENT) for axis in definition.rows)
        if labels not in rows:
            rows[labels] = tuple({} for _ in definition.columns)
        has_column = False
        for column, cells in zip(definition.columns, rows[labels], strict=True):
            if not column.takes(cell.coordinates):
                continue
            has_column = True
            other = cells.setdefault(cell.coordinates.get(SEED, ABSENT), cell)
            if other is not cell:
                _refuse_twins(where, other, cell)
        if not has_column:
            raise EchoLMError(
                f"{where}: no column takes cell {cell.id} ({coordinates_text(cell)}); add one, or "
                "leave the cell out of the table"
            )
    return {labels: rows[labels] for labels in _ordered(definition, list(rows))}


def table_members(grid: TableGrid, name: str) -> list[TableCell]:
    """Return the cells of a table.

    They are those that ``cells`` of its definition selects, else those that name the table.
    """
    conditions = grid.tables[name].cells
    if not conditions:
        return [cell for cell in grid.cells if name in cell.tables]
    for axis, labels in conditions.items():
        known: set[str] = set()
        for cell in grid.cells:
            known |= _labels(cell, axis)
        for label in labels:
            if label not in known:
                valid = suggest(label, known) if known else suggest(axis, [*_axes(grid), "table"])
                raise EchoLMError(
                    f"table {name} of grid {grid.name}: cells: no cell has {axis}={label}; {valid}"
                )
    return [cell for cell in grid.cells if _meets(cell, conditions)]


def baseline_cells(grid: TableGrid, name: str) -> list[TableCell]:
    """Return the cells of the grid that its table names as baseline.

    Raises:
        EchoLMError: it names some that are not there.
    """
    baseline = grid.tables[name].baseline
    if not baseline:
        return []
    cells = [cell for cell in grid.cells if _lies_at(cell, baseline)]
    if cells:
        return cells
    known = _known_labels(grid.cells)
    for axis, label in baseline.items():
        labels = known.get(axis, set())
        if label not in labels:
            valid = suggest(label, labels) if labels else suggest(axis, known)
            raise EchoLMError(
                f"table {name} of grid {grid.name}: baseline: no cell has {axis}={label}; {valid}"
            )
    return []


def telling_axes(cells: Sequence[TableCell]) -> list[str]:
    """Return the axes but the seed in which cells differ."""
    axes: dict[str, None] = {}
    for cell in cells:
        axes.update(dict.fromkeys(cell.coordinates))
    axes.pop(SEED, None)
    telling = []
    for axis in axes:
        labels = {cell.coordinates.get(axis) for cell in cells}
        if len(labels) > 1:
            telling.append(axis)
    return telling


def _axes(grid: TableGrid) -> list[str]:
    return list(_known_labels(grid.cells))


def _known_labels(cells: Iterable[TableCell]) -> dict[str, set[str]]:
    """Return the labels that cells have, by axis."""
    known: dict[str, set[str]] = {}
    for cell in cells:
        for axis, label in cell.coordinates.items():
            known.setdefault(axis, set()).add(label)
    return known


def _meets(cell: TableCell, conditions: Mapping[str, Sequence[str]]) -> bool:
    return all(_labels(cell, axis) & set(labels) for axis, labels in conditions.items())


def _lies_at(cell: TableCell, labels: Mapping[str, str]) -> bool:
    return all(cell.coordinates.get(axis) == label for axis, label in labels.items())


def _labels(cell: TableCell, axis: str) -> set[str]:
    """Return what a condition on ``axis`` compares: the cell's label, or its tables."""
    if axis == "table":
        return set(cell.tables)
    if axis in cell.coordinates:
        return {cell.coordinates[axis]}
    return set()


def _ordered(definition: TableDefinition, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Sort rows by ``order``.

    Labels that it does not have stand after those it has, as they come in the grid.
    """
    if not definition.order:
        return rows
    ranks: list[dict[str, int]] = []
    for index, axis in enumerate(definition.rows):
        in_grid = [row[index] for row in rows]
        labels = dict.fromkeys([*definition.order.get(axis, ()), *in_grid])
        ranks.append({label: rank for rank, label in enumerate(labels)})

    def rank_of(row: tuple[str, ...]) -> list[int]:
        return [rank[label] for rank, label in zip(ranks, row, strict=True)]

    return sorted(rows, key=rank_of)


def _check_names(definition: TableDefinition, members: Sequence[TableCell], where: str) -> None:
    """Check that every axis and every label that the table names is one of its cells'."""
    if not members:
        return
    known = _known_labels(members)
    for axis in definition.rows:
        if axis not in known:
            raise EchoLMError(
                f"{where}: rows: no cell has an axis {axis!r}; {suggest(axis, known)}"
            )
    for part, axis, label in _named_labels(definition):
        if label not in known.get(axis, set()):
            valid = suggest(label, known[axis]) if axis in known else suggest(axis, known)
            raise EchoLMError(f"{where}: {part}: no cell has {axis}={label}; {valid}")


def _named_labels(definition: TableDefinition) -> Iterator[tuple[str, str, str]]:
    """Yield each label that a table names: the part of its definition, the axis, the label."""
    for column in definition.columns:
        for axis, label in column.where.items():
            yield f"column {column.heading!r}: where", axis, label
    for axis, labels in definition.order.items():
        for label in labels:
            yield "order", axis, label


def _refuse_twins(where: str, one: TableCell, other: TableCell) -> NoReturn:
    differing = telling_axes([one, other])
    raise EchoLMError(
        f"{where}: cells {one.id} and {other.id} fall into the same row with the same seed; "
        f"add to rows: {', '.join(sorted(differing)) or '(they differ in no axis)'}; "
        "or tell columns apart by where"
    )
