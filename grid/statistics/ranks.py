"""Statistics of order: median and Spearman's correlation, with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from grid.statistics.base import General, Rowwise
from grid.statistics.rows import Runs

TIE = 1e-9
"""Relative difference below which a cumulative weight counts as exactly half of the total."""


@dataclass(frozen=True)
class Median(General):
    """Weighted median of a column: the value with half of the weight on either side; the mean of the two neighbours
    when the weight divides exactly between them, as for an even number of rows."""

    label: ClassVar[str] = "median"
    column: str

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Sorted once."""
        values = runs.column(self.column)[seed]
        if np.isnan(values).any():
            return _undefined
        order = np.argsort(values, kind="stable")
        ordered = values[order]

        def median(weights: np.ndarray) -> np.ndarray:
            cumulative = np.cumsum(weights[:, order], axis=1)
            half = cumulative[:, -1:] / 2
            lower = ordered[(cumulative >= half * (1 - TIE)).argmax(1)]
            upper = ordered[(cumulative > half * (1 + TIE)).argmax(1)]
            return np.where(half[:, 0] > 0, (lower + upper) / 2, np.nan)

        return median


@dataclass(frozen=True)
class Spearman(General):
    """Spearman's correlation of truth and prediction: Pearson's of their weighted mid-ranks."""

    label: ClassVar[str] = "spearman"
    truth: str = "truth"
    prediction: str = "prediction"

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Both orders are found once."""
        x, y = runs.column(self.truth)[seed], runs.column(self.prediction)[seed]
        if np.isnan(x + y).any():
            return _undefined
        ranks = rank_function(x), rank_function(y)

        def spearman(weights: np.ndarray) -> np.ndarray:
            first, second = (rank(weights) for rank in ranks)
            total = weights.sum(1, keepdims=True)
            first, second = (one - (weights * one).sum(1, keepdims=True) / total for one in (first, second))
            squares = (weights * first * first).sum(1) * (weights * second * second).sum(1)
            enough = squares > 1e-24 * total[:, 0] ** 6
            return np.clip((weights * first * second).sum(1) / np.sqrt(np.where(enough, squares, np.nan)), -1, 1)

        return spearman


def rank_function(values: np.ndarray) -> Rowwise:
    """Weights (B, N) -> mid-ranks (B, N) of ``values`` (N,): weight below, and half of that at the same value."""
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))

    def ranks(weights: np.ndarray) -> np.ndarray:
        own = np.add.reduceat(weights[:, order], starts, axis=1)
        return (np.cumsum(own, axis=1) - own / 2)[:, place]

    return ranks


def _undefined(weights: np.ndarray) -> np.ndarray:
    return np.full(len(weights), np.nan)
