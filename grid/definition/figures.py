"""The figures that a table declares beside its columns: what is drawn of which of them.

::

    figures:
      roc: {kind: roc, columns: [EchoNet AUC, CAMUS AUC]}
      boxes: {kind: boxes, columns: [EF MAE (%)]}
      curves: {kind: lines, x: mask ratio, columns: [MAE (%), R²]}
      scatter: {kind: scatter, columns: [EF MAE (%)]}

Columns are named by their headings. A figure has a panel for each, but for ``scatter``, which has
one for each column and row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from echolm.registry import Frozen
from echolm.text import suggest

Scale = Literal["even", "linear", "log"]
"""An axis of numbers, as they are or by their logarithms, or of labels that stand side by side."""


class TableFigure(Frozen):
    """What all kinds of figures say.

    Attributes:
        columns: headings of columns of the table.
        caption: what is said below it, before what is said of every figure of its kind.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    caption: str = ""

    statistics: ClassVar[Collection[str]] = ()
    """The statistics that it is drawn of. Empty: any."""
    takes_costs: ClassVar[bool] = False
    """Whether it is drawn of what runs cost, too."""


class LinesFigure(TableFigure):
    """Values over an axis of rows whose labels begin with numbers.

    Rows that differ in that axis alone are one line.

    Attributes:
        x: the axis.
        scale: of the axis.
    """

    kind: Literal["lines"]
    x: str
    scale: Scale = "linear"

    takes_costs = True


class RocFigure(TableFigure):
    """The ROC curve of each row, the mean over seeds, with the area below it.

    Of several classes it is the mean curve of each class against the others.

    Attributes:
        band: whether each curve has its 95 % band over patients and seeds. It is of two classes.
    """

    kind: Literal["roc"]
    band: bool = False

    statistics = ("auc", "macro auc")


class BoxesFigure(TableFigure):
    """A box of each row: what the column is on the 50 draws of ``subset-draws-95``, of all seeds.

    A box goes from one quartile to the other, with a line at the median. Whiskers go from the 5th
    to the 95th percentile.
    """

    kind: Literal["boxes"]


class ScatterFigure(TableFigure):
    """Predicted by true values, a panel a row, with MAE and R²."""

    kind: Literal["scatter"]

    statistics = ("bias", "mae", "mse", "pearson", "r2", "rmse", "spearman")


AnyFigure = Annotated[
    LinesFigure | RocFigure | BoxesFigure | ScatterFigure, Field(discriminator="kind")
]


def check_figures(
    figures: Mapping[str, TableFigure],
    axes: Sequence[str],
    statistics: Mapping[str, str | None],
) -> None:
    """Check that figures are of columns and axes that their table has.

    Args:
        figures: by name.
        axes: the axes of the table's rows.
        statistics: heading of a column -> its statistic, None for a column of a cost.

    Raises:
        ValueError: one is not.
    """
    for name, figure in figures.items():
        where = f"figures: {name}"
        if isinstance(figure, LinesFigure) and figure.x not in axes:
            raise ValueError(
                f"{where}: x: {figure.x!r} is not an axis of rows; {suggest(figure.x, axes)}"
            )
        for heading in figure.columns:
            if heading not in statistics:
                raise ValueError(f"{where}: no column {heading!r}; {suggest(heading, statistics)}")
            _check_statistic(f"{where}: column {heading!r}", figure, statistics[heading])
            if isinstance(figure, RocFigure) and figure.band and statistics[heading] != "auc":
                raise ValueError(f"{where}: band: column {heading!r} is of several classes")


def _check_statistic(where: str, figure: TableFigure, statistic: str | None) -> None:
    """Check that a figure can be drawn of a column's statistic."""
    if statistic is None:
        if not figure.takes_costs:
            raise ValueError(f"{where} is what runs cost; figures of lines alone show that")
        return
    if figure.statistics and statistic not in figure.statistics:
        valid = ", ".join(figure.statistics)
        raise ValueError(f"{where} is of {statistic}; valid for it: a column of {valid}")
