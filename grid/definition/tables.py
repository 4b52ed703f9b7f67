"""What a table shows, and the grid as a table needs it.

Definitions are read from the section ``tables`` of a grid's YAML file, or from a file of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol

from pydantic import Field, field_validator, model_validator

from echolm.errors import EchoLMError
from echolm.registry import Frozen
from echolm.value_groups import UNKNOWN_GROUP
from grid.definition.claims import ClaimDefinition
from grid.definition.figures import AnyFigure, Scale, check_figures
from grid.definition.quantities import metric_quantity, target_quantity
from grid.definition.subgroups import AXIS, GroupLabel, group_name
from grid.statistics import DEFAULT_KIND, Bounds, Quantity, Statistic, kind, statistic

SEED = "seed"
"""The axis that is averaged over. Cells that differ in it alone share one value."""
ABSENT = "-"
"""Stands for the label of an axis that a cell does not have, and for a value that is not there."""


CostName = Literal["parameters", "trainable_parameters", "flops", "peak_memory", "seconds"]
COSTS: dict[str, str] = {
    "parameters": "",
    "trainable_parameters": "",
    "flops": "",
    "peak_memory": "bytes",
    "seconds": "s",
}
"""What a run cost -> its unit.

``parameters`` are those of the whole network, ``trainable_parameters`` those that training changes.
``flops`` are of one clip in one pass forward. ``seconds`` are of training and validation: where
runs were trained together, a run's part of them.
"""


class ColumnDefinition(Frozen):
    """One column: a statistic of the predictions on the test split, of one slot and target.

    Attributes:
        cost: what a run cost, in the place of a statistic: one of ``COSTS``. It has no ± and no
            better direction, and takes no option but ``scale``.
        metric: a per-sample column of the predictions (``dice``, ``mke``). Statistics of truth and
            prediction (``mae``, ``r2``, ``auc``) need none.
        statistic: what is made of it over patients, a label of ``grid.statistics.STATISTICS``.
        options: the statistic's own options (``positive: 1`` of ``f1``). ``scale`` is a number that
            values are multiplied by, so that they have the unit of published ones.
        unit: ``study``: predictions and scores are averaged over a study before the error, and the
            class is that of the mean score. Left out: each sample is by itself.
        subgroup: a value of the store -> the group that the column is of (``sex: F``, ``age: <60``,
            ``age: 60-75``, ``quality: unknown``).
        slot: may be left out where the predictions have one, as ``target`` may.
        target: see ``slot``.
        where: axis -> label. It restricts the column to some cells of a row.
        label: the heading, in the place of the one that is made of the fields above.
        digits: digits after the decimal point.
        better: the better direction, where the name of the metric does not tell.
    """

    cost: CostName | Literal[""] = ""
    metric: str = ""
    statistic: str = "mean"
    options: dict[str, str | float] = {}
    slot: str = ""
    target: str = ""
    unit: Literal["", "study"] = ""
    subgroup: dict[str, GroupLabel] = {}
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
        if self.cost:
            self._check_cost()
            return self
        try:
            self.made()
        except EchoLMError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_cost(self) -> None:
        stated = self.model_fields_set - {"cost", "options", "where", "label", "digits"}
        # What was launched is kept with all fields, those that nobody stated too.
        stated = {
            name
            for name in stated
            if getattr(self, name) != type(self).model_fields[name].get_default()
        }
        if stated:
            raise ValueError(f"cost: {self.cost} has no {', '.join(sorted(stated))}; leave it out")
        others = set(self.options) - {"scale"}
        if others or not isinstance(self.scale, float):
            raise ValueError(f"options: cost {self.cost} takes scale, a number, and nothing else")

    @property
    def scale(self) -> float:
        """What a cost is multiplied by, so that it has the unit that the heading names."""
        return self.options.get("scale", 1.0)  # type: ignore[return-value]

    def made(self) -> Statistic:
        """Return the statistic with its columns. A column of a cost has none.

        Raises:
            EchoLMError: it does not exist, or takes no such option.
        """
        options = dict(self.options)
        if not self.metric:
            return statistic(self.statistic, **options)
        return statistic(self.statistic, column=self.metric, **options)

    @property
    def quantity(self) -> str:
        """What published numbers call it: the metric, whose mean they are.

        Any other statistic stands before its metric (``std dice``).
        """
        if self.cost:
            return self.cost
        if self.statistic == "mean":
            return self.metric
        return f"{self.made().title} {self.metric}".strip()

    @property
    def described(self) -> Quantity:
        """What is known of its values: unit, better direction and range."""
        if self.cost:
            return Quantity(COSTS[self.cost] if self.scale == 1 else "", None, Bounds(0.0, None))
        of = metric_quantity(self.metric) if self.metric else target_quantity(self.target)
        return self.made().describe(of)

    @property
    def direction(self) -> Literal["higher", "lower", ""]:
        """Which is better, or "" where it is not known."""
        return self.better or self.described.better or ""

    @property
    def bounds(self) -> Bounds:
        """Which values are possible."""
        return self.described.bounds

    @property
    def heading(self) -> str:
        """``label``, or the metric with its slot, target and labels of ``where``."""
        if self.label:
            return self.label
        words = [*self.where.values(), self.cost.replace("_", " ")]
        if self.statistic != "mean":
            words.append(self.made().title)
        words += [self.metric, self.target, self.slot]
        if self.unit:
            words.append(f"by {self.unit}")
        words.append(group_name(self.subgroup))
        return " ".join(word for word in words if word)

    @property
    def shown(self) -> str:
        """What it shows of its cells, as text. Columns that share it show the same."""
        plain = self.model_copy(update={"where": {}, "label": "", "digits": 0, "better": ""})
        return plain.model_dump_json()

    def of_group(self, subgroup: Mapping[str, str]) -> ColumnDefinition:
        """Return the column for those of its samples that are in a further subgroup."""
        return self.model_copy(update={"subgroup": {**self.subgroup, **subgroup}})

    def takes(self, coordinates: Mapping[str, str]) -> bool:
        """Return whether the cell at ``coordinates`` belongs to this column."""
        return all(coordinates.get(axis) == label for axis, label in self.where.items())


class FigureDefinition(Frozen):
    """How a table is drawn: a line for each row, with a point for each column.

    Published numbers are dashed lines of the same colour.

    Attributes:
        x: names the horizontal axis.
        y: names the vertical axis.
        scale: headings of columns are numbers (``0.5%``) on a ``linear`` or logarithmic (``log``)
            axis, or words that stand side by side (``even``).
        panels: an axis of ``rows``, each label of which is a panel of its own.
    """

    x: str
    y: str
    scale: Scale = "even"
    panels: str = ""


class PublishedSource(Frozen):
    """The published numbers beside a table's own: rows of ``grid/published/PAPER.csv``.

    Attributes:
        paper: names the file.
        table: the rows with this ``table``.
        labels: axis -> label of the grid -> label of the paper, for what each label stands in.
        alone: rows of the paper that the grid has no cells for, each by its labels (axis -> label
            of the paper). They stand above the table's own.
    """

    paper: str
    table: str
    labels: dict[str, dict[str, str]] = {}
    alone: tuple[dict[str, str], ...] = ()

    @property
    def place(self) -> str:
        """Where the numbers stand: ``zhang2025, table 1``."""
        name = f"table {self.table}" if self.table.isdigit() else self.table
        return f"{self.paper}, {name}"

    def label(self, axis: str, grid_label: str) -> str:
        """Return the paper's label for a label of the grid."""
        return self.labels.get(axis, {}).get(grid_label, grid_label)


