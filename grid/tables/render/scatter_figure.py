"""Draw predicted by true values: a panel for each row of a table, and each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grid.statistics import R2, Mae, Runs
from grid.tables.render.canvas import (
    GREY,
    RowStyle,
    make_panels,
    mark_synthetic,
    place_of,
    row_name,
    row_styles,
)
from grid.tables.render.wording import MISSING, marks
from grid.tables.table import Table, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 4
MANY = 3000
"""Dots of a figure from which on they are pixels, so that it stays small."""
DPI = 150
"""Of dots that are pixels."""


def draw_scatter(table: Table) -> Figure:
    """Draw a dot a test sample, the mean over seeds, with the line of equal values.

    Args:
        table: with the columns of the figure.
    """
    panels = _panels(table)
    drawing, axes = make_panels(len(panels), ACROSS, 2.3, 2.35, below=0.3)
    drawing.set_dpi(DPI)
    dots = sum(len(value.resampled.runs.samples) for _, _, value, _ in panels if value.resampled)
    for number, (axis, panel) in enumerate(zip(axes, panels, strict=True)):
        index, name, value, style = panel
        ends = _ends(table, index)
        axis.plot(ends, ends, color=GREY, linewidth=0.8)
        _draw_value(axis, value, style, as_pixels=dots > MANY)
        axis.set(xlim=ends, ylim=ends, aspect="equal")
        axis.set_title(f"{name}{marks(value, False)}", fontsize=7.5, loc="left")
        unit = table.units[index] if table.units else ""
        target = place_of(table.columns[index]) + (f" ({unit})" if unit else "")
        axis.set_xlabel(f"true {target}", fontsize=7.5)
        # All panels of a column have one scale, so its first in each line has the numbers.
        is_first = number % ACROSS == 0 or panels[number - 1][0] != index
        axis.set_ylabel("predicted" if is_first else "", fontsize=7.5)
        axis.tick_params(labelsize=7, labelleft=is_first, left=is_first)
        axis.locator_params(nbins=4)
        axis.grid(visible=False)
    mark_synthetic(drawing, table)
    return drawing


def _panels(table: Table) -> list[tuple[int, str, Value, RowStyle]]:
    """Return the index of a column, the name of a row, their value and its style, panel by panel.

    Places without cells have no panel.
    """
    panels = []
    styles = row_styles(table)
    for index in range(len(table.columns)):
        for row, style in zip(table.rows, styles, strict=True):
            if row.values[index].expected:
                panels.append((index, row_name(row), row.values[index], style))
    return panels


def _draw_value(axis: Any, value: Value, style: RowStyle, as_pixels: bool) -> None:
    """Draw the dots of a value, with MAE and R² in the corner."""
    text = MISSING
    if value.resampled is not None:
        runs = value.resampled.runs
        true, predicted = _dots(runs)
        axis.plot(
            true,
            predicted,
            linestyle="none",
            marker="o",
            markersize=2.2,
            markeredgewidth=0,
            color=style.colour,
            alpha=0.5,
            rasterized=as_pixels,
        )
        mae, r2 = Mae().full(runs).mean(), R2().full(runs).mean()
        text = f"MAE {mae:.3g}\nR² {r2:.2f}".replace("-", "−")
    axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=7)


def _dots(runs: Runs) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and prediction of each sample, the mean over seeds."""
    return runs.column("truth").mean(0), runs.column("prediction").mean(0)


def _ends(table: Table, index: int) -> tuple[float, float]:
    """Return the ends of both scales, the same for all rows of a column."""
    numbers = []
    for row in table.rows:
        value = row.values[index]
        if value.resampled is not None:
            numbers += [column[np.isfinite(column)] for column in _dots(value.resampled.runs)]
    all_numbers = np.concatenate([np.empty(0), *numbers])
    if not len(all_numbers):
        return 0.0, 1.0
    low, high = float(all_numbers.min()), float(all_numbers.max())
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin
