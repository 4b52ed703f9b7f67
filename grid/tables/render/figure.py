"""Draw a table as a line plot.

A row is a line and a column is a point. The ± is a band, seeds are dots, published numbers are
dashed, and a constant prediction is dotted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.files import write_atomic
from echolm.text import one_line
from grid.definition.tables import FigureDefinition
from grid.statistics import FEWEST_SEEDS, PATIENTS_ONLY, FarBehindRun
from grid.statistics.baseline import MEAN_CONTOUR
from grid.tables.render.canvas import (
    COLOURS,
    GREY,
    FileStyle,
    encoded,
    file_name,
    mark_synthetic,
    shown,
)
from grid.tables.render.wording import (
    constants_of,
    counted_range,
    estimates,
    headings,
    published_numbers,
)
from grid.tables.table import Table, TableRow, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vPX"
OVER_BOTH = "95 % interval over patients and seeds"
BANDS = {
    "crossed-95": OVER_BOTH,
    "bootstrap-95": "95 % interval over patients",
    "bootstrap-90": "90 % interval over patients",
    "std-over-patients": "± std over patients",
    "std-over-seeds": "± std over seeds",
    "subset-draws-95": "95 % t-interval over 50 subsets",
    "subset-draws-and-crossed-95": OVER_BOTH,
}
"""Kind of ± -> what the band is."""
PANEL_WIDTH, PANEL_HEIGHT = 4.6, 3.4
"""Size of a panel in inches."""
ALONE_WIDTH = 6.4
"""Width of a figure with one panel, in inches."""
# Settings of matplotlib's lines, the same in the panels and in the legend.
PUBLISHED_LINE: Any = {
    "markersize": 4,
    "markerfacecolor": "white",
    "linewidth": 1,
    "linestyle": (0, (4, 2.5)),
}
SEED_DOTS: Any = {"marker": ".", "markersize": 3, "linestyle": "none", "alpha": 0.5}
FAR_BEHIND_CROSS: Any = {"color": "#b3261e", "marker": "x", "linestyle": "none"}
BASELINE: Any = {
    "color": GREY,
    "marker": "_",
    "markersize": 9,
    "linewidth": 1,
    "linestyle": ":",
}


@dataclass(frozen=True)
class LineStyle:
    """What tells a line of the figure from the others."""

    colour: str
    marker: str


def figure(table: Table) -> str:
    """Draw the figure as SVG text. The same table gives the same text.

    Raises:
        EchoLMError: The table does not say how it is drawn.
    """
    return encoded(partial(_draw, table), "svg").decode()


def band(table: Table) -> str:
    """Say in words what the band is.

    The labels of the numbers count. They may differ from their kind: an interval is over patients
    only under three seeds.
    """
    kind = BANDS.get(table.kind, table.kind)
    labels = {number.label for number in estimates(table.values)}
    if labels == {PATIENTS_ONLY}:
        return kind.replace(OVER_BOTH, "95 % interval over patients only")
    if PATIENTS_ONLY in labels:
        return f"{kind} (under {FEWEST_SEEDS} seeds: over patients only)"
    return kind


def figure_name(table: Table) -> str:
    """Return the name of the figure's files, without their ending.

    It is the table's name, as ``file_name`` spells it.
    """
    return file_name(table.name)


def save(table: Table, folder: Path) -> list[Path]:
    """Write the figure as ``NAME.svg`` and ``NAME.pdf``, by ``figure_name``."""
    paths = []
    styles: tuple[FileStyle, ...] = ("svg", "pdf")
    for style in styles:
        path = folder / f"{figure_name(table)}.{style}"
        write_atomic(path, encoded(partial(_draw, table), style))
        paths.append(path)
    return paths


def _draw(table: Table) -> Figure:
    """Draw the panels of the figure, at most two beside each other, and its legend."""
    from matplotlib.figure import Figure

    definition = table.figure
    if definition is None:
        raise EchoLMError(
            f"table {table.name} of grid {table.grid}: has no section 'figure': {{x, y}}"
        )
    panels = _panels(table, definition)
    across = min(len(panels), 2)
    down = math.ceil(len(panels) / across)
    width = PANEL_WIDTH * across if across > 1 else ALONE_WIDTH
    drawing = Figure(figsize=(width, PANEL_HEIGHT * down + 0.9), layout="constrained")
    axes = drawing.subplots(down, across, squeeze=False, sharey=True).ravel()
    styles = _line_styles(table, definition)
    positions = _positions(table, definition)
    for axis, (label, rows) in zip(axes, panels.items(), strict=False):
        for row in rows:
            draw_row(axis, row, positions, styles[_line_name(table, row, definition)])
        draw_baselines(axis, rows, positions)
        _label_axis(axis, table, definition, positions, label)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for index, axis in enumerate(axes):
        in_first_column = index % across == 0
        axis.set_ylabel(one_line(definition.y) if in_first_column else "")
    draw_legend(drawing, table, styles)
    return drawing


def _panels(table: Table, definition: FigureDefinition) -> dict[str, list[TableRow]]:
    """Group the rows of the table by panel.

    Returns:
        Label of the panel -> its rows.
    """
    panels: dict[str, list[TableRow]] = {}
    for row in table.rows:
        labels = dict(zip(table.axes, row.labels, strict=True))
        panels.setdefault(labels.get(definition.panels, ""), []).append(row)
    return panels


def _line_styles(table: Table, definition: FigureDefinition) -> dict[str, LineStyle]:
    """Give each line a colour and a marker. Lines of the same name share them over panels."""
    styles: dict[str, LineStyle] = {}
    for row in table.rows:
        name = _line_name(table, row, definition)
        if name not in styles:
            index = len(styles)
            styles[name] = LineStyle(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
    return styles


def _line_name(table: Table, row: TableRow, definition: FigureDefinition) -> str:
    """Name the line of a row by its labels, without that of the panel."""
    labels = zip(table.axes, row.labels, strict=True)
    return shown(", ".join(label for axis, label in labels if axis != definition.panels))


def _positions(table: Table, definition: FigureDefinition) -> list[float]:
    """Return where each column stands on x."""
    if definition.scale == "even":
        return [float(index) for index in range(len(table.columns))]
    positions = []
    for column in table.columns:
        match = re.match(r"\s*([0-9.]+)", column.heading)
        if not match:
            raise EchoLMError(
                f"table {table.name}: figure: scale {definition.scale}: the heading"
                f" {column.heading!r} begins with no number; or use scale: even"
            )
        positions.append(float(match[1]))
    return positions


def draw_row(axis: Any, row: TableRow, positions: Sequence[float], style: LineStyle) -> None:
    """Draw the band, the line, the published numbers, the seeds and those far behind, of a row."""
    lows, highs, means, published = [], [], [], []
    for value in row.values:
        low, high = _band_ends(value)
        lows.append(low)
        highs.append(high)
        means.append(value.number.estimate if value.number else np.nan)
        published.append(value.published.value if value.published else np.nan)
    line = {"color": style.colour, "marker": style.marker}
    axis.fill_between(positions, lows, highs, color=style.colour, alpha=0.14, linewidth=0, zorder=1)
    axis.plot(positions, means, **line, markersize=4.5, linewidth=1.6, zorder=4)
    axis.plot(positions, published, **line, **PUBLISHED_LINE, alpha=0.75, zorder=2)
    for position, value in zip(positions, row.values, strict=True):
        seeds = [source.value for source in value.sources if source.value is not None]
        axis.plot([position] * len(seeds), seeds, color=style.colour, **SEED_DOTS, zorder=3)
        for run in _drawable(value):
            axis.plot([position], [run.value], **FAR_BEHIND_CROSS, markersize=7, zorder=5)


def draw_baselines(axis: Any, rows: Sequence[TableRow], positions: Sequence[float]) -> None:
    """Draw what a constant prediction reaches at each point, once for all rows that share it."""
    drawn = set()
    for row in rows:
        heights = tuple(value.baseline for value in row.values)
        if heights not in drawn:
            drawn.add(heights)
            line = [np.nan if height is None else height for height in heights]
            axis.plot(positions, line, **BASELINE, zorder=1)


def _drawable(value: Value) -> tuple[FarBehindRun, ...]:
    """Return the runs that are crossed out: those far behind their best seed."""
    return value.far_behind


def _band_ends(value: Value) -> tuple[float, float]:
    """Return the lower and the upper end of the band at a point, NaN without one."""
    band = value.number.band if value.number else None
    return band or (np.nan, np.nan)


def _label_axis(
    axis: Any, table: Table, definition: FigureDefinition, positions: Sequence[float], panel: str
) -> None:
    """Put the headings of the columns on x, and the panel's label above."""
    from matplotlib.ticker import NullFormatter, NullLocator

    if definition.scale == "log":
        axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(positions, [one_line(heading) for heading in headings(table)])
    axis.set_xlabel(one_line(definition.x))
    if panel:
        title = one_line(f"{definition.panels} {panel}")
        axis.set_title(title, fontsize=9, fontweight="bold", loc="left")


