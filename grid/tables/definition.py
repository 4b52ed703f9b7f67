"""What a table shows: read from the section ``tables`` of a grid's YAML file, or from a file of its own. And the grid as a
table needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from pydantic import Field, field_validator, model_validator

from echolm.errors import EchoLMError
from echolm.registry import Frozen
from grid.statistics import DEFAULT_KIND, Statistic, kind, statistic

SEED = "seed"
"""The axis that is averaged over; cells that differ in it alone share one value."""


HIGHER = frozenset({
    "dice", "r2", "pearson", "spearman", "accuracy", "f1", "macro f1", "balanced accuracy", "auc", "macro auc", "pooled dice",
})  # fmt: skip
LOWER = frozenset({"mke", "mae", "rmse", "squared_error"})
"""Metrics and statistics that are better when higher, or lower; of others a column says so itself, or nothing is bold."""


class ColumnDefinition(Frozen):
    """One column: a statistic of the predictions on the test split, of one slot and target.

    ``metric`` is a per-sample column of the predictions (``dice``, ``mke``), ``statistic`` what is made of it over patients
    (a label of ``grid.statistics.STATISTICS``); statistics of truth and prediction (``mae``, ``r2``, ``auc``) need no
    ``metric``. ``options`` are the statistic's own (``positive: 1`` of ``f1``). ``slot`` and ``target`` may be left out where
    the predictions have one. ``where`` (axis -> label) restricts the column to some cells of a row. ``better``: which
    direction is, where the name of the metric does not tell.
    """

    metric: str = ""
    statistic: str = "mean"
    options: dict[str, str | float] = {}
    slot: str = ""
    target: str = ""
    where: dict[str, str] = {}
    label: str = ""
    digits: int = Field(default=2, ge=0, le=10)
    better: Literal["higher", "lower", ""] = ""

    @field_validator("where")
    @classmethod
    def _seed_is_averaged(cls, where: dict[str, str]) -> dict[str, str]:
        if SEED in where:
            raise ValueError("seed cannot tell columns apart: a table averages over seeds")
        return where

    @model_validator(mode="after")
    def _statistic_exists(self) -> ColumnDefinition:
        try:
            self.made()
        except EchoLMError as error:
            raise ValueError(str(error)) from None
        return self

    def made(self) -> Statistic:
        """The statistic with its columns; EchoLMError when it does not exist or takes no such option."""
        return statistic(self.statistic, **({"column": self.metric} if self.metric else {}), **self.options)

    @property
    def quantity(self) -> str:
        """What published numbers call it: the metric, whose mean they are. Any other statistic stands before its metric (``std dice``)."""
        return self.metric if self.statistic == "mean" else " ".join(filter(None, (self.statistic, self.metric)))

    @property
    def direction(self) -> Literal["higher", "lower", ""]:
        """Which is better; "" where it is not known."""
        name = self.metric if self.statistic == "mean" else self.statistic
        return self.better or ("higher" if name in HIGHER else "lower" if name in LOWER else "")

    @property
    def heading(self) -> str:
        """``label``, or the metric with its slot, target and labels of ``where``."""
        shown = self.statistic if self.statistic != "mean" else ""
        return self.label or " ".join(filter(None, (*self.where.values(), shown, self.metric, self.target, self.slot)))

    def takes(self, coordinates: Mapping[str, str]) -> bool:
        """Whether the cell at ``coordinates`` belongs to this column."""
        return all(coordinates.get(axis) == label for axis, label in self.where.items())


class FigureDefinition(Frozen):
    """How a table is drawn: a line a row, with a point a column; published numbers as dashed lines of the same colour.

    ``x`` and ``y`` name the axes. ``scale``: headings of columns are numbers (``0.5%``) on a linear or logarithmic axis, or
    words that stand side by side (``even``). ``panels``: an axis of ``rows``, each label of which is a panel of its own.
    """

    x: str
    y: str
    scale: Literal["even", "linear", "log"] = "even"
    panels: str = ""


class PublishedSource(Frozen):
    """The published numbers beside a table's own: the rows of ``grid/published/PAPER.csv`` with this ``table``.

    ``labels`` (axis -> label of the grid -> label of the paper) says for what each label stands in. ``alone``: rows of the
    paper that the grid has no cells for, each by its labels (axis -> label of the paper); they stand above the table's own.
    """

    paper: str
    table: str
    labels: dict[str, dict[str, str]] = {}
    alone: tuple[dict[str, str], ...] = ()

    def label(self, axis: str, own: str) -> str:
        """The paper's label for a label of the grid."""
        return self.labels.get(axis, {}).get(own, own)


class TableDefinition(Frozen):
    """One table: a row for each combination of labels of the axes ``rows`` that the grid has.

    Rows stand as their cells do in the grid; or, with ``order`` (axis of ``rows`` -> labels), sorted by it. ``cells`` (axis
    or ``table`` -> labels) says which cells are in it; left out: those that the grid's blocks list the table for.
    ``spread`` names the kind of ± (``grid.statistics.KINDS``). ``baseline`` (axis -> label) are the cells of the
    grid whose network looks at no image (the mean contour of the training data): a value that is no better is marked. They need
    not be in the table; where they differ in an axis (``fraction``), a value is held against those that share its label. ``figure``: the table is drawn as well.
    """

    title: str
    rows: tuple[str, ...] = Field(min_length=1)
    columns: tuple[ColumnDefinition, ...] = Field(min_length=1)
    order: dict[str, tuple[str, ...]] = {}
    published: PublishedSource | None = None
    spread: str = DEFAULT_KIND
    cells: dict[str, tuple[str, ...]] = {}
    baseline: dict[str, str] = {}
    figure: FigureDefinition | None = None

    @field_validator("spread")
    @classmethod
    def _spread_exists(cls, spread: str) -> str:
        try:
            return kind(spread).name
        except EchoLMError as error:
            raise ValueError(str(error)) from None

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
        if self.figure and self.figure.panels and self.figure.panels not in self.rows:
            raise ValueError(f"figure: panels: {self.figure.panels!r} is not an axis of rows; valid: {', '.join(self.rows)}")
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
    def title(self) -> str: ...
    @property
    def cells(self) -> Sequence[TableCell]: ...
    @property
    def tables(self) -> Mapping[str, TableDefinition]: ...
    @property
    def typed(self) -> str: ...
