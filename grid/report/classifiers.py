"""Draw what a classifier does: its ROC curve, its reliability, and its confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid.report.content import Setting
from grid.report.predicted import Predicted
from grid.report.svg import (
    COLOURS,
    Axes,
    Chart,
    NamedAxes,
    SvgShape,
    SvgText,
    colour,
)
from grid.statistics import Runs, statistic
from grid.statistics.probabilities import BINS, bin_of
from grid.statistics.roc import POINTS, roc_band, roc_curves

HEIGHT = 200
UNIT = (0.0, 1.0)
GUIDE = {"stroke": "#4d5566", "stroke-width": 1, "stroke-dasharray": "2 3", "fill": "none"}
LARGEST_DOT = 7.0


def classifier(setting: Setting, predicted: Predicted) -> list[Chart]:
    """Draw the charts of a classifier. One whose scores are not all numbers has no curve."""
    runs = predicted.runs
    score = runs.column("score")
    charts = []
    if np.isfinite(score).all() and np.isfinite(runs.column("truth")).all():
        charts.append(_roc(setting, predicted))
        charts.append(_reliability(setting, predicted))
    charts.append(_confusion(setting, predicted))
    return charts


def _roc(setting: Setting, predicted: Predicted) -> Chart:
    """Draw the mean curve over seeds with its band: one of two classes, of more one each."""
    axes = Axes(UNIT, UNIT, height=HEIGHT)
    runs = predicted.runs
    score = runs.column("score")
    if score.ndim == 2:
        classes = [(1, score)]
        area = float(statistic("auc").full(runs).mean())
        remark = f"AUC {area:.3f}"
    else:
        classes = [(number, score[..., number]) for number in range(score.shape[2])]
        area = float(statistic("macro auc").full(runs).mean())
        remark = f"each class against the others · macro AUC {area:.3f}"
    bands: list[SvgShape] = []
    lines: list[SvgShape] = []
    for place, (label, chance) in enumerate(classes):
        curves = roc_curves(runs, chance, label)
        low, high, over = roc_band(runs, chance, curves, label)
        bands.append(_area(axes, low, high, colour(place)))
        lines += _curve(axes, curves.mean(0), colour(place))
    # Curves of all classes lie above the bands of all.
    shapes = [*axes.line(UNIT, UNIT, GUIDE), *bands, *lines]
    remark += f" · {'band' if len(classes) == 1 else 'bands'}: 95 % over {over}"
    return Chart(
        heading=f"{predicted.name}: sensitivity by 1 - specificity",
        remark=remark,
        title=f"ROC curve of {predicted.name}, {_patients(predicted)}: {setting.name}",
        axes=axes,
        x_label="",
        shapes=shapes,
    )


def _curve(axes: Axes, heights: np.ndarray, stroke: str) -> list[SvgShape]:
    attributes = {"stroke": stroke, "stroke-width": 1.8, "stroke-linejoin": "round"}
    return axes.line(POINTS.tolist(), heights.tolist(), attributes)


def _area(axes: Axes, low: np.ndarray, high: np.ndarray, fill: str) -> SvgShape:
    """Draw a band between two curves."""
    known = np.isfinite(low) & np.isfinite(high)
    points = []
    for xs, ys in ((POINTS[known], high[known]), (POINTS[known][::-1], low[known][::-1])):
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            points.append(f"{axes.x_at(x):.1f} {axes.y_at(y):.1f}")
    path = f"M{'L'.join(points)}Z" if points else "M0 0"
    return SvgShape("path", {"d": path, "fill": fill, "fill-opacity": 0.18})


def _reliability(setting: Setting, predicted: Predicted) -> Chart:
    """Draw how often a class is right by how sure the classifier is, all seeds together.

    Of two classes: the share of class 1 by its probability. Of more: the share of right predictions
    by the probability of the predicted class.
    """
    runs = predicted.runs
    score = runs.column("score")
    of_two = score.ndim == 2
    if of_two:
        chance, right = score, runs.column("truth") == 1
    else:
        chance, right = score.max(-1), runs.column("truth") == score.argmax(-1)
    axes = Axes(UNIT, UNIT, height=HEIGHT)
    shapes = axes.line(UNIT, UNIT, GUIDE)
    bins = reliability_bins(chance, right, runs.weights)
    xs, ys = [one.chance for one in bins], [one.right for one in bins]
    shapes += axes.line(xs, ys, {"stroke": COLOURS[0], "stroke-width": 1.5})
    for one in bins:
        shapes.append(_dot(axes, one.chance, one.right, one.share))
    error = float(statistic("ece").full(runs).mean())
    brier = float(statistic("brier").full(runs).mean())
    ece = f"ECE {error:.3f}"
    if of_two:
        ece += " (of the predicted class)"  # the dots are of class 1
    what = "class 1 by its probability" if of_two else "right by confidence"
    return Chart(
        heading=f"{predicted.name}: share of {what}",
        remark=f"{ece} · Brier {brier:.3f} · dots: {BINS} bins, by their rows",
        title=f"reliability of {predicted.name}, {_patients(predicted)}: {setting.name}",
        axes=axes,
        x_label="",
        shapes=shapes,
    )


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows of similar probabilities.

    Attributes:
        chance: their mean probability.
        right: the share of them that is right.
        share: their share of all rows.
    """

    chance: float
    right: float
    share: float


