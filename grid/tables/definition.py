"""What a table shows: read from the section ``tables`` of a grid's YAML file. And the grid as a table needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import Field, field_validator

from echolm.registry import Frozen

SEED = "seed"
"""The axis that is averaged over; cells that differ in it alone share one table cell."""


class ColumnDefinition(Frozen):
    """One column: a per-sample column of the predictions (``dice``, ``mke``) on the test split, of one slot and target.

    ``slot`` and ``target`` may be left out where the predictions have one.
    """

    metric: str
    slot: str = ""
    target: str = ""
    label: str = ""
    digits: int = Field(default=2, ge=0, le=10)

    @property
    def heading(self) -> str:
        """``label``, or the metric with its slot and target."""
        return self.label or " ".join(filter(None, (self.metric, self.target, self.slot)))


class TableDefinition(Frozen):
    """One table: a row for each combination of labels of the axes ``rows`` that the grid has."""

    title: str
    rows: tuple[str, ...] = Field(min_length=1)
    columns: tuple[ColumnDefinition, ...] = Field(min_length=1)

    @field_validator("rows")
    @classmethod
    def _rows_are_axes(cls, rows: tuple[str, ...]) -> tuple[str, ...]:
        if SEED in rows:
            raise ValueError("seed cannot be a row: a table averages over seeds")
        if len(set(rows)) < len(rows):
            raise ValueError("an axis is named twice")
        return rows

    @field_validator("columns")
    @classmethod
    def _columns_are_distinct(cls, columns: tuple[ColumnDefinition, ...]) -> tuple[ColumnDefinition, ...]:
        headings = [column.heading for column in columns]
        if len(set(headings)) < len(headings):
            raise ValueError(f"two columns have the same heading: {', '.join(headings)}")
        return columns


class TableCell(Protocol):
    """A cell of a grid: ``coordinates`` maps axes to labels, ``tables`` names the tables it belongs to."""

    @property
    def id(self) -> str: ...
    @property
    def coordinates(self) -> Mapping[str, str]: ...
    @property
    def tables(self) -> Sequence[str]: ...


class TableGrid(Protocol):
    """A grid as its tables need it."""

    @property
    def name(self) -> str: ...
    @property
    def cells(self) -> Sequence[TableCell]: ...
    @property
    def tables(self) -> Mapping[str, TableDefinition]: ...
