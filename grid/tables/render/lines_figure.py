"""Draw columns of a table over an axis of its rows: a panel a column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from echolm.errors import EchoLMError
from echolm.text import one_line
from grid.definition.figures import LinesFigure
from grid.tables.render.canvas import (
    COLOURS,
    GREY,
    make_panels,
    mark_synthetic,
    shown,
    title_panel,
)
from grid.tables.render.figure import MARKERS, LineStyle, draw_baselines, draw_legend, draw_row
from grid.tables.render.wording import headings, marks
from grid.tables.table import Table, TableRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALONE = "mean over seeds"
"""Names the line where there is one."""
LEADING_NUMBER = re.compile(r"\s*([0-9.]+)")


@dataclass(frozen=True)
class _Line:
    """Rows that differ in one axis alone, in the order of its numbers."""

    name: str
    positions: Sequence[float]
    rows: Sequence[TableRow]


def draw_lines(table: Table, definition: LinesFigure) -> Figure:
    """Draw lines with their bands, published numbers, and what a constant prediction reaches.

    Args:
        table: with the columns of the figure.
        definition: of the figure.

    Raises:
        EchoLMError: labels of the axis begin with no number.
    """
    ticks = _ticks(table, definition)
    lines = _lines(table, definition, ticks)
    styles: dict[str, LineStyle] = {}
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        styles[line.name] = LineStyle(colour, MARKERS[number % len(MARKERS)])
    across = 3 if len(table.columns) in (3, 5, 6, 9) else 2
    drawing, axes = make_panels(len(table.columns), across, 3.5, 2.6, below=0.9)
    for index, (axis, heading) in enumerate(zip(axes, headings(table), strict=True)):
        for line in lines:
            values = tuple(row.values[index] for row in line.rows)
            row = TableRow((line.name,), values)
            draw_row(axis, row, line.positions, styles[line.name])
            draw_baselines(axis, [row], line.positions)
            for position, value in zip(line.positions, values, strict=True):
                if value.number:
                    mark_point(axis, position, value.number.estimate, marks(value, False))
        _label_axis(axis, definition, ticks)
        title_panel(axis, one_line(heading))
    draw_legend(drawing, table, styles)
    mark_synthetic(drawing, table)
    return drawing


def mark_point(axis: Any, x: float, y: float, text: str) -> None:
    """Write the marks of a number beside its point, if it has any."""
    if text:
        place = {"xytext": (3, 3), "textcoords": "offset points"}
        axis.annotate(text, (x, y), **place, fontsize=7, color=GREY)


def _ticks(table: Table, definition: LinesFigure) -> dict[str, float]:
    """Return label of the axis -> where it stands, from the smallest on."""
    number = table.axes.index(definition.x)
    labels = list(dict.fromkeys(row.labels[number] for row in table.rows))
    if definition.scale == "even":
        return {label: float(place) for place, label in enumerate(labels)}
    places = {}
    for label in labels:
        match = LEADING_NUMBER.match(label)
        if not match:
            raise EchoLMError(
                f"table {table.name}: figures: scale {definition.scale}: the label {label!r} of "
                f"{definition.x} begins with no number; or use scale: even"
            )
        places[label] = float(match[1])
    return dict(sorted(places.items(), key=lambda item: item[1]))


def _lines(table: Table, definition: LinesFigure, ticks: dict[str, float]) -> list[_Line]:
    """Group the rows by their labels on all other axes."""
    number = table.axes.index(definition.x)
    by_name: dict[str, dict[float, TableRow]] = {}
    for row in table.rows:
        others = [label for place, label in enumerate(row.labels) if place != number]
        name = shown(", ".join(others)) or ALONE
        by_name.setdefault(name, {})[ticks[row.labels[number]]] = row
    lines = []
    for name, rows in by_name.items():
        positions = sorted(rows)
        lines.append(_Line(name, positions, [rows[position] for position in positions]))
    return lines


def _label_axis(axis: Any, definition: LinesFigure, ticks: dict[str, float]) -> None:
    """Put the labels of the axis on x."""
    from matplotlib.ticker import NullFormatter, NullLocator

    if definition.scale == "log":
        axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(list(ticks.values()), [one_line(label) for label in ticks])
    axis.set_xlabel(one_line(definition.x))
