"""Which cells stand behind a claim in each of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from echolm.errors import EchoLMError
from echolm.text import suggest
from grid.definition.claims import ClaimDefinition
from grid.definition.table_cells import cells_of_table
from grid.definition.tables import ColumnDefinition, TableCell, TableDefinition, TableGrid


@dataclass(frozen=True)
class ClaimedRow:
    """One value of a claim in one table: the cells of a row in a column, which differ in seeds.

    Attributes:
        name: the labels of the row.
        labels: axis -> label that its cells share.
        cells: its cells.
    """

    name: str
    labels: Mapping[str, str]
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class ClaimedPlace:
    """A claim in one of its tables.

    Attributes:
        column: what is compared.
        better: the value that is said to be better.
        than: those that it is said to be better than.
    """

    column: ColumnDefinition
    better: ClaimedRow
    than: tuple[ClaimedRow, ...]


def claimed_place(grid: TableGrid, claim: ClaimDefinition, label: str) -> ClaimedPlace:
    """Find the values of a claim in one of its tables.

    Args:
        grid: the grid.
        claim: the claim.
        label: of the table, in ``claim.tables``.

    Raises:
        EchoLMError: there is no such table, column or row. It says which there are.
    """
    name = claim.tables[label]
    if name not in grid.tables:
        raise EchoLMError(f"tables: {label}: no table {name!r}; {suggest(name, grid.tables)}")
    table = grid.tables[name]
    headings = [column.heading for column in table.columns]
    if claim.column not in headings:
        valid = suggest(claim.column, headings)
        raise EchoLMError(f"column: table {name} has no column {claim.column!r}; {valid}")
    number = headings.index(claim.column)
    column = table.columns[number]
    if not column.direction:
        raise EchoLMError(
            f"column: nothing says which values of {claim.column!r} are better; "
            "add better: higher or lower to the column"
        )
    rows = {}
    for labels, columns in cells_of_table(grid, name).items():
        rows[labels] = tuple(columns[number].values())
    better = _row(table, rows, claim.better, f"better: table {name}")
    than = [_row(table, rows, other, f"than: table {name}") for other in claim.than]
    if better in than:
        raise EchoLMError(f"than: table {name}: {better.name} is the row of better itself")
    return ClaimedPlace(column, better, tuple(than))


def check_claims(grid: TableGrid, claims: Mapping[str, ClaimDefinition]) -> None:
    """Check that every claim can be held against the cells of the grid.

    Raises:
        EchoLMError: one cannot. The message names it and the field.
    """
    for name, claim in claims.items():
        for label in claim.tables:
            try:
                claimed_place(grid, claim, label)
            except EchoLMError as error:
                raise EchoLMError(f"claims: {name}: {error}") from None


def fitting_claims(
    grid: TableGrid, claims: Mapping[str, ClaimDefinition]
) -> dict[str, ClaimDefinition]:
    """Return the claims that can be held against the cells of a grid that was launched before."""
    fitting = {}
    for name, claim in claims.items():
        try:
            check_claims(grid, {name: claim})
        except EchoLMError:
            continue
        fitting[name] = claim
    return fitting


def _row(
    table: TableDefinition,
    rows: Mapping[tuple[str, ...], tuple[TableCell, ...]],
    wanted: Mapping[str, str],
    where: str,
) -> ClaimedRow:
    """Return the row that has all of these labels.

    Args:
        table: the table.
        rows: labels -> cells of the column.
        wanted: axis -> label.
        where: begins an error.

    Raises:
        EchoLMError: there is none, or several.
    """
    for axis, label in wanted.items():
        if axis not in table.rows:
            raise EchoLMError(f"{where} has no rows by {axis!r}; {suggest(axis, table.rows)}")
        known = {labels[table.rows.index(axis)] for labels in rows}
        if label not in known:
            raise EchoLMError(f"{where} has no row {axis}={label}; {suggest(label, known)}")
    found = []
    for labels, cells in rows.items():
        by_axis = dict(zip(table.rows, labels, strict=True))
        if wanted.items() <= by_axis.items() and cells:
            found.append(ClaimedRow(", ".join(labels), _shared_labels(cells), cells))
    words = ", ".join(f"{axis}={label}" for axis, label in wanted.items())
    if not found:
        raise EchoLMError(f"{where} has no row with {words}")
    if len(found) > 1:
        names = "; ".join(row.name for row in found)
        raise EchoLMError(f"{where} has several rows with {words} ({names}); name more labels")
    return found[0]


def _shared_labels(cells: Sequence[TableCell]) -> dict[str, str]:
    """Return axis -> label of what all of the cells have in common."""
    shared = dict(cells[0].coordinates)
    for cell in cells[1:]:
        shared = {
            axis: label for axis, label in shared.items() if cell.coordinates.get(axis) == label
        }
    return shared