def reliability_bins(
    chance: np.ndarray, right: np.ndarray, weights: np.ndarray
) -> list[ReliabilityBin]:
    """Sort rows into bins of equal width by their probability. Empty bins are left out.

    Args:
        chance: (S, N).
        right: (S, N), whether a row is of the class that the probability is of.
        weights: (N,), of the rows.
    """
    numbers = bin_of(chance)
    all_weights = np.broadcast_to(weights, chance.shape)
    bins = []
    for number in range(BINS):
        inside = all_weights * (numbers == number)
        total = inside.sum()
        if total > 0:
            mean_chance = float((inside * chance).sum() / total)
            mean_right = float((inside * right).sum() / total)
            bins.append(ReliabilityBin(mean_chance, mean_right, float(total / all_weights.sum())))
    return bins


def _dot(axes: Axes, x: float, y: float, share: float) -> SvgShape:
    """Draw a dot whose area is the share of rows."""
    dot = {
        "cx": f"{axes.x_at(x):.1f}",
        "cy": f"{axes.y_at(y):.1f}",
        "r": f"{1.5 + LARGEST_DOT * np.sqrt(share):.1f}",
        "fill": COLOURS[0],
        "fill-opacity": 0.7,
    }
    return SvgShape("circle", dot)


def _confusion(setting: Setting, predicted: Predicted) -> Chart:
    """Draw how many samples of each class get each class, the mean over seeds.

    A row is a true class, and its shade the share of its samples.
    """
    counts = confusion(predicted.runs, len(predicted.classes))
    names = [str(number) for number in range(len(counts))]
    axes = NamedAxes((0, len(counts)), (0, len(counts)), height=HEIGHT, names=tuple(names))
    shapes: list[SvgShape | SvgText] = []
    for truth, row in enumerate(counts):
        total = row.sum()
        for given, count in enumerate(row.tolist()):
            share = count / total if total else 0.0
            shapes += _field(axes, truth, given, count, share)
    legend = ", ".join(f"{number} {name}" for number, name in enumerate(predicted.classes))
    return Chart(
        heading=f"{predicted.name}: true class (rows) by predicted class",
        remark=f"samples, mean over seeds · {legend}",
        title=f"confusion matrix of {predicted.name}: {setting.name}",
        axes=axes,
        x_label="",
        shapes=shapes,
    )


def confusion(runs: Runs, classes: int) -> np.ndarray:
    """Return the number of samples by true and predicted class, the mean over seeds, (C, C)."""
    truth, prediction = runs.column("truth"), runs.column("prediction")
    counts = np.zeros((classes, classes))
    known = np.isfinite(truth) & np.isfinite(prediction)
    np.add.at(counts, (truth[known].astype(int), prediction[known].astype(int)), 1)
    return counts / len(runs.seeds)


def _field(
    axes: NamedAxes, truth: int, given: int, count: float, share: float
) -> list[SvgShape | SvgText]:
    """Draw a field of the matrix. The first class stands above."""
    row = len(axes.names) - 1 - truth
    left, right = axes.x_at(given), axes.x_at(given + 1)
    top, bottom = axes.y_at(row + 1), axes.y_at(row)
    field = {
        "x": f"{left:.1f}",
        "y": f"{top:.1f}",
        "width": f"{right - left:.1f}",
        "height": f"{bottom - top:.1f}",
        "fill": COLOURS[0],
        "fill-opacity": f"{0.04 + 0.9 * share:.2f}",
        "stroke": "#fff",
    }
    text = SvgText(
        f"{count:g}" if count == round(count) else f"{count:.1f}",
        {
            "x": f"{(left + right) / 2:.1f}",
            "y": f"{(top + bottom) / 2 + 4:.1f}",
            "text-anchor": "middle",
            "style": f"fill:{'#fff' if share > 0.5 else '#1d2330'}",
        },
    )
    return [SvgShape("rect", field), text]


def _patients(predicted: Predicted) -> str:
    return f"{len(predicted.runs.patients)} patients"
