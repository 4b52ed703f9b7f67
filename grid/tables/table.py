"""A finished table as plain data: numbers with their provenance, before any rendering."""

from __future__ import annotations

from dataclasses import dataclass

from grid.statistics import Spread
from grid.tables.definition import ColumnDefinition


@dataclass(frozen=True)
class Missing:
    """A seed of a row without a number, and why."""

    seed: str
    cell: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One row: its labels on the table's axes, one value a column (None: no run at all).

    ``runs`` and ``cells`` are the tracking runs and cells behind the values, in the order of ``seeds``; ``command``
    fills what is ``missing``; ``notes`` say what is unusual about the row.
    """

    labels: tuple[str, ...]
    values: tuple[Spread | None, ...]
    seeds: tuple[str, ...]
    cells: tuple[str, ...]
    runs: tuple[str, ...]
    synthetic: bool
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    command: str

    @property
    def expected(self) -> int:
        """Number of seeds that the grid has for this row."""
        return len(self.seeds) + len(self.missing)

    @property
    def patients(self) -> tuple[int, ...]:
        """The distinct numbers of patients of the row's values, ascending."""
        return tuple(sorted({value.patients for value in self.values if value is not None}))


@dataclass(frozen=True)
class Table:
    """``kind`` names what every ± is (see grid.statistics)."""

    grid: str
    name: str
    title: str
    axes: tuple[str, ...]
    columns: tuple[ColumnDefinition, ...]
    rows: tuple[Row, ...]
    kind: str
