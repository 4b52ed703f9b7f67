"""A finished table as plain data: numbers with their provenance, before any rendering."""

from __future__ import annotations

from dataclasses import dataclass

from grid.statistics import Spread
from grid.tables.definition import ColumnDefinition, PublishedSource
from grid.tables.published import Published

ABSENT = "-"
"""The label of a cell on an axis that it does not have, and the text of a value that the grid has no cell for."""


@dataclass(frozen=True)
class Missing:
    """A seed without a number, why, and the command of EchoLM that changes that: launch, retry, collect or status."""

    seed: str
    cell: str
    reason: str
    remedy: str = "launch"


@dataclass(frozen=True)
class Value:
    """One place of a table. ``number`` is None without any run.

    ``cells`` and ``runs`` are the cells and tracking runs behind the number, in the order of ``seeds``; ``notes`` say
    what is unusual about it. ``published`` is the paper's number for this place.
    """

    number: Spread | None
    seeds: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    published: Published | None = None

    @property
    def expected(self) -> int:
        """Number of seeds that the grid has for this place; 0: it has no such cell."""
        return len(self.seeds) + len(self.missing)

    @property
    def incomplete(self) -> bool:
        """Whether it has some of its seeds, not all."""
        return bool(self.seeds and self.missing)


@dataclass(frozen=True)
class Row:
    """One row: its labels on the table's axes, one value a column."""

    labels: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Table:
    """``kind`` names what every ± of its own numbers is (see grid.statistics).

    ``whole_grid``: every cell of the grid is in this table, and no other table is defined. ``typed``: the grid as
    commands name it, by its name or the path of its file; ``program``: the words that commands begin with.
    """

    grid: str
    name: str
    title: str
    axes: tuple[str, ...]
    columns: tuple[ColumnDefinition, ...]
    rows: tuple[Row, ...]
    kind: str
    published: PublishedSource | None = None
    whole_grid: bool = True
    typed: str = ""
    program: tuple[str, ...] = ("echolm",)

    @property
    def values(self) -> list[Value]:
        """The values of all rows."""
        return [value for row in self.rows for value in row.values]

    @property
    def places(self) -> list[tuple[dict[str, str], Value]]:
        """The values of all rows, each with its ``place``."""
        return [
            (self.place(row, column), value)
            for row in self.rows
            for column, value in zip(self.columns, row.values, strict=True)
        ]

    def place(self, row: Row, column: ColumnDefinition) -> dict[str, str]:
        """Axis -> label of a value: those of its row, then those of its column."""
        return {**dict(zip(self.axes, row.labels, strict=True)), **column.where}
