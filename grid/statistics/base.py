"""What a statistic is: one number a run from weighted rows; and its two families.

*Additive* ones are functions of weighted column sums, so that 10,000 resamples of a whole table are one matrix product.
*General* ones read weighted rows. Both take weights a patient; resampling draws patients, never rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from grid.statistics.rows import Runs

CHUNK = 2_000_000
"""Weights that are held at a time (16 MB as float64)."""

Rowwise = Callable[[np.ndarray], np.ndarray]
"""Weights (B, N) of rows -> (B,) values of the statistic."""


class Statistic(ABC):
    """One number a run. Undefined (one class only, no variance, a NaN in the rows): NaN."""

    label: ClassVar[str]
    """``mean``, ``r2``: see ``grid.statistics.STATISTICS``."""

    @property
    def name(self) -> str:
        """As tables name it: the label and the column, where there is one: ``mean dice``, ``r2``."""
        return " ".join(filter(None, (self.label, getattr(self, "column", ""))))

    @abstractmethod
    def evaluate(self, runs: Runs, weights: np.ndarray) -> np.ndarray:
        """Values (S, B) for B sets of weights of patients, (B, P)."""

    def full(self, runs: Runs) -> np.ndarray:
        """Value of each run, (S,), every patient once."""
        return self.evaluate(runs, np.ones((1, len(runs.patients))))[:, 0]

    def per_patient(self, runs: Runs) -> np.ndarray | None:
        """(S, P) values whose weighted mean over patients the statistic is; None where there is no such thing."""
        return None


class Additive(Statistic):
    """A function of weighted column sums and of the sum of the weights."""

    @abstractmethod
    def columns(self, runs: Runs) -> np.ndarray:
        """(S, N, k): what is summed."""

    @abstractmethod
    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """(..., k) weighted sums and (...) sums of weights -> (...) values."""

    def evaluate(self, runs: Runs, weights: np.ndarray) -> np.ndarray:
        """See ``Statistic``."""
        sums = np.einsum("bp,spk->sbk", weights, runs.patient_sums(self.columns(runs)), optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.finish(sums, np.broadcast_to(weights @ runs.patient_weights, sums.shape[:2]))


class General(Statistic):
    """A function of weighted rows. ``rowwise`` may prepare what does not depend on weights, such as an order."""

    @abstractmethod
    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """The statistic of run number ``seed`` (0 to S - 1) as a function of weights."""

    def evaluate(self, runs: Runs, weights: np.ndarray) -> np.ndarray:
        """See ``Statistic``; chunked, so that memory does not grow with B x N."""
        functions = [self.rowwise(runs, seed) for seed in range(len(runs.seeds))]
        found = np.empty((len(functions), len(weights)))
        step = max(1, CHUNK // len(runs.owner))
        for start in range(0, len(weights), step):
            rows = weights[start : start + step, runs.owner] * runs.weights
            with np.errstate(invalid="ignore", divide="ignore"):
                for seed, function in enumerate(functions):
                    found[seed, start : start + step] = function(rows)
        return found
