"""Additive statistics: functions of weighted column sums.

Sums of squares are taken about a constant near the mean (results do not depend on it) so that
nothing cancels.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from grid.statistics.base import Additive
from grid.statistics.bounds import CORRELATION, PERCENT, POSITIVE, Bounds
from grid.statistics.quantity import VALUE, Quantity
from grid.statistics.rows import Runs


class RowMean(Additive):
    """The weighted mean of one value a row."""

    @abstractmethod
    def values(self, runs: Runs) -> np.ndarray:
        """Return what is averaged, (S, N)."""

    def columns(self, runs: Runs) -> np.ndarray:
        """Return the values as the only column."""
        return self.values(runs)[..., None]

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Divide the sum by the weight."""
        return sums[..., 0] / total

    def per_patient(self, runs: Runs) -> np.ndarray:
        """Return the mean of each patient's rows."""
        sums = runs.patient_sums(self.columns(runs))
        with np.errstate(invalid="ignore"):  # a patient without a row has no mean
            return np.asarray(sums[..., 0] / runs.patient_weights)


@dataclass(frozen=True)
class Mean(RowMean):
    """Mean of a column: per-frame Dice (%), keypoint error (px)."""

    label = "mean"
    better = None  # the task that predicts the column says it (Task.describe)
    unit = VALUE
    column: str

    def values(self, runs: Runs) -> np.ndarray:
        """Return the column."""
        return runs.column(self.column)

    def describe(self, of: Quantity) -> Quantity:
        """Return what is known of the column: a mean is as its column."""
        return of


@dataclass(frozen=True)
class Mae(RowMean):
    """Mean absolute error, in the unit of the truth."""

    label = "mae"
    better = "lower"
    bounds = POSITIVE
    unit = VALUE
    truth: str = "truth"
    prediction: str = "prediction"

    def values(self, runs: Runs) -> np.ndarray:
        """Return the absolute value of prediction - truth."""
        return np.abs(errors(self, runs))


@dataclass(frozen=True)
class Bias(RowMean):
    """Mean of prediction - truth."""

    label = "bias"
    better = None  # the best is 0
    unit = VALUE
    truth: str = "truth"
    prediction: str = "prediction"

    def values(self, runs: Runs) -> np.ndarray:
        """Return prediction - truth."""
        return errors(self, runs)


@dataclass(frozen=True)
class Rmse(Additive):
    """Root of the mean squared error."""

    label = "rmse"
    better = "lower"
    bounds = POSITIVE
    unit = VALUE
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return squared errors."""
        return np.square(errors(self, runs))[..., None]

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the root of the mean."""
        return np.sqrt(sums[..., 0] / total)


@dataclass(frozen=True)
class R2(Additive):
    """1 - squared errors / squared deviations of the truth from its weighted mean.

    It is negative when the errors are larger than those of that mean.
    """

    label = "r2"
    better = "higher"
    bounds = Bounds(high=1)
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return squared errors, truth, truth squared."""
        squared = np.square(errors(self, runs))
        truth = _centred(runs.column(self.truth))
        return np.stack([squared, truth, np.square(truth)], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return R2, NaN without variance of the truth."""
        squared, truth, truth_squared = np.moveaxis(sums, -1, 0)
        deviations = truth_squared - np.square(truth) / total
        return 1 - squared / _positive(deviations, truth_squared)


@dataclass(frozen=True)
class Pearson(Additive):
    """Pearson's correlation of truth and prediction."""

    label = "pearson"
    better = "higher"
    bounds = CORRELATION
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return x, y, x^2, y^2, xy of truth x and prediction y."""
        x = _centred(runs.column(self.truth))
        y = _centred(runs.column(self.prediction))
        return np.stack([x, y, x * x, y * y, x * y], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the correlation, NaN where one of them does not vary."""
        x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
        x_variance = _positive(xx - x * x / total, xx)
        y_variance = _positive(yy - y * y / total, yy)
        covariance = xy - x * y / total
        return np.clip(covariance / np.sqrt(x_variance * y_variance), -1, 1)


@dataclass(frozen=True)
class Std(Additive):
    """Standard deviation of a column over rows. ``ddof`` is taken off the sum of the weights."""

    label = "std"
    better = None  # how much rows differ is neither good nor bad
    bounds = POSITIVE
    unit = VALUE
    column: str
    ddof: int = 1

    def columns(self, runs: Runs) -> np.ndarray:
        """Return x, x^2."""
        x = _centred(runs.column(self.column))
        return np.stack([x, x * x], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the deviation, NaN when the weights sum to ``ddof`` or less."""
        x, xx = np.moveaxis(sums, -1, 0)
        # 0 * xx and not 0: a NaN stays a NaN.
        squares = np.maximum(xx - np.square(x) / total, 0 * xx)
        return np.sqrt(squares / np.where(total > self.ddof, total - self.ddof, np.nan))


@dataclass(frozen=True)
class PooledDice(Additive):
    """Dice in % over all frames together: 2 x sum of intersections / sum of areas.

    This is EchoNet-Dynamic's official statistic. It is not the mean of the frames' Dice.
    """

    label = "pooled dice"
    better = "higher"
    bounds = PERCENT
    unit = "%"
    intersection: str = "intersection"
    area_truth: str = "area_truth"
    area_prediction: str = "area_prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return intersections and sums of both areas, pixels."""
        areas = runs.column(self.area_truth) + runs.column(self.area_prediction)
        return np.stack([runs.column(self.intersection), areas], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return Dice in %, NaN when all contours are empty."""
        intersections, areas = np.moveaxis(sums, -1, 0)
        return 200 * intersections / areas


class _Pair(Protocol):
    """A statistic of truth and prediction."""

    @property
    def truth(self) -> str: ...

    @property
    def prediction(self) -> str: ...


def errors(pair: _Pair, runs: Runs) -> np.ndarray:
    """Return prediction - truth, (S, N)."""
    return runs.column(pair.prediction) - runs.column(pair.truth)


def _centred(values: np.ndarray) -> np.ndarray:
    """Subtract from each run's values their mean."""
    return values - values.mean(1, keepdims=True)


def _positive(squares: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Replace sums of squares that rounding alone made by NaN."""
    return np.where(squares > 1e-12 * scale, squares, np.nan)
