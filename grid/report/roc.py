"""The ROC curve of a classifier, and its band over patients and seeds."""

from __future__ import annotations

import numpy as np

from grid.statistics import SHARE, Auc, Resampled, Runs, crossed
from grid.statistics.bounds import cut_interval
from grid.statistics.resampling import patient_weights

RESAMPLES = 1000
"""Of a band."""
POINTS = np.linspace(0, 1, 41)
"""The shares of false positives at which curves and bands are known."""


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
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    # Rows of one score are called positive together, so a curve has a corner at the last of them.
    corners = np.append(falling[1:] != falling[:-1], True)
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
