"""What a statistic is (one number a run, from weighted rows), and its two families.

*Additive* ones are functions of weighted column sums, so that 10,000 resamples of a whole table are
one matrix product. *General* ones read weighted rows. Both take weights a patient. Resampling draws
patients, never rows.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from grid.statistics.bounds import ANY, Bounds
from grid.statistics.quantity import Better, Quantity, unit_text
from grid.statistics.rows import Runs

CHUNK = 2_000_000
"""Weights that are held at a time (16 MB as float64)."""

Rowwise = Callable[[np.ndarray], np.ndarray]
"""Weights (B, N) of rows -> (B,) values of the statistic."""


class Statistic(ABC):
    """One number a run. Undefined (one class only, no variance, a NaN in the rows): NaN."""

    label: ClassVar[str]
    """``mean``, ``r2``: see ``grid.statistics.STATISTICS``."""

    better: ClassVar[Better | None]
    """Which values are better. None where the statistic alone does not tell, as for a mean.

    Every statistic must say it: one that is silent would never be printed bold, and nobody would
    notice.
    """

    bounds: ClassVar[Bounds] = ANY
    """Which values are possible. ``ANY`` where the statistic alone does not tell, as for a mean."""

    unit: ClassVar[str] = ""
    """The unit of its values. ``quantity.VALUE`` in it is the unit of what it is made of."""

    settings: ClassVar[tuple[str, ...]] = ()
    """Fields that hold a text and name no column of the predictions."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(cls, "label") and not hasattr(cls, "better"):
            raise TypeError(f"statistic {cls.label}: write better = 'higher', 'lower' or None")

    @property
    def title(self) -> str:
        """The label, with what tells it from others of its label: ``share within 5``."""
        return self.label

    @property
    def name(self) -> str:
        """As tables name it: the title, and the column where there is one: ``mean dice``."""
        column = getattr(self, "column", "")
        return f"{self.title} {column}".rstrip()

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of the predictions that it reads: what its fields name."""
        if not dataclasses.is_dataclass(self):
            return ()
        names = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and value and field.name not in self.settings:
                names.append(value)
        return tuple(names)

    def describe(self, of: Quantity) -> Quantity:
        """Return what is known of its values.

        Args:
            of: what is known of that which it is made of: its column, or truth and prediction.
        """
        return Quantity(unit_text(self.unit, of.unit), self.better, self.bounds)

    @abstractmethod
    def evaluate(self, runs: Runs, weights: np.ndarray) -> np.ndarray:
        """Return values (S, B) for B sets of weights of patients, (B, P)."""

    def full(self, runs: Runs) -> np.ndarray:
        """Return the value of each run, (S,), every patient once."""
        return self.evaluate(runs, np.ones((1, len(runs.patients))))[:, 0]

    def per_patient(self, runs: Runs) -> np.ndarray | None:
        """Return (S, P) values whose weighted mean over patients the statistic is.

        None where there is no such thing.
        """
        return None


class Additive(Statistic):
    """A function of weighted column sums and of the sum of the weights."""

    @abstractmethod
    def columns(self, runs: Runs) -> np.ndarray:
        """Return what is summed, (S, N, k)."""

    @abstractmethod
    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Turn (..., k) weighted sums and (...) sums of weights into (...) values."""

    def evaluate(self, runs: Runs, weights: np.ndarray) -> np.ndarray:
        """Return values (S, B), as ``Statistic`` says."""
        patient_sums = runs.patient_sums(self.columns(runs))
        sums = np.einsum("bp,spk->sbk", weights, patient_sums, optimize=True)
        total = np.broadcast_to(weights @ runs.patient_weights, sums.shape[:2])
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.finish(sums, total)


class General(Statistic):
    """A function of weighted rows.

    ``rowwise`` may prepare what does not depend on weights, such as an order.
    """

    @abstractmethod
    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Return the statistic of run number ``seed`` (0 to S - 1) as a function of weights."""

    def evaluate(self, runs: Runs, weights: np.ndarray) -> np.ndarray:
        """Return values (S, B), as ``Statistic`` says.

        It works in chunks, so that memory does not grow with B x N.
        """
        functions = [self.rowwise(runs, seed) for seed in range(len(runs.seeds))]
        values = np.empty((len(functions), len(weights)))
        step = max(1, CHUNK // len(runs.owner))
        for start in range(0, len(weights), step):
            chunk = slice(start, start + step)
            row_weights = weights[chunk, runs.owner] * runs.weights
            with np.errstate(invalid="ignore", divide="ignore"):
                for seed, function in enumerate(functions):
                    values[seed, chunk] = function(row_weights)
        return values
