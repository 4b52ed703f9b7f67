"""A table as a line plot: a line a row, a point a column, its ± as a band, seeds as dots, published numbers dashed, the mean
contour dotted."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.record import write_atomic
from grid.statistics import FEWEST_SEEDS, PATIENTS_ONLY, Diverged
from grid.tables.caption import count
from grid.tables.definition import FigureDefinition
from grid.tables.table import Row, Table, Value
from grid.tables.text import PHANTOM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B5B5B")
"""Okabe and Ito's, which people with any colour vision tell apart."""
MARKERS = "osD^vPX"
OVER_BOTH = "95 % interval over patients and seeds"
BANDS = {
    "crossed-95": OVER_BOTH, "bootstrap-95": "95 % interval over patients",
    "bootstrap-90": "90 % interval over patients", "std-over-patients": "± std over patients", "std-over-seeds": "± std over seeds",
    "subset-draws-95": "95 % t-interval over 50 subsets",
}  # fmt: skip
PANEL = (4.6, 3.4)
"""Width and height of a panel, inches."""
ALONE = 6.4
"""Width of a figure with one panel, inches."""
SETTINGS: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e6e8ee", "grid.linewidth": 0.7,
    "axes.edgecolor": "#5c6475", "svg.fonttype": "none", "svg.hashsalt": "echolm", "pdf.fonttype": 42,
}  # fmt: skip


def figure(table: Table) -> str:
    """The figure as SVG text; EchoLMError when the table does not say how it is drawn. The same table gives the same text."""
    return _saved(table, "svg").decode()


def band(table: Table) -> str:
    """What the band is, in words: as its numbers' labels say, which may differ from their kind (``patients only`` under three seeds)."""
    kind = BANDS.get(table.kind, table.kind)
    labels = {value.number.label for value in table.values if value.number}
    if labels == {PATIENTS_ONLY}:
        return kind.replace(OVER_BOTH, "95 % interval over patients only")
    few = f" (under {FEWEST_SEEDS} seeds: over patients only)" if PATIENTS_ONLY in labels else ""
    return kind + few


def save(table: Table, folder: Path) -> list[Path]:
    """Write the figure as ``NAME.svg`` and ``NAME.pdf``."""
    paths = [folder / f"{table.name}.{style}" for style in ("svg", "pdf")]
    for path in paths:
        write_atomic(path, _saved(table, path.suffix[1:]))
    return paths


def _saved(table: Table, style: str) -> bytes:
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        metadata = {"Date": None} if style == "svg" else {"CreationDate": None}
        _drawn(table).savefig(file, format=style, metadata=metadata, bbox_inches="tight", pad_inches=0.08)
    return file.getvalue()


