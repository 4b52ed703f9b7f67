"""What a table shows: read from the section ``tables`` of a grid's YAML file. And the grid as a table needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import Field, field_validator, model_validator

from echolm.registry import Frozen

SEED = "seed"
"""The axis that is averaged over; cells that differ in it alone share one value."""


class ColumnDefinition(Frozen):
    """One column: a per-sample column of the predictions (``dice``, ``mke``) on the test split, of one slot and target.

    ``slot`` and ``target`` may be left out where the predictions have one. ``where`` (axis -> label) restricts the
    column to some cells of a row.
    """

    metric: str
    slot: str = ""
    target: str = ""
    where: dict[str, str] = {}
    label: str = ""
    digits: int = Field(default=2, ge=0, le=10)

    @field_validator("where")
    @classmethod
    def _seed_is_averaged(cls, where: dict[str, str]) -> dict[str, str]:
        if SEED in where:
            raise ValueError("seed cannot tell columns apart: a table averages over seeds")
        return where

    @property
    def heading(self) -> str:
        """``label``, or the metric with its slot, target and labels of ``where``."""
        return self.label or " ".join(filter(None, (*self.where.values(), self.metric, self.target, self.slot)))

    def takes(self, coordinates: Mapping[str, str]) -> bool:
        """Whether the cell at ``coordinates`` belongs to this column."""
        return all(coordinates.get(axis) == label for axis, label in self.where.items())


class PublishedSource(Frozen):
    """The published numbers beside a table's own: the rows of ``grid/published/PAPER.csv`` with this ``table``.

    ``labels`` (axis -> label of the grid -> label of the paper) says for what each label stands in.
    """

    paper: str
    table: str
    labels: dict[str, dict[str, str]] = {}

    def label(self, axis: str, own: str) -> str:
        """The paper's label for a label of the grid."""
        return self.labels.get(axis, {}).get(own, own)


class TableDefinition(Frozen):
    """One table: a row for each combination of labels of the axes ``rows`` that the grid has.

    Rows stand as their cells do in the grid; or, with ``order`` (axis of ``rows`` -> labels), sorted by it.
    """

    title: str
    rows: tuple[str, ...] = Field(min_length=1)
    columns: tuple[ColumnDefinition, ...] = Field(min_length=1)
    order: dict[str, tuple[str, ...]] = {}
    published: PublishedSource | None = None

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

    @model_validator(mode="after")
    def _order_is_of_rows(self) -> TableDefinition:
        if unknown := [axis for axis in self.order if axis not in self.rows]:
            raise ValueError(f"order: {unknown[0]!r} is not an axis of rows; valid: {', '.join(self.rows)}")
        return self


class TableCell(Protocol):
    """A cell of a grid: ``coordinates`` maps axes to labels, ``tables`` names the tables it belongs to."""

    @property
    def id(self) -> str: ...
    @property
    def coordinates(self) -> Mapping[str, str]: ...
    @property
    def tables(self) -> Sequence[str]: ...


class TableGrid(Protocol):
    """A grid as its tables need it. ``typed``: as commands name it, by its name or the path of its file."""

    @property
    def name(self) -> str: ...
    @property
    def cells(self) -> Sequence[TableCell]: ...
    @property
    def tables(self) -> Mapping[str, TableDefinition]: ...
    @property
    def typed(self) -> str: ...
