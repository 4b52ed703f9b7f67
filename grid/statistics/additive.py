"""Additive statistics: functions of weighted column sums.

Sums of squares are taken about a constant near the mean (results do not depend on it) so that nothing cancels.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from grid.statistics.base import Additive
from grid.statistics.rows import Runs


class RowMean(Additive):
    """The weighted mean of one value a row."""

    @abstractmethod
    def values(self, runs: Runs) -> np.ndarray:
        """(S, N): what is averaged."""

    def columns(self, runs: Runs) -> np.ndarray:
        """The values."""
        return self.values(runs)[..., None]

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Sum / weight."""
        return sums[..., 0] / total

    def per_patient(self, runs: Runs) -> np.ndarray:
        """Mean of each patient's rows."""
        return runs.patient_sums(self.columns(runs))[..., 0] / runs.patient_weights


@dataclass(frozen=True)
class Mean(RowMean):
    """Mean of a column: per-frame Dice (%), keypoint error (px)."""

    label: ClassVar[str] = "mean"
    column: str

    def values(self, runs: Runs) -> np.ndarray:
        """The column."""
        return runs.column(self.column)


@dataclass(frozen=True)
class Mae(RowMean):
    """Mean absolute error, in the unit of the truth."""

    label: ClassVar[str] = "mae"
    truth: str = "truth"
    prediction: str = "prediction"

    def values(self, runs: Runs) -> np.ndarray:
        """|prediction - truth|."""
        return np.abs(_error(self, runs))


@dataclass(frozen=True)
class Bias(RowMean):
    """Mean of prediction - truth."""

    label: ClassVar[str] = "bias"
    truth: str = "truth"
    prediction: str = "prediction"

    def values(self, runs: Runs) -> np.ndarray:
        """prediction - truth."""
        return _error(self, runs)


@dataclass(frozen=True)
class Rmse(Additive):
    """Root of the mean squared error."""

    label: ClassVar[str] = "rmse"
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Squared errors."""
        return np.square(_error(self, runs))[..., None]

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Root of the mean."""
        return np.sqrt(sums[..., 0] / total)


@dataclass(frozen=True)
class R2(Additive):
    """1 - squared errors / squared deviations of the truth from its weighted mean; negative when worse than that mean."""

    label: ClassVar[str] = "r2"
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Squared errors, truth, truth squared."""
        truth = _centred(runs.column(self.truth))
        return np.stack([np.square(_error(self, runs)), truth, np.square(truth)], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """NaN without variance of the truth."""
        return 1 - sums[..., 0] / _positive(sums[..., 2] - np.square(sums[..., 1]) / total, sums[..., 2])


@dataclass(frozen=True)
class Pearson(Additive):
    """Pearson's correlation of truth and prediction."""

    label: ClassVar[str] = "pearson"
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """x, y, x^2, y^2, xy."""
        x, y = _centred(runs.column(self.truth)), _centred(runs.column(self.prediction))
        return np.stack([x, y, x * x, y * y, x * y], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """NaN where one of them does not vary."""
        x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
        variances = _positive(xx - x * x / total, xx) * _positive(yy - y * y / total, yy)
        return np.clip((xy - x * y / total) / np.sqrt(variances), -1, 1)


@dataclass(frozen=True)
class Std(Additive):
    """Standard deviation of a column over rows; ``ddof`` is taken off the sum of the weights."""

    label: ClassVar[str] = "std"
    column: str
    ddof: int = 1

    def columns(self, runs: Runs) -> np.ndarray:
        """x, x^2."""
        x = _centred(runs.column(self.column))
        return np.stack([x, x * x], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """NaN when the weights sum to ``ddof`` or less."""
        squares = np.maximum(sums[..., 1] - np.square(sums[..., 0]) / total, 0 * sums[..., 1])
        return np.sqrt(squares / np.where(total > self.ddof, total - self.ddof, np.nan))


@dataclass(frozen=True)
class PooledDice(Additive):
    """Dice in % over all frames together: 2 x sum of intersections / sum of areas (EchoNet-Dynamic's official statistic;
    not the mean of the frames' Dice)."""

    label: ClassVar[str] = "pooled dice"
    intersection: str = "intersection"
    area_truth: str = "area_truth"
    area_prediction: str = "area_prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Intersections and sums of both areas, pixels."""
        areas = runs.column(self.area_truth) + runs.column(self.area_prediction)
        return np.stack([runs.column(self.intersection), areas], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """NaN when all contours are empty."""
        return 200 * sums[..., 0] / sums[..., 1]


def _error(pair: Mae | Bias | Rmse | R2, runs: Runs) -> np.ndarray:
    return runs.column(pair.prediction) - runs.column(pair.truth)


def _centred(values: np.ndarray) -> np.ndarray:
    """Each run's values less their mean."""
    return values - values.mean(1, keepdims=True)


def _positive(squares: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Sums of squares that rounding alone made, as NaN."""
    return np.where(squares > 1e-12 * scale, squares, np.nan)