def _drawn(table: Table) -> Figure:
    from matplotlib.figure import Figure

    definition = table.figure
    if definition is None:
        raise EchoLMError(f"table {table.name} of grid {table.grid}: has no section 'figure': {{x, y}}")
    panels = _panels(table, definition)
    across = min(len(panels), 2)
    down = -(-len(panels) // across)
    wide = PANEL[0] * across if across > 1 else ALONE
    drawn = Figure(figsize=(wide, PANEL[1] * down + 0.9), layout="constrained")
    axes = drawn.subplots(down, across, squeeze=False, sharey=True).ravel()
    lines = list(dict.fromkeys(_line_name(table, row, definition) for row in table.rows))
    places = _positions(table, definition)
    for axis, (label, rows) in zip(axes, panels.items(), strict=False):
        for row in rows:
            _line(axis, table, row, places, lines.index(_line_name(table, row, definition)))
        _baselines(axis, rows, places)
        _axis(axis, table, definition, places, label)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for at, axis in enumerate(axes):
        axis.set_ylabel(definition.y if at % across == 0 else "")
    _legend(drawn, table, lines)
    return drawn


def _panels(table: Table, definition: FigureDefinition) -> dict[str, list[Row]]:
    """Label of the panel -> its rows."""
    found: dict[str, list[Row]] = {}
    for row in table.rows:
        labels = dict(zip(table.axes, row.labels, strict=True))
        found.setdefault(labels.get(definition.panels, ""), []).append(row)
    return found


def _line_name(table: Table, row: Row, definition: FigureDefinition) -> str:
    return ", ".join(label for axis, label in zip(table.axes, row.labels, strict=True) if axis != definition.panels)


def _positions(table: Table, definition: FigureDefinition) -> list[float]:
    """Where each column stands on x."""
    if definition.scale == "even":
        return list(map(float, range(len(table.columns))))
    found = [re.match(r"\s*([0-9.]+)", column.heading) for column in table.columns]
    if wrong := [column.heading for column, match in zip(table.columns, found, strict=True) if not match]:
        raise EchoLMError(f"table {table.name}: figure: scale {definition.scale}: the heading {wrong[0]!r} begins with no number; or use scale: even")
    return [float(match[1]) for match in found if match]


def _line(axis: Any, table: Table, row: Row, places: Sequence[float], number: int) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    means = [value.number.estimate if value.number else np.nan for value in row.values]
    low, high = zip(*(_ends(value) for value in row.values), strict=True)
    axis.fill_between(places, low, high, color=colour, alpha=0.14, linewidth=0, zorder=1)
    axis.plot(places, means, color=colour, marker=marker, markersize=4.5, linewidth=1.6, zorder=4)
    theirs = [value.published.value if value.published else np.nan for value in row.values]
    axis.plot(places, theirs, color=colour, marker=marker, markersize=4, markerfacecolor="white", linewidth=1, linestyle=(0, (4, 2.5)), alpha=0.75, zorder=2)
    for place, value in zip(places, row.values, strict=True):
        seeds = [source.value for source in value.sources if source.value is not None]
        axis.plot([place] * len(seeds), seeds, color=colour, marker=".", markersize=3, linestyle="none", alpha=0.5, zorder=3)
        for run in _drawable(value):
            axis.plot([place], [run.value], color="#b3261e", marker="x", markersize=7, linestyle="none", zorder=5)


def _baselines(axis: Any, rows: Sequence[Row], places: Sequence[float]) -> None:
    """What the mean contour reaches at each point, once for all rows that it is the same for."""
    for heights in dict.fromkeys(tuple(value.baseline for value in row.values) for row in rows):
        drawn = [np.nan if height is None else height for height in heights]
        axis.plot(places, drawn, color="#5c6475", marker="_", markersize=9, linewidth=1, linestyle=":", zorder=1)


def _drawable(value: Value) -> list[Diverged]:
    """The diverged runs that have a value."""
    return [run for run in value.diverged if np.isfinite(run.value)]


def _ends(value: Value) -> tuple[float, float]:
    """The band at a point; NaN without one."""
    number = value.number
    if number and number.low is not None and number.high is not None:
        return number.low, number.high
    if number and number.spread is not None:
        return number.estimate - number.spread, number.estimate + number.spread
    return np.nan, np.nan


def _axis(axis: Any, table: Table, definition: FigureDefinition, places: Sequence[float], label: str) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    if definition.scale == "log":
        axis.set_xscale("log")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(places, [column.heading for column in table.columns])
    axis.set_xlabel(definition.x)
    if label:
        axis.set_title(f"{definition.panels} {label}", fontsize=9, fontweight="bold", loc="left")


def _legend(drawn: Figure, table: Table, lines: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=COLOURS[at % len(COLOURS)], marker=MARKERS[at % len(MARKERS)], markersize=4.5, label=name + _stands_for(table, name))
        for at, name in enumerate(lines)
    ]
    numbers = [value.number for value in table.values if value.number]
    if numbers:
        over = f"{count({n.patients for n in numbers}, 'patient')}, {count({n.seeds for n in numbers}, 'seed')}"
        handles.append(Patch(color="#5c6475", alpha=0.2, label=f"{band(table)} ({over}); dots: seeds"))
    if any(value.published for value in table.values) and table.published:
        handles.append(Line2D([], [], color="#5c6475", linestyle=(0, (4, 2.5)), linewidth=1, marker="o", markersize=4, markerfacecolor="white", label=f"published ({table.published.paper}, {table.published.table})"))
    if any(_drawable(value) for value in table.values):
        handles.append(Line2D([], [], color="#b3261e", marker="x", linestyle="none", label="diverged run"))
    if any(value.baseline is not None for value in table.values):
        handles.append(Line2D([], [], color="#5c6475", linestyle=":", linewidth=1, marker="_", markersize=9, label="mean contour of the training data"))
    drawn.legend(handles=handles, loc="outside lower left", ncols=2 if len(drawn.axes) > 1 else 1, frameon=False, fontsize=8)
    if any(value.synthetic for value in table.values):
        drawn.suptitle(f"{PHANTOM}: not comparable with the published numbers" if table.published else PHANTOM, fontsize=8, color="#8a4b00")


def _stands_for(table: Table, name: str) -> str:
    """`` (dashed: r3d-18)`` for a line beside another's published numbers."""
    if not table.published:
        return ""
    theirs = {label for row in table.rows for axis, own in zip(table.axes, row.labels, strict=True) if own in name.split(", ") and (label := table.published.label(axis, own)) != own}
    return f" (dashed: {', '.join(sorted(theirs))})" if theirs else ""
