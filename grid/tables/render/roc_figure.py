"""Draw the ROC curves of all rows of a table in one panel a column."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from grid.definition.figures import RocFigure
from grid.statistics import Resampled
from grid.statistics.roc import (
    POINTS,
    mean_roc_curve,
    roc_band,
    roc_classes,
    roc_curves,
)
from grid.statistics.scaled import unscaled
from grid.tables.render.canvas import (
    GREY,
    RowStyle,
    make_panels,
    mark_synthetic,
    place_of,
    row_name,
    row_styles,
    title_panel,
)
from grid.tables.render.wording import MISSING, marks
from grid.tables.table import Table, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIGITS = 3
"""Of an area."""


def draw_roc(table: Table, definition: RocFigure) -> Figure:
    """Draw a curve a row, with the area below it in the panel's legend.

    Args:
        table: with the columns of the figure.
        definition: of the figure.
    """
    styles = row_styles(table)
    below = 0.17 * len(table.rows)
    drawing, axes = make_panels(len(table.columns), 3, 3.4, 3.3 + below, below=0.3)
    for index, (axis, column) in enumerate(zip(axes, table.columns, strict=True)):
        axis.plot((0, 1), (0, 1), color=GREY, linewidth=0.8, linestyle=":")
        for row, style in zip(table.rows, styles, strict=True):
            value = row.values[index]
            if value.expected:
                _draw_row(axis, row_name(row), value, style, definition.band)
        axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axis.set_xlabel("1 − specificity")
        axis.set_ylabel("sensitivity" if index % 3 == 0 else "")
        title_panel(axis, place_of(column))
        axis.legend(
            loc="upper left",
            bbox_to_anchor=(-0.05, -0.17),
            frameon=False,
            fontsize=7.5,
            handlelength=2.6,
            labelspacing=0.35,
        )
    mark_synthetic(drawing, table)
    return drawing


def _draw_row(axis: Any, name: str, value: Value, style: RowStyle, band: bool) -> None:
    """Draw the curve of a value, or say in the legend that it has none."""
    line = {"color": style.colour, "linestyle": style.dashes, "linewidth": 1.4}
    curve = None
    if value.resampled is not None:
        curve = mean_roc_curve(value.resampled.runs, unscaled(value.resampled.statistic))
    if value.resampled is None or curve is None:
        axis.plot([], [], **line, label=f"{name}: {MISSING}{marks(value, False)}")
        return
    area = f"AUC {curve.area:.{DIGITS}f}{marks(value, False)}"
    axis.plot(curve.false_share, curve.sensitivity, **line, label=f"{name}: {area}")
    if band:
        _draw_band(axis, value.resampled, style.colour)


def _draw_band(axis: Any, value: Resampled, colour: str) -> None:
    """Draw the band of a classifier of two classes."""
    [(positive, score)] = roc_classes(value.runs, unscaled(value.statistic))
    runs = replace(value.runs, columns={"truth": positive.astype(float)})
    low, high, _ = roc_band(runs, score, roc_curves(runs, score))
    axis.fill_between(POINTS, low, high, color=colour, alpha=0.12, linewidth=0)
