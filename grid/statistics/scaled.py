"""A statistic times a number: for a table in the unit of published numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.base import Additive, Statistic
from grid.statistics.bounds import Bounds
from grid.statistics.quantity import Quantity
from grid.statistics.rows import Runs

UNITS = {("%", 0.01): "", ("", 100.0): "%"}
"""Unit and factor -> the unit of the product."""


class _Scaled(Statistic):
    """What both families of scaled statistics share."""

    inner: Statistic
    factor: float

    @property
    def title(self) -> str:
        """That of the statistic itself."""
        return self.inner.title

    @property
    def name(self) -> str:
        """That of the statistic itself."""
        return self.inner.name

    @property
    def reads(self) -> tuple[str, ...]:
        """What the statistic itself reads."""
        return self.inner.reads

    def describe(self, of: Quantity) -> Quantity:
        """Return what is known of the product."""
        inner = self.inner.describe(of)
        unit = UNITS.get((inner.unit, self.factor), f"{inner.unit} / {1 / self.factor:g}".strip())
        bounds = Bounds(
            _times(inner.bounds.low, self.factor), _times(inner.bounds.high, self.factor)
        )
        return Quantity(unit, inner.better, bounds)

    def per_patient(self, runs: Runs) -> np.ndarray | None:
        """Return those of the statistic itself, times the factor."""
        values = self.inner.per_patient(runs)
        return None if values is None else self.factor * values


@dataclass(frozen=True)
class ScaledAdditive(_Scaled, Additive):
    """An additive statistic times a number."""

    inner: Additive
    factor: float

    def columns(self, runs: Runs) -> np.ndarray:
        """Return those of the statistic itself."""
        return self.inner.columns(runs)

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the value times the factor."""
        return self.factor * self.inner.finish(sums, total)


@dataclass(frozen=True)
class ScaledGeneral(_Scaled):
    """Any other statistic times a number."""

    inner: Statistic
    factor: float

    def evaluate(self, runs: Runs, weights: np.ndarray) -> np.ndarray:
        """Return values times the factor, as ``Statistic`` says."""
        return self.factor * self.inner.evaluate(runs, weights)


def scaled(statistic: Statistic, factor: float) -> Statistic:
    """Return a statistic times a factor above 0.

    Raises:
        EchoLMError: the factor is not above 0.
    """
    if not 0 < factor < float("inf"):
        raise EchoLMError(f"scale {factor:g}: must be a number above 0")
    if isinstance(statistic, Additive):
        return ScaledAdditive(statistic, factor)
    return ScaledGeneral(statistic, factor)


def unscaled(statistic: Statistic) -> Statistic:
    """Return the statistic that another is times a factor, or itself."""
    return statistic.inner if isinstance(statistic, _Scaled) else statistic


def _times(end: float | None, factor: float) -> float | None:
    return None if end is None else end * factor
