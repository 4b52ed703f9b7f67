"""Draw how predicted values agree with true ones: a scatter plot, and that of Bland and Altman."""

from __future__ import annotations

import numpy as np

from echolm.text import true_minus
from grid.report.content import Setting
from grid.report.predicted import Predicted
from grid.report.svg import COLOURS, Axes, Chart, SvgShape, spread_of
from grid.statistics import statistic

HEIGHT = 200
TICKS = 6
MARGIN = 0.04
"""Part of the vertical scale that is left free above and below."""
DOT = {
    "stroke": COLOURS[0],
    "stroke-width": 3,
    "stroke-linecap": "round",
    "stroke-opacity": 0.45,
    "fill": "none",
}
GUIDE = {"stroke": "#4d5566", "stroke-width": 1, "fill": "none"}
DASHED = {**GUIDE, "stroke": COLOURS[1], "stroke-dasharray": "5 3"}


def agreement(setting: Setting, predicted: Predicted) -> list[Chart]:
    """Draw truth and prediction, the mean over seeds, as dots, and their difference."""
    truth = predicted.runs.column("truth").mean(0)
    prediction = predicted.runs.column("prediction").mean(0)
    finite = np.isfinite(truth) & np.isfinite(prediction)
    if not finite.any():
        return []
    truth, prediction = truth[finite], prediction[finite]
    return [
        _scatter(setting, predicted, truth, prediction),
        _bland_altman(setting, predicted, truth, prediction),
    ]


def _scatter(
    setting: Setting, predicted: Predicted, truth: np.ndarray, prediction: np.ndarray
) -> Chart:
    """Draw predictions by truth, with the line where both are equal."""
    low, high = spread_of([*truth.tolist(), *prediction.tolist()])
    axes = Axes((low, high), (low, high), height=HEIGHT, about=TICKS)
    shapes = [*axes.line([low, high], [low, high], GUIDE), _dots(axes, truth, prediction)]
    numbers = [f"MAE {_value(predicted, 'mae'):.3g}", f"R² {_value(predicted, 'r2'):.2f}"]
    return Chart(
        heading=_heading(predicted, "predicted by true"),
        remark=" · ".join([*numbers, _seeds(predicted)]),
        title=f"{predicted.name} of {_patients(predicted)}, predicted by true: {setting.name}",
        axes=axes,
        x_label="true",
        shapes=shapes,
    )


def _bland_altman(
    setting: Setting, predicted: Predicted, truth: np.ndarray, prediction: np.ndarray
) -> Chart:
    """Draw prediction - truth by the mean of both, with bias and limits of agreement."""
    mean = (truth + prediction) / 2
    difference = prediction - truth
    bias, lower, upper = (
        _value(predicted, label) for label in ("bias", "lower limit", "upper limit")
    )
    low, high = spread_of([*difference.tolist(), lower, upper, 0.0])
    margin = MARGIN * (high - low)
    heights = low - margin, high + margin
    axes = Axes(spread_of(mean.tolist()), heights, height=HEIGHT, about=TICKS)
    ends = list(axes.x)
    shapes = [*axes.line(ends, [0.0, 0.0], GUIDE), _dots(axes, mean, difference)]
    for level in (lower, bias, upper):
        dashed = DASHED if level is not bias else {**DASHED, "stroke-dasharray": None}
        shapes += axes.line(ends, [level, level], dashed)
    return Chart(
        heading=_heading(predicted, "difference by mean"),
        remark=true_minus(f"bias {bias:+.3g}, limits of agreement {lower:+.3g} to {upper:+.3g}"),
        title=(
            f"{predicted.name} of {_patients(predicted)}, predicted less true by the mean of both: "
            f"{setting.name}"
        ),
        axes=axes,
        x_label="mean",
        shapes=shapes,
    )


def _dots(axes: Axes, xs: np.ndarray, ys: np.ndarray) -> SvgShape:
    """Draw a dot for each point. Points that fall on one place of the picture are drawn once."""
    places: dict[str, None] = {}
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        places[f"M{axes.x_at(x):.1f} {axes.y_at(y):.1f}h0"] = None
    return SvgShape("path", {"d": "".join(places), **DOT})


def _value(predicted: Predicted, label: str) -> float:
    """Return a statistic, the mean over seeds, as a table has it."""
    return float(statistic(label).full(predicted.runs).mean())


def _heading(predicted: Predicted, what: str) -> str:
    unit = f" ({predicted.unit})" if predicted.unit else ""
    return f"{predicted.name}{unit}: {what}"


def _seeds(predicted: Predicted) -> str:
    count = len(predicted.runs.seeds)
    return "1 seed" if count == 1 else f"dots: mean of {count} seeds"


def _patients(predicted: Predicted) -> str:
    return f"{len(predicted.runs.patients)} patients"