def draw_legend(drawing: Figure, table: Table, styles: Mapping[str, LineStyle]) -> None:
    """Say below the panels what lines, bands and marks are, of those that occur."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for name, style in styles.items():
        label = name + _stands_for(table, name)
        line = Line2D([], [], color=style.colour, marker=style.marker, markersize=4.5, label=label)
        handles.append(line)
    numbers = estimates(table.values)
    if numbers:
        patients = counted_range((number.patients for number in numbers), "patient")
        seeds = counted_range((number.seeds for number in numbers), "seed")
        label = f"{band(table)} ({patients}, {seeds}); dots: seeds"
        handles.append(Patch(color=GREY, alpha=0.2, label=label))
    if table.published and published_numbers(table.values):
        label = one_line(f"published ({table.published.place})")
        handles.append(Line2D([], [], color=GREY, marker="o", **PUBLISHED_LINE, label=label))
    if any(_drawable(value) for value in table.values):
        handles.append(Line2D([], [], **FAR_BEHIND_CROSS, label="seed far behind its best"))
    held = [value for value in table.values if value.baseline is not None]
    if held:
        words = constants_of(held).removeprefix("the ").removeprefix("a ")
        source = "of the training data" if MEAN_CONTOUR.endswith(words) else "(training data)"
        handles.append(Line2D([], [], **BASELINE, label=f"{words} {source}"))
    drawing.legend(
        handles=handles,
        loc="outside lower left",
        ncols=2 if len(drawing.axes) > 1 else 1,
        frameon=False,
        fontsize=8,
    )
    mark_synthetic(drawing, table)


def _stands_for(table: Table, name: str) -> str:
    """Return `` (dashed: r3d-18)`` for a line beside another's published numbers."""
    if not table.published:
        return ""
    labels_of_line = name.split(", ")
    stand_ins = set()
    for row in table.rows:
        for axis, label in zip(table.axes, row.labels, strict=True):
            paper_label = table.published.label(axis, label)
            if label in labels_of_line and paper_label != label:
                stand_ins.add(paper_label)
    if not stand_ins:
        return ""
    return one_line(f" (dashed: {', '.join(sorted(stand_ins))})")
