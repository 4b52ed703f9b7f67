"""Draw distributions over patients.

A measure has a table of box plots, a row a setting, on one scale for the grid. A setting has a
histogram for each measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from grid.report.content import Setting
from grid.report.measures import Distribution, Distributions, Measure
from grid.report.svg import SLOTS, Axes, Chart, Key, SvgShape, Tick, colour, spread_of, ticks

BINS = 24
LANE = 13
"""Height of a box plot."""
BOX_WIDTH = 1000
"""Width of a box plot in its own coordinates, which the page stretches."""
FEWEST_PATIENTS = 4
"""How many patients the vertical scale of a histogram shows at least."""


@dataclass(frozen=True)
class BoxPlot:
    """The distribution of one slot: shapes of one colour."""

    colour: str
    shapes: Sequence[SvgShape]


@dataclass(frozen=True)
class BoxRow:
    """The box plots of a setting.

    Args:
        title: what the picture shows, for who cannot see it.
        height: of the picture, in pixels.
        means: the mean of each slot of the table.
    """

    anchor: str
    name: str
    title: str
    height: int
    boxes: Sequence[BoxPlot]
    means: Sequence[str]


@dataclass(frozen=True)
class BoxTable:
    """The box plots of a measure.

    Args:
        ticks: numbers above the pictures, each with its position in percent.
        slots: the headings of the columns with means.
        keys: what the colours mean.
    """

    measure: Measure
    ticks: Sequence[Tick]
    slots: Sequence[str]
    keys: Sequence[Key]
    rows: Sequence[BoxRow]


@dataclass(frozen=True)
class Scale:
    """The smallest and the largest value of a measure in the grid."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Return where a value lies between low (0) and high (1)."""
        return (value - self.low) / (self.high - self.low)


def scales(measures: Iterable[Measure], by_setting: Distributions) -> dict[str, Scale]:
    """Find the scale of each measure, one for all settings.

    Returns:
        Measure -> its scale. A measure that no setting has is left out.
    """
    by_measure = {}
    for measure in measures:
        ends: list[float] = []
        present = False
        for distributions in by_setting.values():
            for distribution in distributions.get(measure.name, ()):
                present = True
                finite = distribution.finite
                if len(finite):
                    ends += [float(finite.min()), float(finite.max())]
        if present:
            by_measure[measure.name] = Scale(*spread_of(ends))
    return by_measure


def box_table(
    settings: Sequence[Setting], measure: Measure, by_setting: Distributions, scale: Scale
) -> BoxTable:
    """Draw the box plots of one measure, a row a setting that has it."""
    present = []
    slots: dict[str, None] = {}
    for setting in settings:
        distributions = by_setting.get(setting.anchor, {}).get(measure.name, ())
        if distributions:
            present.append((setting, distributions))
            slots |= dict.fromkeys(distribution.slot for distribution in distributions)
    numbers = ticks(scale.low, scale.high, 5)
    keys = [Key(colour(index, SLOTS), slot) for index, slot in enumerate(slots) if slot]
    return BoxTable(
        measure=measure,
        ticks=[Tick(f"{number:g}", f"{100 * scale.share(number):.1f}") for number in numbers],
        slots=list(slots),
        keys=keys,
        rows=[
            _row(setting, distributions, list(slots), scale) for setting, distributions in present
        ],
    )


def histograms(
    setting: Setting,
    measures: Iterable[Measure],
    by_setting: Distributions,
    by_measure: Mapping[str, Scale],
) -> list[Chart]:
    """Draw a histogram a measure over the setting's patients, its slots in one.

    Args:
        setting: the setting.
        measures: the measures.
        by_setting: the distributions.
        by_measure: measure -> the grid's scale of it.
    """
    charts = []
    for measure in measures:
        distributions = by_setting.get(setting.anchor, {}).get(measure.name)
        if distributions:
            scale = by_measure[measure.name]
            charts.append(_histogram(setting, measure, distributions, scale))
    return charts


def _row(
    setting: Setting, distributions: Sequence[Distribution], slots: Sequence[str], scale: Scale
) -> BoxRow:
    """Draw the box plots of a setting, one below the other."""
    by_slot = {distribution.slot: distribution for distribution in distributions}
    boxes, means = [], []
    for index, slot in enumerate(slots):
        if slot in by_slot:
            boxes.append(_box(by_slot[slot], index, scale))
            means.append(f"{by_slot[slot].mean:.2f}")
        else:
            means.append("-")
    return BoxRow(
        anchor=setting.anchor,
        name=setting.name,
        title=_describe(setting, distributions),
        height=LANE * len(slots),
        boxes=boxes,
        means=means,
    )