class TableDefinition(Frozen):
    """One table: a row for each combination of labels of the axes ``rows`` that the grid has.

    Attributes:
        title: stands above the table.
        rows: the axes whose labels tell rows apart.
        columns: what each row shows.
        subgroups: a value of the store -> groups. Each row is followed by one of each group, and
            the axis ``subgroup`` tells them apart.
        interaction: axis of ``rows`` -> label. It names the rows that all others with the same
            labels on the other axes are held against. How the difference from them changes from
            the first group of each value to each other one stands below the rows, with its
            interval.
        order: axis of ``rows`` -> labels, to sort rows by. Without it rows stand as their cells do
            in the grid.
        published: the published numbers to show beside the table's own.
        spread: names the kind of ± (``grid.statistics.KINDS``).
        cells: axis or ``table`` -> labels. It says which cells are in the table. Left out: those
            that the grid's blocks list the table for.
        baseline: axis -> label. It names the cells of the grid whose network looks at no image (a
            constant prediction, such as the mean contour of the training data). A value that is no
            better is marked. They need not be in the table. Where they differ in an axis
            (``fraction``), a value is held against those that share its label.
        figure: the table is drawn as well.
        figures: name -> a figure of some of its columns.
    """

    title: str
    rows: tuple[str, ...] = Field(min_length=1)
    columns: tuple[ColumnDefinition, ...] = Field(min_length=1)
    subgroups: dict[str, Annotated[tuple[GroupLabel, ...], Field(min_length=1)]] = {}
    interaction: dict[str, str] = {}
    order: dict[str, tuple[str, ...]] = {}
    published: PublishedSource | None = None
    spread: str = DEFAULT_KIND
    cells: dict[str, tuple[str, ...]] = {}
    baseline: dict[str, str] = {}
    figure: FigureDefinition | None = None
    figures: dict[Annotated[str, Field(min_length=1)], AnyFigure] = {}

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
        if AXIS in rows:
            raise ValueError(f"{AXIS} cannot be a row: the field subgroups makes its rows")
        return rows

    @field_validator("columns")
    @classmethod
    def _columns_are_distinct(
        cls, columns: tuple[ColumnDefinition, ...]
    ) -> tuple[ColumnDefinition, ...]:
        headings = [column.heading for column in columns]
        if len(set(headings)) < len(headings):
            raise ValueError(f"two columns have the same heading: {', '.join(headings)}")
        return columns

    @property
    def groups(self) -> list[dict[str, str]]:
        """The subgroups of its rows, everybody first. Everybody alone where it names none."""
        groups: list[dict[str, str]] = [{}]
        for name, labels in self.subgroups.items():
            groups += [{name: label} for label in labels]
        return groups

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes whose labels stand before each row."""
        return (*self.rows, AXIS) if self.subgroups else self.rows

    @model_validator(mode="after")
    def _order_is_of_rows(self) -> TableDefinition:
        valid = ", ".join(self.rows)
        for axis in self.interaction:
            if axis not in self.rows:
                raise ValueError(f"interaction: {axis!r} is not an axis of rows; valid: {valid}")
        if self.interaction and not self._has_two_groups():
            raise ValueError(
                f"interaction: needs subgroups of two groups or more beside {UNKNOWN_GROUP}, as in "
                "subgroups: {sex: [F, M]}"
            )
        for axis in self.order:
            if axis not in self.rows:
                raise ValueError(f"order: {axis!r} is not an axis of rows; valid: {valid}")
        panels = self.figure.panels if self.figure else ""
        if panels and panels not in self.rows:
            raise ValueError(f"figure: panels: {panels!r} is not an axis of rows; valid: {valid}")
        return self

    @model_validator(mode="after")
    def _figures_can_be_drawn(self) -> TableDefinition:
        statistics: dict[str, str | None] = {}
        for column in self.columns:
            statistics[column.heading] = None if column.cost else column.statistic
        check_figures(self.figures, self.rows, statistics)
        return self

    def _has_two_groups(self) -> bool:
        """Tell whether a value has two groups that can be held against each other."""
        for labels in self.subgroups.values():
            if len({label for label in labels if label != UNKNOWN_GROUP}) > 1:
                return True
        return False


class TableCell(Protocol):
    """A cell of a grid: ``coordinates`` maps axes to labels, ``tables`` names its tables."""

    @property
    def id(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def coordinates(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def tables(self) -> Sequence[str]: ...  # noqa: D102


class TableGrid(Protocol):
    """A grid as its tables need it.

    ``typed``: the grid as commands name it, by its name or the path of its file.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def cells(self) -> Sequence[TableCell]: ...  # noqa: D102
    @property
    def tables(self) -> Mapping[str, TableDefinition]: ...  # noqa: D102
    @property
    def claims(self) -> Mapping[str, ClaimDefinition]: ...  # noqa: D102
    @property
    def typed(self) -> str: ...  # noqa: D102


def coordinates_text(cell: TableCell) -> str:
    """Spell where a cell lies: ``axis=label axis=label``."""
    return " ".join(f"{axis}={label}" for axis, label in cell.coordinates.items())
