"""How far predictions are from the truth: squared error, limits of agreement, share within a limit.

The limits are those of Bland and Altman (Lancet 1986).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.additive import RowMean, errors
from grid.statistics.base import Additive
from grid.statistics.bounds import POSITIVE, SHARE
from grid.statistics.quantity import VALUE
from grid.statistics.rows import Runs

LIMIT = 1.96
"""Standard deviations between the bias and a limit of agreement."""


@dataclass(frozen=True)
class Mse(RowMean):
    """Mean squared error, in the squared unit of the truth."""

    label = "mse"
    better = "lower"
    bounds = POSITIVE
    unit = f"{VALUE}²"
    truth: str = "truth"
    prediction: str = "prediction"

    def values(self, runs: Runs) -> np.ndarray:
        """Return squared errors."""
        return np.square(errors(self, runs))


@dataclass(frozen=True)
class ShareWithin(RowMean):
    """Share of rows whose prediction is at most ``within`` from the truth."""

    label = "share within"
    better = "higher"
    bounds = SHARE
    within: float = 5
    truth: str = "truth"
    prediction: str = "prediction"

    def __post_init__(self) -> None:
        if not self.within > 0:
            raise EchoLMError(f"share within: within is {self.within:g}; it must be above 0")

    @property
    def title(self) -> str:
        """``share within 5``."""
        return f"{self.label} {self.within:g}"

    def values(self, runs: Runs) -> np.ndarray:
        """Return 1 where the error is small enough, else 0. NaN stays."""
        distance = np.abs(errors(self, runs))
        return np.where(np.isnan(distance), np.nan, distance <= self.within)


class _LimitOfAgreement(Additive):
    """Bias plus or minus 1.96 standard deviations (ddof 1) of prediction - truth.

    One is taken off the sum of the weights, which is the number of patients. A single patient has
    no limits.
    """

    side: ClassVar[int]
    """-1 for the lower limit, 1 for the upper one."""
    truth: str
    prediction: str

    def columns(self, runs: Runs) -> np.ndarray:
        """Return the error about its mean of all rows, that squared, and this mean."""
        error = errors(self, runs)
        centre = np.broadcast_to(error.mean(1, keepdims=True), error.shape)
        centred = error - centre
        return np.stack([centred, np.square(centred), centre], -1)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the limit, NaN when the weights sum to one or less."""
        centred, squared, centre = np.moveaxis(sums, -1, 0)
        squares = squared - np.square(centred) / total
        # What rounding alone made is 0: its root would be in the eighth digit. A NaN stays one.
        squares = np.where(squares > 1e-12 * squared, squares, 0 * squared)
        deviation = np.sqrt(squares / np.where(total > 1, total - 1, np.nan))
        return (centred + centre) / total + self.side * LIMIT * deviation


@dataclass(frozen=True)
class LowerLimit(_LimitOfAgreement):
    """Lower limit of agreement: bias - 1.96 standard deviations (ddof 1) of prediction - truth."""

    label = "lower limit"
    better = None  # the best is 0
    unit = VALUE
    side = -1
    truth: str = "truth"
    prediction: str = "prediction"


@dataclass(frozen=True)
class UpperLimit(_LimitOfAgreement):
    """Upper limit of agreement: bias + 1.96 standard deviations (ddof 1) of prediction - truth."""

    label = "upper limit"
    better = None  # the best is 0
    unit = VALUE
    side = 1
    truth: str = "truth"
    prediction: str = "prediction"