def _describe(setting: Setting, distributions: Sequence[Distribution]) -> str:
    """Say what the picture shows, for who cannot see it."""
    parts = []
    for distribution in distributions:
        low, _, middle, _, high = distribution.quantiles
        numbers = f"median {middle:.1f}, 5th to 95th percentile {low:.1f} to {high:.1f}"
        parts.append(f"{distribution.slot} {numbers}".strip())
    patients = len(distributions[0].patients)
    return f"{setting.name}: {'; '.join(parts)}; {patients} patients"


def _box(distribution: Distribution, lane: int, scale: Scale) -> BoxPlot:
    """Draw one box plot.

    A line goes from the 5th to the 95th percentile, a bar lies between the quartiles, the median is
    white, and dots are patients outside.

    Args:
        distribution: the distribution.
        lane: how many box plots stand above it.
        scale: the scale of the measure.
    """
    finite = distribution.finite
    if not len(finite):
        return BoxPlot(colour(lane, SLOTS), [])
    percentiles = distribution.quantiles
    low, lower, median, upper, high = (_position(value, scale) for value in percentiles)
    middle = LANE * (lane + 0.5)
    outside = finite[(finite < percentiles[0]) | (finite > percentiles[-1])]
    positions = BOX_WIDTH * (outside - scale.low) / (scale.high - scale.low)
    dots = "".join([f"M{position:.1f} {middle}h0" for position in positions.tolist()])
    shapes = [
        _stroke(f"M{low} {middle}H{high}", 1.2),
        _stroke(f"M{lower} {middle}H{upper}", 8),
        _stroke(f"M{median} {middle - 4}v8", 1.8, {"stroke": "#fff"}),
    ]
    if dots:
        shapes.append(_stroke(dots, 3, {"stroke-linecap": "round"}))
    return BoxPlot(colour(lane, SLOTS), shapes)


def _position(value: float, scale: Scale) -> str:
    """Return the horizontal position of a value in a box plot."""
    return f"{BOX_WIDTH * (value - scale.low) / (scale.high - scale.low):.1f}"


def _stroke(path: str, width: float, attributes: dict[str, object] | None = None) -> SvgShape:
    """Draw a line whose width does not change when the picture is stretched."""
    stroke = {
        "d": path,
        "stroke-width": width,
        "vector-effect": "non-scaling-stroke",
        "fill": "none",
    }
    return SvgShape("path", {**stroke, **(attributes or {})})


def _histogram(
    setting: Setting, measure: Measure, distributions: Sequence[Distribution], scale: Scale
) -> Chart:
    """Draw the histogram of a measure, with a stroke below it at each seed's mean."""
    edges = np.linspace(scale.low, scale.high, BINS + 1)
    counts = []
    most = FEWEST_PATIENTS
    for distribution in distributions:
        slot_counts = np.histogram(distribution.finite, edges)[0]
        counts.append(slot_counts)
        most = max(most, int(slot_counts.max()))
    axes = Axes((edges[0], edges[-1]), (0, most))
    shapes = [_steps(axes, counts[index], index) for index in range(len(counts))]
    for index, distribution in enumerate(distributions):
        for mean in distribution.seeds.values():
            path = f"M{axes.x_at(mean):.1f} {axes.y_at(0):.1f}v6"
            stroke = {"d": path, "stroke": colour(index, SLOTS), "stroke-width": 2}
            shapes.append(SvgShape("path", stroke))
    means = [f"{one.slot} {one.mean:.2f}".strip() for one in distributions]
    patients = len(distributions[0].patients)
    return Chart(
        heading=measure.heading,
        remark=" · ".join(means),
        title=f"{measure.heading} of {patients} patients: {setting.name}",
        axes=axes,
        x_label="",
        shapes=shapes,
    )


@lru_cache(maxsize=64)
def _edge_places(x: tuple[float, float], width: int) -> list[str]:
    """Return where the ends of the bins lie, which the histograms of a measure share."""
    axes = Axes(x, (0, 1), width)
    return [f"{axes.x_at(edge):.1f}" for edge in np.linspace(*x, BINS + 1).tolist()]


def _steps(axes: Axes, counts: np.ndarray, index: int) -> SvgShape:
    """Draw the outline of a histogram.

    Args:
        axes: the scales.
        counts: patients in each bin.
        index: of its slot.
    """
    base = f"{axes.y_at(0):.1f}"
    left, *rights = _edge_places(axes.x, axes.width)
    commands = [f"M{left} {base}"]
    for count, right in zip(counts.tolist(), rights, strict=True):
        commands.append(f"V{axes.y_at(count):.1f}H{right}")
    commands.append(f"V{base}")
    area = {
        "d": "".join(commands),
        "fill": colour(index, SLOTS),
        "fill-opacity": 0.25,
        "stroke": colour(index, SLOTS),
        "stroke-width": 1.2,
    }
    return SvgShape("path", area)
