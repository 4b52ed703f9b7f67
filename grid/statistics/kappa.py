"""Weighted kappa: agreement of ordered labels beyond what chance gives (Cohen 1968)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from echolm.text import suggest
from grid.statistics.base import Additive
from grid.statistics.bounds import CORRELATION
from grid.statistics.rows import Runs

POWERS = {"linear": 1, "quadratic": 2}
"""Name of the weights -> power of the distance between two labels."""


@dataclass(frozen=True)
class WeightedKappa(Additive):
    """1 - disagreement / disagreement by chance, by the distance of labels or that squared.

    Distances are those of the labels themselves, so a class that no row has changes nothing. NaN
    where truth and predictions are all of one and the same class.
    """

    label = "weighted kappa"
    better = "higher"
    bounds = CORRELATION
    settings = ("weights",)
    weights: str = "quadratic"
    truth: str = "truth"
    prediction: str = "prediction"

    def __post_init__(self) -> None:
        if self.weights not in POWERS:
            raise EchoLMError(
                f"weighted kappa: weights {self.weights!r}: {suggest(self.weights, POWERS)}"
            )

    @property
    def title(self) -> str:
        """``quadratic weighted kappa``."""
        return f"{self.weights} {self.label}"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return the distance of a row, and which classes it has and gets.

        The last columns hold the labels of the classes, so that ``finish`` knows them.
        """
        truth = runs.column(self.truth)
        prediction = runs.column(self.prediction)
        both = np.concatenate([truth.ravel(), prediction.ravel()])
        classes = np.unique(both[~np.isnan(both)])
        distance = np.abs(truth - prediction) ** POWERS[self.weights]
        has = truth[..., None] == classes
        gets = prediction[..., None] == classes
        labels = np.broadcast_to(classes, has.shape)
        columns = np.concatenate([distance[..., None], has, gets, labels], -1).astype(np.float64)
        columns[np.isnan(distance)] = np.nan
        return columns

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return kappa."""
        distance = sums[..., 0]
        has, gets, labels = np.split(sums[..., 1:], 3, axis=-1)
        classes = labels / total[..., None]
        apart = np.abs(classes[..., :, None] - classes[..., None, :]) ** POWERS[self.weights]
        by_chance = np.einsum("...i,...j,...ij->...", has, gets, apart) / total
        # Rounding of the labels leaves a trace where there is no disagreement by chance.
        return 1 - distance / np.where(by_chance > 1e-12 * total, by_chance, np.nan)
