"""Learning curves: training and validation by epoch, a diagram a metric, the seeds of a setting in one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from grid.report.content import Content, Run, Setting
from grid.report.markup import Markup, join, tag
from grid.report.svg import Axes, colour, spread_of
from grid.tables.results import read_history

History = Mapping[str, tuple[list[int], list[float]]]
"""Metric -> epochs (from 1) and values."""
DASHES = (None, "5 3", "1.5 2.5", "8 2 2 2")
"""Of the first, second, ... metric in one diagram."""


def histories(content: Content) -> dict[str, History]:
    """Cell -> its history: from the collected files, of a cell without a collected run from its record."""
    found: dict[str, History] = {}
    collected = {run.run_id: run.cell for run in content.runs if run.collected}
    if collected and content.results:
        for run_id, history in _collected(content, list(collected)).items():
            found[collected[run_id]] = history
    for run in content.runs:
        if run.cell not in found and run.record is not None:
            found[run.cell] = _recorded(run)
    return found


def curves(setting: Setting, found: Mapping[str, History], units: Mapping[str, str]) -> list[Markup]:
    """The diagrams of a setting, a metric each. ``units``: metric -> unit."""
    seeds = [(run, found[run.cell]) for run in setting.runs if found.get(run.cell)]
    names = sorted({_name(key) for _, history in seeds for key in history}, key=lambda name: (name != "loss", name))
    return [_chart(setting, name, seeds, units.get(name, "")) for name in names]


def legend(seeds: Sequence[str]) -> Markup:
    """What colours and lines mean."""
    keys = [tag("span", tag("i", style=f"background:{colour(at)}"), f"seed {seed}", class_="key") for at, seed in enumerate(seeds)]
    text = " Loss: validation solid, training dashed. Other metrics: on the validation split, the first slot solid, the second dashed. "
    return tag("p", join(keys), text, "The dot marks the epoch whose weights were kept.", class_="legend")


def _chart(setting: Setting, name: str, seeds: Sequence[tuple[Run, History]], unit: str) -> Markup:
    keys = sorted({key for _, history in seeds for key in history if _name(key) == name}, key=lambda key: (not key.startswith("val/"), key))
    series = [history[key] for _, history in seeds for key in keys if key in history]
    values = [value for _, ys in series for value in ys if math.isfinite(value)]
    last = max((epoch for xs, _ in series for epoch in xs), default=1)
    log = name == "loss" and bool(values) and min(values) > 0 and max(values) > 3 * min(values)
    axes = Axes((1, last), spread_of(values), log=log)
    pieces = []
    for run, history in seeds:
        at = setting.runs.index(run)
        for dash, key in zip(DASHES * len(keys), keys, strict=False):
            if key in history:
                pieces.append(axes.line(*history[key], stroke=colour(at), stroke_width=1.5, stroke_dasharray=dash, stroke_linecap="round"))
        pieces.append(_best(axes, run, history.get(keys[0]), at))
    title = f"{name}{f' ({unit})' if unit else ''}"
    shown = "by epoch, logarithmic" if log else "by epoch"
    figure = axes.drawn(f"{title} by epoch: {setting.name}", "epoch", pieces)
    return tag("figure", tag("figcaption", tag("b", title), " ", tag("small", shown)), figure)


def _best(axes: Axes, run: Run, series: tuple[list[int], list[float]] | None, at: int) -> Markup | None:
    """A dot at the epoch whose weights were kept."""
    if series is None or run.best_epoch is None:
        return None
    value = dict(zip(*series, strict=True)).get(int(run.best_epoch) + 1)
    if value is None or not math.isfinite(value) or (axes.log and value <= 0):
        return None
    x, y = axes.x_at(run.best_epoch + 1), axes.y_at(value)
    return tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, fill=colour(at), stroke="#fff")


def _name(key: str) -> str:
    """``val/dice/ED`` -> ``dice``."""
    return key.split("/")[1]


def _shown(key: str) -> bool:
    return key.startswith(("train/", "val/"))


def _collected(content: Content, run_ids: list[str]) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """Run -> history. Of a step logged twice (the final values) the first counts."""
    assert content.results is not None
    table = read_history(content.results, run_ids)
    columns = [table[name].to_pylist() for name in ("run_id", "key", "step", "value")]
    found: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for run_id, key, step, value in zip(*columns, strict=True):
        if _shown(key):
            xs, ys = found.setdefault(run_id, {}).setdefault(key, ([], []))
            if not xs or xs[-1] != step + 1:
                xs.append(step + 1)
                ys.append(value)
    return found


def _recorded(run: Run) -> dict[str, tuple[list[int], list[float]]]:
    assert run.record is not None
    found: dict[str, tuple[list[int], list[float]]] = {}
    for event in run.record.history():
        for key, value in event["metrics"].items():
            if _shown(key):
                xs, ys = found.setdefault(key, ([], []))
                xs.append(event["epoch"] + 1)
                ys.append(float(value))
    return found
