"""Calibration slope and intercept: a logistic regression of the truth on the logit of the score.

Perfect probabilities have slope 1 and intercept 0. A slope below 1 means probabilities that are too
extreme. Both come from one regression with two parameters, by maximum likelihood (Cox 1958).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid.statistics.base import General, Rowwise
from grid.statistics.binary import binary_rows
from grid.statistics.probabilities import LEAST, probabilities
from grid.statistics.rows import Runs

STEPS = 100
"""Newton steps at most. About eight are taken."""
HALVINGS = 40
"""How often a step is halved that would lower the likelihood."""
CLOSE = 1e-9
"""A step of this size, relative to the parameters, is the last: the error is then its square."""


class _Calibration(General):
    """One of the two parameters.

    It is NaN where no finite parameters are the most likely: with one class, with scores that do
    not differ, and where some score parts the classes. Probabilities of 0 and 1 are taken as
    2.2e-16 and 1 less that.
    """

    truth: str
    score: str
    parameter: int
    """0 for the intercept, 1 for the slope."""
    prediction = ""
    below = None

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Prepare the logits once, and return the parameter as a function of weights."""
        rows = binary_rows(self, runs)
        _, shares = probabilities(self, runs, self.truth, self.score)
        if rows.missing[seed].any():
            return _undefined
        share = np.clip(shares[seed, :, 1], LEAST, 1 - LEAST)
        logit = np.log(share / (1 - share))
        positive = rows.positive[seed].astype(np.float64)

        def fitted(weights: np.ndarray) -> np.ndarray:
            return logistic_regression(logit, positive, weights)[:, self.parameter]

        return fitted


@dataclass(frozen=True)
class CalibrationIntercept(_Calibration):
    """Intercept of a logistic regression of the truth on the logit of the score. Perfect is 0."""

    label = "calibration intercept"
    better = None  # the best is 0
    parameter = 0
    truth: str = "truth"
    score: str = "score"


@dataclass(frozen=True)
class CalibrationSlope(_Calibration):
    """Slope of a logistic regression of the truth on the logit of the score. Perfect is 1."""

    label = "calibration slope"
    better = None  # the best is 1
    parameter = 1
    truth: str = "truth"
    score: str = "score"


def logistic_regression(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit intercept and slope for each set of weights, by Newton's method with halved steps.

    Args:
        x: (N,), the regressor.
        y: (N,), 1 or 0.
        weights: (B, N), at least 0.

    Returns:
        (B, 2). NaN where no finite parameters are the most likely.
    """
    centre = float(x.mean())
    scale = float(x.std()) or 1.0
    z = (x - centre) / scale
    overlap = _classes_overlap(x, y, weights)
    parameters = np.full((len(weights), 2), np.nan)
    if overlap.any():
        parameters[overlap] = _newton(z, y, weights[overlap])
    slope = parameters[:, 1] / scale
    return np.stack([parameters[:, 0] - slope * centre, slope], 1)


def _classes_overlap(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return for which weights finite parameters exist, (B,).

    They do unless all weighted rows of one class lie at or below all of the other (Albert and
    Anderson 1984, for one regressor).
    """
    ends = []
    for label in (0, 1):
        of_class = (weights > 0) & (y == label)
        ends.append((np.where(of_class, x, np.inf).min(1), np.where(of_class, x, -np.inf).max(1)))
    (low_of_0, high_of_0), (low_of_1, high_of_1) = ends
    return (high_of_0 > low_of_1) & (high_of_1 > low_of_0)


def _newton(z: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return intercept and slope, (B, 2), where finite ones are the most likely."""
    parameters = np.zeros((len(weights), 2))
    going = np.arange(len(weights))
    for _ in range(STEPS):
        step = _newton_step(z, y, weights[going], parameters[going])
        step = _without_loss(z, y, weights[going], parameters[going], step)
        parameters[going] += step
        size = np.abs(step).max(1)
        far = size > CLOSE * (1 + np.abs(parameters[going]).max(1))
        going = going[far]
        if not len(going):
            break
    return parameters


def _newton_step(
    z: np.ndarray, y: np.ndarray, weights: np.ndarray, parameters: np.ndarray
) -> np.ndarray:
    """Solve the 2 x 2 system of each set of weights."""
    share = _sigmoid(parameters[:, :1] + parameters[:, 1:] * z)
    residual = weights * (y - share)
    curvature = weights * share * (1 - share)
    gradient = residual.sum(1), residual @ z
    a, b, c = curvature.sum(1), curvature @ z, curvature @ np.square(z)
    determinant = a * c - b * b
    step = np.stack([c * gradient[0] - b * gradient[1], a * gradient[1] - b * gradient[0]], 1)
    return step / determinant[:, None]


def _without_loss(
    z: np.ndarray, y: np.ndarray, weights: np.ndarray, parameters: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Halve steps until none lowers the likelihood."""
    before = _log_likelihood(z, y, weights, parameters)
    slack = 1e-12 * (1 + np.abs(before))  # rounding of the sum is no loss
    step = np.nan_to_num(step)
    for _ in range(HALVINGS):
        after = _log_likelihood(z, y, weights, parameters + step)
        lost = ~(after >= before - slack)
        if not lost.any():
            return step
        step = np.where(lost[:, None], step / 2, step)
    return np.where(lost[:, None], 0.0, step)


def _log_likelihood(
    z: np.ndarray, y: np.ndarray, weights: np.ndarray, parameters: np.ndarray
) -> np.ndarray:
    linear = parameters[:, :1] + parameters[:, 1:] * z
    return (weights * (y * linear - np.logaddexp(0, linear))).sum(1)


def _sigmoid(linear: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(linear / 2))


def _undefined(weights: np.ndarray) -> np.ndarray:
    return np.full(len(weights), np.nan)
