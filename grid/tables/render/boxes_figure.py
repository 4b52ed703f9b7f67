"""Draw how columns of a table are spread over random subsets of the test set: a box a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.text import one_line
from grid.statistics.subset_interval import SubsetTInterval
from grid.tables.render.canvas import (
    GREY,
    RowStyle,
    make_panels,
    mark_synthetic,
    row_name,
    row_styles,
    title_panel,
)
from grid.tables.render.wording import MISSING, headings, marks, published_numbers
from grid.tables.table import Table, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of a box: the ends of its whiskers, its sides, and the line in it."""
TOO_FEW = "too few test samples for subsets"
DIAMOND: Any = {"marker": "D", "markersize": 4.5, "markerfacecolor": "white", "linestyle": "none"}
"""A published number."""


def draw_boxes(table: Table) -> Figure:
    """Draw a box a row over all draws of all seeds, and published numbers as diamonds.

    Args:
        table: with the columns of the figure.
    """
    styles = row_styles(table)
    height = 0.27 * len(table.rows) + 0.75
    across = 3 if len(table.columns) in (3, 5, 6, 9) else 2
    drawing, axes = make_panels(len(table.columns), across, 3.4, height, sharey=True)
    names = [row_name(row) for row in table.rows]
    for index, (axis, heading) in enumerate(zip(axes, headings(table), strict=True)):
        for place, (row, style) in enumerate(zip(table.rows, styles, strict=True)):
            _draw_row(axis, place, row.values[index], style)
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.grid(visible=False, axis="y")
        title_panel(axis, one_line(heading))
    if published_numbers(table.values):
        _draw_legend(drawing, table)
    mark_synthetic(drawing, table)
    return drawing


def box(value: Value) -> np.ndarray | None:
    """Return ``QUANTILES`` of a value over the draws of ``subset-draws-95`` of all its seeds.

    Draws in which it is undefined are left out.

    Args:
        value: the value.

    Returns:
        The quantiles. None without a draw.

    Raises:
        EchoLMError: its test set is too small for subsets.
    """
    if value.resampled is None:
        return None
    drawn = SubsetTInterval().draws_by_seed(value.resampled.runs, value.resampled.statistic)
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return None
    quantiles: np.ndarray = np.quantile(defined, QUANTILES)
    return quantiles


def _draw_row(axis: Any, place: int, value: Value, style: RowStyle) -> None:
    """Draw the box of a value, with its marks, and the published number."""
    quantiles, reason = None, MISSING
    try:
        quantiles = box(value)
    except EchoLMError:
        reason = TOO_FEW
    if quantiles is not None:
        low, first, median, third, high = quantiles.tolist()
        line = {"color": style.colour, "linewidth": 1.2}
        numbers = {"whislo": low, "q1": first, "med": median, "q3": third, "whishi": high}
        axis.bxp(
            [{**numbers, "fliers": []}],
            positions=[place],
            widths=0.6,
            orientation="horizontal",
            manage_ticks=False,
            patch_artist=True,
            showfliers=False,
            boxprops={
                "facecolor": (style.colour, style.opacity),
                "edgecolor": style.colour,
                "linewidth": 1.2,
            },
            whiskerprops=line,
            capprops=line,
            medianprops={"color": "black", "linewidth": 1.4},
        )
        text = marks(value, False)
        if text:
            offset = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
            axis.annotate(text, (high, place), **offset, fontsize=7, color=GREY)
    elif value.expected:
        # Above the middle, where a published number may stand.
        offset = {"xytext": (0, 2), "textcoords": "offset points"}
        axis.annotate(
            reason, (0.02, place), xycoords=("axes fraction", "data"), **offset, fontsize=6
        )
    if value.published:
        axis.plot([value.published.value], [place], color=GREY, **DIAMOND, zorder=5)


def _draw_legend(drawing: Figure, table: Table) -> None:
    """Say below the panels what the diamonds are."""
    from matplotlib.lines import Line2D

    assert table.published is not None
    label = one_line(f"published ({table.published.place})")
    handle = Line2D([], [], color=GREY, **DIAMOND, label=label)
    drawing.legend(handles=[handle], loc="outside lower left", frameon=False, fontsize=8)
