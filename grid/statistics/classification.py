"""Statistics of classifiers. Labels are whole numbers in float columns; all counts are weighted.

Accuracy, F1 and balanced accuracy are functions of weighted counts, so they are additive; AUC reads rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.additive import RowMean
from grid.statistics.base import Additive, General, Rowwise
from grid.statistics.rows import Runs


@dataclass(frozen=True)
class Accuracy(RowMean):
    """Share of rows whose prediction is the truth."""

    label: ClassVar[str] = "accuracy"
    truth: str = "truth"
    prediction: str = "prediction"

    def values(self, runs: Runs) -> np.ndarray:
        """1 where both labels agree; NaN stays."""
        truth, prediction = runs.column(self.truth), runs.column(self.prediction)
        return np.where(np.isnan(truth + prediction), np.nan, truth == prediction)


@dataclass(frozen=True)
class F1(Additive):
    """2 tp / (2 tp + fp + fn) of the label ``positive``; 0 where no row has or gets that label."""

    label: ClassVar[str] = "f1"
    positive: float = 1
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Hits, rows of the class, rows given the class."""
        return _counts(self, runs, np.array([self.positive]))

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """F1 of the one class."""
        return np.nan_to_num(_f1(sums)[..., 0], nan=0.0) + 0 * total + 0 * sums[..., 0]


@dataclass(frozen=True)
class MacroF1(Additive):
    """Mean over classes of F1. A class that no weighted row has or gets is not counted."""

    label: ClassVar[str] = "macro f1"
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Hits, rows of the class, rows given the class, for each class of all runs."""
        return _counts(self, runs, _classes(self, runs))

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Mean over classes."""
        return _mean_where_defined(_f1(sums)) + 0 * sums.sum(-1)


@dataclass(frozen=True)
class BalancedAccuracy(Additive):
    """Mean over classes of the share of the class's rows that is found. A class without weighted rows is not counted."""

    label: ClassVar[str] = "balanced accuracy"
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """As for macro F1."""
        return _counts(self, runs, _classes(self, runs))

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Mean over classes."""
        hits, truth, _ = _parts(sums)
        return _mean_where_defined(hits / np.where(truth > 0, truth, np.nan)) + 0 * sums.sum(-1)


@dataclass(frozen=True)
class Auc(General):
    """Area under the ROC curve: the chance that a positive row (``truth`` 1) scores higher than a negative one (0),
    ties counted as half. NaN without one of them."""

    label: ClassVar[str] = "auc"
    truth: str = "truth"
    score: str = "score"

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Sorted once; for each set of weights two cumulative sums. EchoLMError for labels other than 0 and 1."""
        truth, score = runs.column(self.truth)[seed], runs.column(self.score)[seed]
        if score.ndim > 1:
            raise EchoLMError(f"{runs.name}: column {self.score!r} has {score.shape[1]} scores a row; auc takes one: use macro auc")
        if not set(np.unique(truth[~np.isnan(truth)])) <= {0.0, 1.0}:
            raise EchoLMError(f"{runs.name}: column {self.truth!r} of auc has values other than 0 and 1")
        return auc_function(truth == 1, score, bool(np.isnan(truth).any()))


@dataclass(frozen=True)
class MacroAuc(General):
    """Mean over classes of the AUC of a class against all others. ``truth``: labels 0 to C - 1; ``score``: C a row.
    NaN when a class has no weighted row."""

    label: ClassVar[str] = "macro auc"
    truth: str = "truth"
    score: str = "score"

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """One AUC a class."""
        truth, score = runs.column(self.truth)[seed], runs.column(self.score)[seed]
        if score.ndim != 2 or not set(np.unique(truth[~np.isnan(truth)])) <= set(range(score.shape[1])):
            raise EchoLMError(f"{runs.name}: macro auc takes C scores a row and labels 0 to C - 1")
        missing = bool(np.isnan(truth).any())
        functions = [auc_function(truth == label, score[:, label], missing) for label in range(score.shape[1])]
        return lambda weights: np.mean([function(weights) for function in functions], axis=0)


def auc_function(positive: np.ndarray, score: np.ndarray, missing: bool = False) -> Rowwise:
    """Weights (B, N) -> AUC (B,) of ``positive`` (N,) rows by ``score`` (N,); NaN scores or ``missing`` give NaN."""
    if missing or np.isnan(score).any():
        return lambda weights: np.full(len(weights), np.nan)
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.append(True, score[order][1:] != score[order][:-1]))
    is_positive = positive[order]
    ties = len(starts) < len(order)

    def area(weights: np.ndarray) -> np.ndarray:
        ordered = weights[:, order]
        up = ordered * is_positive
        down = ordered - up
        if ties:
            up, down = (np.add.reduceat(side, starts, axis=1) for side in (up, down))
        below = np.cumsum(down, axis=1)
        totals = up.sum(1) * below[:, -1]
        below -= down / 2
        return np.einsum("bn,bn->b", up, below) / totals

    return area


def _classes(labels: MacroF1 | BalancedAccuracy, runs: Runs) -> np.ndarray:
    both = np.concatenate([runs.column(labels.truth).ravel(), runs.column(labels.prediction).ravel()])
    return np.unique(both[~np.isnan(both)])


def _counts(labels: F1 | MacroF1 | BalancedAccuracy, runs: Runs, classes: np.ndarray) -> np.ndarray:
    """(S, N, 3 C): hits, rows of the class, rows given the class; NaN where a label is."""
    truth, prediction = (runs.column(name)[..., None] == classes for name in (labels.truth, labels.prediction))
    missing = np.isnan(runs.column(labels.truth) + runs.column(labels.prediction))
    counts = np.concatenate([truth & prediction, truth, prediction], -1).astype(np.float64)
    counts[missing] = np.nan
    return counts


def _parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hits, truth, prediction = np.split(sums, 3, axis=-1)
    return hits, truth, prediction


def _f1(sums: np.ndarray) -> np.ndarray:
    """F1 of each class, (..., C); NaN where no row has or gets it."""
    hits, truth, prediction = _parts(sums)
    either = truth + prediction
    return 2 * hits / np.where(either > 0, either, np.nan)


def _mean_where_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return np.where(defined, values, 0).sum(-1) / defined.sum(-1)
