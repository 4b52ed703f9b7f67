"""Draw learning curves: training and validation by epoch.

There is a diagram for each metric of a setting, with all its seeds in one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, pairwise

import numpy as np

from grid.report.content import ReportContent, Run, Setting
from grid.report.svg import Axes, Chart, Key, SvgShape, colour, spread_of
from grid.results.files import read_history

Series = tuple[list[int], list[float]]
"""Epochs, from 1, and the values of a metric."""
History = dict[str, Series]
"""Metric -> its series."""
BATCH = 100_000
"""Rows of the history that are looked at together."""
DASHES = (None, "5 3", "1.5 2.5", "8 2 2 2")
"""Dashes of the first, second, ... metric in one diagram."""


def histories(content: ReportContent) -> dict[str, History]:
    """Read the histories of all cells.

    They are from the collected files. That of a cell without a collected run is from its record.

    Returns:
        Cell -> its history.
    """
    cells = {run.run_id: run.cell for run in content.runs if run.collected}
    by_cell: dict[str, History] = {}
    if cells and content.results:
        for run_id, history in _collected(content, list(cells)).items():
            by_cell[cells[run_id]] = history
    for run in content.runs:
        if run.cell not in by_cell and run.record is not None:
            by_cell[run.cell] = _recorded(run)
    return by_cell


def curves(
    setting: Setting, by_cell: Mapping[str, History], units: Mapping[str, str]
) -> list[Chart]:
    """Draw the learning curves of a setting, a diagram a metric, that of the loss first.

    Args:
        setting: the setting.
        by_cell: cell -> its history.
        units: metric -> unit.
    """
    seeds = [(run, by_cell[run.cell]) for run in setting.runs if by_cell.get(run.cell)]
    names = {_name(key) for _, history in seeds for key in history}
    charts = []
    for name in sorted(names, key=lambda name: (name != "loss", name)):
        charts.append(_chart(setting, name, seeds, units.get(name, "")))
    return charts


def seed_keys(seeds: Sequence[str]) -> list[Key]:
    """Say what the colours of curves mean."""
    return [Key(colour(index), f"seed {seed}") for index, seed in enumerate(seeds)]


def _chart(setting: Setting, name: str, seeds: Sequence[tuple[Run, History]], unit: str) -> Chart:
    """Draw the curves of one metric.

    Args:
        setting: the setting.
        name: the metric, without its split and slot.
        seeds: the cells of the setting with their histories.
        unit: the unit of the metric.
    """
    names = {key for _, history in seeds for key in history if _name(key) == name}
    # Validation first, as it is drawn solid.
    keys = sorted(names, key=lambda key: (not key.startswith("val/"), key))
    axes = _axes(name, keys, seeds)
    shapes: list[SvgShape] = []
    for run, history in seeds:
        line_colour = colour(setting.runs.index(run))
        for dash, key in zip(cycle(DASHES), keys, strict=False):
            if key in history:
                stroke = {
                    "stroke": line_colour,
                    "stroke-width": 1.5,
                    "stroke-dasharray": dash,
                    "stroke-linecap": "round",
                }
                shapes += axes.line(*history[key], stroke)
        shapes += _best_epoch(axes, run, history.get(keys[0]), line_colour)
    heading = f"{name} ({unit})" if unit else name
    return Chart(
        heading=heading,
        remark="by epoch, logarithmic" if axes.log else "by epoch",
        title=f"{heading} by epoch: {setting.name}",
        axes=axes,
        x_label="epoch",
        shapes=shapes,
    )


def _axes(name: str, keys: Sequence[str], seeds: Sequence[tuple[Run, History]]) -> Axes:
    """Return scales that hold all curves of a metric.

    A loss that falls to a third or less has a logarithmic scale.
    """
    values = []
    last_epoch = 1
    for _, history in seeds:
        for key in keys:
            if key in history:
                epochs, series = history[key]
                values += [value for value in series if math.isfinite(value)]
                last_epoch = max(last_epoch, *epochs)
    log = name == "loss" and bool(values) and min(values) > 0 and max(values) > 3 * min(values)
    return Axes((1, last_epoch), spread_of(values), log=log)


def _best_epoch(axes: Axes, run: Run, series: Series | None, fill: str) -> list[SvgShape]:
    """Draw a dot at the epoch whose weights were kept."""
    if series is None or run.best_epoch is None:
        return []
    epochs, values = series
    epoch = int(run.best_epoch) + 1
    if epoch not in epochs:
        return []
    value = values[epochs.index(epoch)]
    if not math.isfinite(value) or (axes.log and value <= 0):
        return []
    dot = {
        "cx": f"{axes.x_at(run.best_epoch + 1):.1f}",
        "cy": f"{axes.y_at(value):.1f}",
        "r": 3,
        "fill": fill,
        "stroke": "#fff",
    }
    return [SvgShape("circle", dot)]


def _name(key: str) -> str:
    """Return ``dice`` of ``val/dice/ED``."""
    return key.split("/")[1]


def _shown(key: str) -> bool:
    """Check whether a metric is drawn."""
    return key.startswith(("train/", "val/"))


def _collected(content: ReportContent, run_ids: list[str]) -> dict[str, History]:
    """Read the histories of some runs from the collected files.

    Of a step that was logged twice (the final values) the first counts.

    Returns:
        Run -> its history.
    """
    assert content.results is not None
    table = read_history(content.results, run_ids)
    columns = table.select(["run_id", "key", "step", "value"])
    by_run: dict[str, History] = {}
    for batch in columns.to_batches(max_chunksize=BATCH):
        runs = batch.column("run_id").dictionary_encode()
        keys = batch.column("key").dictionary_encode()
        steps = batch.column("step").to_numpy(zero_copy_only=False)
        values = batch.column("value").to_numpy(zero_copy_only=False)
        run_names, key_names = runs.dictionary.to_pylist(), keys.dictionary.to_pylist()
        run_codes, key_codes = runs.indices.to_numpy(), keys.indices.to_numpy()
        for rows in _stretches(run_codes, key_codes):
            key = key_names[key_codes[rows.start]]
            if _shown(key):
                history = by_run.setdefault(run_names[run_codes[rows.start]], {})
                _append(history.setdefault(key, ([], [])), steps[rows], values[rows])
    return by_run


def _stretches(*codes: np.ndarray) -> Iterator[slice]:
    """Yield the stretches of rows in which all codes stay the same."""
    changed = np.zeros(len(codes[0]), bool)
    changed[:1] = True
    for column in codes:
        changed[1:] |= column[1:] != column[:-1]
    ends = [*np.flatnonzero(changed).tolist(), len(changed)]
    for start, end in pairwise(ends):
        yield slice(start, end)


def _append(series: Series, steps: np.ndarray, values: np.ndarray) -> None:
    """Add points to a series. Of points of one step that follow each other, the first counts."""
    epochs, known = series
    is_new = np.ones(len(steps), bool)
    is_new[1:] = steps[1:] != steps[:-1]
    if epochs and epochs[-1] == steps[0] + 1:
        is_new[0] = False
    epochs += (steps[is_new] + 1).tolist()
    known += values[is_new].tolist()


def _recorded(run: Run) -> History:
    """Read the history of a cell from its record."""
    assert run.record is not None
    history: History = {}
    for event in run.record.history():
        for key, value in event["metrics"].items():
            if _shown(key):
                epochs, values = history.setdefault(key, ([], []))
                epochs.append(event["epoch"] + 1)
                values.append(float(value))
    return history
