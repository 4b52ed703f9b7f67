"""The ROC curve of a classifier: corner by corner, its mean, and its band over patients and seeds.

The mean of curves is taken over sensitivities at equal shares of false positives. So the area below
it is the mean of the areas below them: of seeds, what ``auc`` is on the whole test set, and of the
classes against all others, what ``macro auc`` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grid.statistics.base import Statistic
from grid.statistics.binary import binary_rows
from grid.statistics.bounds import SHARE, cut_interval
from grid.statistics.classification import Auc, MacroAuc
from grid.statistics.crossed_bootstrap import crossed
from grid.statistics.resampling import Resampled, patient_weights
from grid.statistics.rows import Runs

RESAMPLES = 1000
"""Of a band."""
POINTS = np.linspace(0, 1, 41)
"""The shares of false positives at which curves and bands are known."""


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Corners of a curve, from (0, 0) to (1, 1). NaN where it is undefined.

    Attributes:
        false_share: the share of negative rows that are called positive, which never falls.
        sensitivity: the share of positive rows that are called positive.
    """

    false_share: np.ndarray
    sensitivity: np.ndarray

    @property
    def area(self) -> float:
        """The area below it."""
        return float(np.trapezoid(self.sensitivity, self.false_share))


def roc_curve(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> RocCurve:
    """Return the curve of some rows, with a corner at each score.

    Args:
        positive: (N,), which rows are positive.
        score: (N,), higher for positive rows.
        weights: (N,), of the rows.
    """
    order, corners = _corners(score)
    ordered = weights[order]
    hits = np.cumsum(ordered * positive[order])
    alarms = np.cumsum(ordered * ~positive[order])
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = hits[corners] / hits[-1]
        false_share = alarms[corners] / alarms[-1]
    return RocCurve(np.append(0.0, false_share), np.append(0.0, sensitivity))


def mean_curve(curves: Sequence[RocCurve]) -> RocCurve:
    """Return the mean of the sensitivities at each share of false positives.

    A curve that rises at a share counts with its sensitivity before it, and with that after it.
    """
    shares = np.unique(np.concatenate([curve.false_share for curve in curves]))
    before = np.mean([_before(curve, shares) for curve in curves], axis=0)
    after = np.mean([_after(curve, shares) for curve in curves], axis=0)
    heights = np.stack([before, after], 1).ravel()
    return RocCurve(np.repeat(shares, 2), heights)


def mean_roc_curve(runs: Runs, statistic: Statistic) -> RocCurve | None:
    """Return the mean curve over seeds, and of several classes over each against all others.

    Args:
        runs: the rows.
        statistic: ``auc`` or ``macro auc``, with its columns.

    Returns:
        The curve, or None where a seed has none: a score is missing, or a class has no row.
    """
    curves = []
    for positive, score in roc_classes(runs, statistic):
        for own_positive, own_score in zip(positive, score, strict=True):
            if np.isnan(own_score).any() or own_positive.all() or not own_positive.any():
                return None
            curves.append(roc_curve(own_positive, own_score, runs.weights))
    return mean_curve(curves)


def roc_classes(runs: Runs, statistic: Statistic) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return which rows are positive and how they score, both (S, N), for each curve of a seed.

    Rows without a truth have no score.
    """
    if isinstance(statistic, MacroAuc):
        truth, scores = runs.column(statistic.truth), runs.column(statistic.score)
        scores = np.where(np.isnan(truth)[..., None], np.nan, scores)
        return [(truth == label, scores[..., label]) for label in range(scores.shape[2])]
    assert isinstance(statistic, Auc)
    rows = binary_rows(statistic, runs)
    return [(rows.positive, np.where(rows.missing, np.nan, rows.score))]


def _corners(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of falling scores, (N,), and where in it a corner is, (N,).

    Rows of one score are called positive together, so a curve has a corner at the last of them.
    """
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    return order, np.append(falling[1:] != falling[:-1], True)


def _before(curve: RocCurve, shares: np.ndarray) -> np.ndarray:
    """Return the sensitivity up to each share, without the rise at it."""
    own, first, last = _rises(curve)
    right = np.searchsorted(own, shares)
    left = np.maximum(right - 1, 0)
    starts = np.where(right > 0, last[left], first[0])
    return _between(curve, shares, starts, first[right])


def _after(curve: RocCurve, shares: np.ndarray) -> np.ndarray:
    """Return the sensitivity at each share, with the rise at it."""
    own, first, last = _rises(curve)
    left = np.searchsorted(own, shares, side="right") - 1
    right = np.minimum(left + 1, len(own) - 1)
    ends = np.where(left < len(own) - 1, first[right], last[-1])
    return _between(curve, shares, last[left], ends)


def _rises(curve: RocCurve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the shares that a curve has corners at, and the first and last corner at each."""
    own, first, counts = np.unique(curve.false_share, return_index=True, return_counts=True)
    return own, first, first + counts - 1


def _between(
    curve: RocCurve, shares: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Return sensitivities on the straight lines from some corners to others."""
    width = curve.false_share[ends] - curve.false_share[starts]
    reach = shares - curve.false_share[starts]
    part = np.divide(reach, width, out=np.zeros_like(shares), where=width > 0)
    low, high = curve.sensitivity[starts], curve.sensitivity[ends]
    return low + part * (high - low)


def roc_curves(runs: Runs, score: np.ndarray, label: float = 1) -> np.ndarray:
    """Return the sensitivity of each seed at ``POINTS``, (S, G). NaN where it is undefined.

    Args:
        runs: the rows.
        score: (S, N), higher for the class.
        label: of the class.
    """
    everybody = np.ones((1, len(runs.patients)))
    return _curves(runs, score, label, everybody)[:, 0]


def roc_band(
    runs: Runs, score: np.ndarray, curves: np.ndarray, label: float = 1
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the 95 % band of the mean curve over seeds, point by point, by the crossed bootstrap.

    Args:
        runs: the rows.
        score: (S, N).
        curves: of each seed.
        label: of the class.

    Returns:
        Both ends (G,), and over what they are.
    """
    draws = np.empty((len(runs.seeds), RESAMPLES, len(POINTS)))
    for chunk, weights in patient_weights(len(runs.patients), RESAMPLES):
        draws[:, chunk] = _curves(runs, score, label, weights)
    low, high = np.full(len(POINTS), np.nan), np.full(len(POINTS), np.nan)
    counts_seeds = False
    for point in range(len(POINTS)):
        full = curves[:, point]
        value = Resampled(runs, Auc(), full, draws[..., point], None, SHARE)
        uncertainty = crossed(value)
        counts_seeds = counts_seeds or uncertainty.crossed
        low[point], high[point], _ = cut_interval(value.estimate, *uncertainty.interval(), SHARE)
    return low, high, "patients and seeds" if counts_seeds else "patients"


def _curves(runs: Runs, score: np.ndarray, label: float, weights: np.ndarray) -> np.ndarray:
    """Return the sensitivity at ``POINTS`` for each seed and set of weights, (S, B, G)."""
    row_weights = weights[:, runs.owner] * runs.weights
    curves = np.empty((len(runs.seeds), len(weights), len(POINTS)))
    for seed, own in enumerate(score):
        positive = runs.column("truth")[seed] == label
        curves[seed] = _curves_of_seed(positive, own, row_weights)
    return curves


def _curves_of_seed(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sensitivity at ``POINTS`` for each set of weights of the rows, (B, G)."""
    order, corners = _corners(score)
    ordered = weights[:, order]
    hits = np.cumsum(ordered * positive[order], axis=1)
    alarms = np.cumsum(ordered * ~positive[order], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = hits[:, corners] / hits[:, -1:]
        false_share = alarms[:, corners] / alarms[:, -1:]
    curves = np.empty((len(weights), len(POINTS)))
    for number in range(len(weights)):
        xs = np.append(0.0, false_share[number])
        ys = np.append(0.0, sensitivity[number])
        curves[number] = np.interp(POINTS, xs, ys)
    return curves
