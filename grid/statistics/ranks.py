"""Statistics of order: median and Spearman's correlation, with weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid.statistics.base import General, Rowwise
from grid.statistics.bounds import CORRELATION
from grid.statistics.quantity import VALUE, Quantity
from grid.statistics.rows import Runs

TIE = 1e-9
"""Relative difference below which a cumulative weight counts as exactly half of the total."""


@dataclass(frozen=True)
class Median(General):
    """Weighted median of a column: the value with half of the weight on either side.

    It is the mean of the two neighbours when the weight divides exactly between them, as for an
    even number of rows.
    """

    label = "median"
    better = None  # its column says it
    unit = VALUE
    column: str

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Sort the rows once, and return the median as a function of weights."""
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

    def describe(self, of: Quantity) -> Quantity:
        """Return what is known of the column: a median is as its column."""
        return of


@dataclass(frozen=True)
class Spearman(General):
    """Spearman's correlation of truth and prediction: Pearson's of their weighted mid-ranks."""

    label = "spearman"
    better = "higher"
    bounds = CORRELATION
    truth: str = "truth"
    prediction: str = "prediction"

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Find both orders once, and return the correlation as a function of weights."""
        truth = runs.column(self.truth)[seed]
        prediction = runs.column(self.prediction)[seed]
        if np.isnan(truth + prediction).any():
            return _undefined
        truth_ranks = rank_function(truth)
        prediction_ranks = rank_function(prediction)

        def spearman(weights: np.ndarray) -> np.ndarray:
            x = _less_mean(truth_ranks(weights), weights)
            y = _less_mean(prediction_ranks(weights), weights)
            squares = (weights * x * x).sum(1) * (weights * y * y).sum(1)
            enough = squares > 1e-24 * weights.sum(1) ** 6
            scale = np.sqrt(np.where(enough, squares, np.nan))
            return np.clip((weights * x * y).sum(1) / scale, -1, 1)

        return spearman


def rank_function(values: np.ndarray) -> Rowwise:
    """Return the mid-ranks (B, N) of ``values`` (N,) as a function of weights (B, N).

    A mid-rank is the weight below, and half of that at the same value.
    """
    distinct, index = np.unique(values, return_inverse=True)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(distinct)))

    def ranks(weights: np.ndarray) -> np.ndarray:
        same_value = np.add.reduceat(weights[:, order], starts, axis=1)
        return (np.cumsum(same_value, axis=1) - same_value / 2)[:, index]

    return ranks


def _less_mean(ranks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Subtract from ranks (B, N) their weighted mean."""
    total = weights.sum(1, keepdims=True)
    return ranks - (weights * ranks).sum(1, keepdims=True) / total


def _undefined(weights: np.ndarray) -> np.ndarray:
    return np.full(len(weights), np.nan)
