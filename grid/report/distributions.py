"""Distributions over patients: a row of box plots a setting, on one scale for the grid; and histograms of one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from grid.report.content import Setting
from grid.report.markup import Markup, join, link, scrolling, tag
from grid.report.measures import Distribution, Measure
from grid.report.svg import SLOTS, Axes, colour, spread_of, ticks

Found = Mapping[str, Mapping[str, Sequence[Distribution]]]
"""Anchor of a setting -> measure -> its distributions by slot."""
QUANTILES = (5, 25, 50, 75, 95)
BINS = 24
LANE = 13
"""Height of a box plot."""


def overview(settings: Sequence[Setting], measure: Measure, found: Found) -> Markup | None:
    """Box plots of one measure, a row a setting; None where no setting has it."""
    rows = [(setting, found[setting.anchor].get(measure.name, ())) for setting in settings if setting.anchor in found]
    rows = [(setting, own) for setting, own in rows if own]
    if not rows:
        return None
    low, high = spread_of([value for _, own in rows for one in own for value in one.patients.tolist()])
    slots = list(dict.fromkeys(one.slot for _, own in rows for one in own))
    head = tag("tr", tag("th", "setting", scope="col"), tag("th", _scale(low, high), scope="col", class_="scale"),
               *(tag("th", f"mean {slot}".strip(), scope="col", class_="n") for slot in slots))  # fmt: skip
    body = [_row(setting, own, slots, low, high) for setting, own in rows]
    better = "higher is better" if measure.higher else "lower is better"
    keys = [tag("span", tag("i", style=f"background:{colour(at, SLOTS)}"), slot, class_="key") for at, slot in enumerate(slots) if slot]
    caption = tag("caption", tag("b", measure.heading), f", {better}. ", join(keys))
    return scrolling(tag("table", caption, tag("thead", head), tag("tbody", *body), class_="boxes"), f"{measure.name} by setting")


def histograms(setting: Setting, wanted: Sequence[Measure], found: Found) -> list[Markup]:
    """A histogram a measure over the setting's patients, its slots in one; on the grid's scale."""
    return [_histogram(setting, measure, found) for measure in wanted if found.get(setting.anchor, {}).get(measure.name)]


def _row(setting: Setting, own: Sequence[Distribution], slots: Sequence[str], low: float, high: float) -> Markup:
    by_slot = {one.slot: one for one in own}
    boxes = [_box(by_slot[slot], at, low, high) for at, slot in enumerate(slots) if slot in by_slot]
    box = f"0 0 1000 {LANE * len(slots)}"
    picture = tag("svg", tag("title", _words(setting, own)), *boxes, viewBox=box, preserveAspectRatio="none", role="img",
                  style=f"height:{LANE * len(slots)}px")  # fmt: skip
    means = [tag("td", f"{by_slot[slot].mean:.2f}" if slot in by_slot else "-", class_="n") for slot in slots]
    return tag("tr", tag("th", link(setting.anchor, setting.name), scope="row"), tag("td", picture, class_="scale"), *means)


def _words(setting: Setting, own: Sequence[Distribution]) -> str:
    """What the picture shows, for who cannot see it."""
    parts = []
    for one in own:
        low, _, middle, _, high = np.nanpercentile(one.patients, QUANTILES)
        parts.append(f"{one.slot} median {middle:.1f}, 5th to 95th percentile {low:.1f} to {high:.1f}".strip())
    return f"{setting.name}: {'; '.join(parts)}; {len(own[0].patients)} patients"


def _box(one: Distribution, lane: int, low: float, high: float) -> Markup:
    """Line from the 5th to the 95th percentile, bar between quartiles, white median, dots for patients outside."""
    finite = one.patients[np.isfinite(one.patients)]
    if not len(finite):
        return tag("g")
    at = [f"{1000 * (value - low) / (high - low):.1f}" for value in np.percentile(finite, QUANTILES)]
    ends = np.percentile(finite, QUANTILES)
    outside = [f"M{1000 * (value - low) / (high - low):.1f} {_middle(lane)}h0" for value in finite if not ends[0] <= value <= ends[-1]]
    pieces = [
        _stroke(f"M{at[0]} {_middle(lane)}H{at[4]}", 1.2),
        _stroke(f"M{at[1]} {_middle(lane)}H{at[3]}", 8),
        _stroke(f"M{at[2]} {_middle(lane) - 4}v8", 1.8, stroke="#fff"),
        _stroke("".join(outside), 3, stroke_linecap="round") if outside else None,
    ]
    return tag("g", *pieces, stroke=colour(lane, SLOTS))


def _middle(lane: int) -> float:
    return LANE * (lane + 0.5)


def _stroke(path: str, width: float, **attributes: object) -> Markup:
    return tag("path", d=path, stroke_width=width, vector_effect="non-scaling-stroke", fill="none", **attributes)


def _scale(low: float, high: float) -> Markup:
    """Round numbers above the column of pictures."""
    places = [(value, 100 * (value - low) / (high - low)) for value in ticks(low, high, 5)]
    return tag("span", *(tag("i", f"{value:g}", style=f"left:{at:.1f}%") for value, at in places), class_="ticks")


def _histogram(setting: Setting, measure: Measure, found: Found) -> Markup:
    own = found[setting.anchor][measure.name]
    everyone = [value for by in found.values() for one in by.get(measure.name, ()) for value in one.patients.tolist()]
    edges = np.linspace(*spread_of(everyone), BINS + 1)
    counts = [np.histogram(one.patients[np.isfinite(one.patients)], edges)[0] for one in own]
    axes = Axes((edges[0], edges[-1]), (0, max(4, *(int(count.max()) for count in counts))), height=140)
    pieces = [_steps(axes, edges, count, at) for at, count in enumerate(counts)]
    for at, one in enumerate(own):
        for mean in one.seeds.values():
            x = f"{axes.x_at(mean):.1f}"
            pieces.append(tag("path", d=f"M{x} {axes.y_at(0):.1f}v6", stroke=colour(at, SLOTS), stroke_width=2))
    means = " · ".join(f"{one.slot} {one.mean:.2f}".strip() for one in own)
    title = f"{measure.heading} of {len(own[0].patients)} patients: {setting.name}"
    return tag("figure", tag("figcaption", tag("b", measure.heading), " ", tag("small", means)), axes.drawn(title, "", pieces))


def _steps(axes: Axes, edges: np.ndarray, counts: np.ndarray, at: int) -> Markup:
    base = axes.y_at(0)
    path = [f"M{axes.x_at(edges[0]):.1f} {base:.1f}"]
    for count, right in zip(counts.tolist(), edges[1:].tolist(), strict=True):
        path.append(f"V{axes.y_at(count):.1f}H{axes.x_at(right):.1f}")
    return tag("path", d="".join([*path, f"V{base:.1f}"]), fill=colour(at, SLOTS), fill_opacity=0.25, stroke=colour(at, SLOTS), stroke_width=1.2)
