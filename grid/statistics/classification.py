"""Statistics of classifiers. Labels are whole numbers in float columns. All counts are weighted.

Accuracy, F1 and balanced accuracy are functions of weighted counts, so they are additive. AUC reads
rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.additive import RowMean
from grid.statistics.base import Additive, General, Rowwise
from grid.statistics.binary import binary_rows, columns_read
from grid.statistics.bounds import SHARE
from grid.statistics.rows import Runs


@dataclass(frozen=True)
class Accuracy(RowMean):
    """Share of rows whose prediction is the truth."""

    label = "accuracy"
    better = "higher"
    bounds = SHARE
    truth: str = "truth"
    prediction: str = "prediction"

    def values(self, runs: Runs) -> np.ndarray:
        """Return 1 where both labels agree, else 0. NaN stays."""
        truth = runs.column(self.truth)
        prediction = runs.column(self.prediction)
        return np.where(np.isnan(truth + prediction), np.nan, truth == prediction)


@dataclass(frozen=True)
class F1(Additive):
    """2 tp / (2 tp + fp + fn) of the label ``positive``. 0 where no row has or gets that label."""

    label = "f1"
    better = "higher"
    bounds = SHARE
    positive: float = 1
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return hits, rows of the class, rows given the class."""
        return _counts(self, runs, np.array([self.positive]))

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return F1 of the one class."""
        score = np.nan_to_num(_f1(sums)[..., 0], nan=0.0)
        # Adding 0 x makes the score NaN where x is.
        return score + 0 * total + 0 * sums[..., 0]


@dataclass(frozen=True)
class MacroF1(Additive):
    """Mean over classes of F1. A class that no weighted row has or gets is not counted."""

    label = "macro f1"
    better = "higher"
    bounds = SHARE
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return hits, rows of the class, rows given the class, for each class of all runs."""
        return _counts(self, runs, _classes(self, runs))

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the mean over classes."""
        return _mean_where_defined(_f1(sums)) + 0 * sums.sum(-1)


@dataclass(frozen=True)
class BalancedAccuracy(Additive):
    """Mean over classes of the share of the class's rows that is recognised.

    A class without weighted rows is not counted.
    """

    label = "balanced accuracy"
    better = "higher"
    bounds = SHARE
    truth: str = "truth"
    prediction: str = "prediction"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return the same counts as for macro F1."""
        return _counts(self, runs, _classes(self, runs))

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the mean over classes."""
        hits, truth, _ = np.split(sums, 3, axis=-1)
        shares = hits / np.where(truth > 0, truth, np.nan)
        return _mean_where_defined(shares) + 0 * sums.sum(-1)


@dataclass(frozen=True)
class Auc(General):
    """Area under the ROC curve: the chance that a positive row scores higher than a negative one.

    ``truth`` is 1 for a positive row and 0 for a negative one. With ``below``, rows whose value is
    below it are positive, and a lower prediction is a higher score. Ties are counted as half. NaN
    without rows of one of them.
    """

    label = "auc"
    better = "higher"
    bounds = SHARE
    truth: str = "truth"
    score: str = "score"
    prediction: str = "prediction"
    below: float | None = None

    @property
    def title(self) -> str:
        """``auc``, or ``auc below 50``."""
        return self.label if self.below is None else f"{self.label} below {self.below:g}"

    @property
    def reads(self) -> tuple[str, ...]:
        """The truth, and the score or the predicted value."""
        return columns_read(self)

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Sort once. Each set of weights then takes two cumulative sums.

        Raises:
            EchoLMError: the labels are not 0 and 1, or there are several scores a row.
        """
        rows = binary_rows(self, runs)
        missing = bool(rows.missing[seed].any())
        return auc_function(rows.positive[seed], rows.score[seed], missing)


@dataclass(frozen=True)
class MacroAuc(General):
    """Mean over classes of the AUC of a class against all others.

    ``truth`` holds labels 0 to C - 1, ``score`` C values a row. NaN when a class has no weighted
    row.
    """

    label = "macro auc"
    better = "higher"
    bounds = SHARE
    truth: str = "truth"
    score: str = "score"

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Prepare one AUC a class, and return their mean as a function of weights.

        Raises:
            EchoLMError: scores and labels do not fit each other.
        """
        truth = runs.column(self.truth)[seed]
        score = runs.column(self.score)[seed]
        labels = set(np.unique(truth[~np.isnan(truth)]))
        if score.ndim != 2 or not labels <= set(range(score.shape[1])):
            raise EchoLMError(f"{runs.name}: macro auc takes C scores a row and labels 0 to C - 1")
        missing = bool(np.isnan(truth).any())
        functions = []
        for label in range(score.shape[1]):
            functions.append(auc_function(truth == label, score[:, label], missing))

        def mean_auc(weights: np.ndarray) -> np.ndarray:
            return np.mean([function(weights) for function in functions], axis=0)

        return mean_auc


def auc_function(positive: np.ndarray, score: np.ndarray, missing: bool = False) -> Rowwise:
    """Return the AUC (B,) as a function of weights (B, N).

    Args:
        positive: (N,), which rows are positive.
        score: (N,). A NaN makes the AUC NaN.
        missing: whether a row has no truth, which makes the AUC NaN.
    """
    if missing or np.isnan(score).any():
        return _undefined
    order = np.argsort(score, kind="stable")
    ordered_score = score[order]
    starts = np.flatnonzero(np.append(True, ordered_score[1:] != ordered_score[:-1]))
    is_positive = positive[order]
    ties = len(starts) < len(order)

    def area(weights: np.ndarray) -> np.ndarray:
        ordered = weights[:, order]
        up = ordered * is_positive
        down = ordered - up
        if ties:
            up = np.add.reduceat(up, starts, axis=1)
            down = np.add.reduceat(down, starts, axis=1)
        below = np.cumsum(down, axis=1)
        totals = up.sum(1) * below[:, -1]
        below -= down / 2
        return np.einsum("bn,bn->b", up, below) / totals

    return area


def _undefined(weights: np.ndarray) -> np.ndarray:
    return np.full(len(weights), np.nan)


def _classes(labels: MacroF1 | BalancedAccuracy, runs: Runs) -> np.ndarray:
    truth = runs.column(labels.truth).ravel()
    prediction = runs.column(labels.prediction).ravel()
    both = np.concatenate([truth, prediction])
    return np.unique(both[~np.isnan(both)])


def _counts(labels: F1 | MacroF1 | BalancedAccuracy, runs: Runs, classes: np.ndarray) -> np.ndarray:
    """Return hits, rows of the class, rows given the class, (S, N, 3 C). NaN where a label is."""
    truth = runs.column(labels.truth)
    prediction = runs.column(labels.prediction)
    is_class = truth[..., None] == classes
    given_class = prediction[..., None] == classes
    counts = np.concatenate([is_class & given_class, is_class, given_class], -1).astype(np.float64)
    counts[np.isnan(truth + prediction)] = np.nan
    return counts


def _f1(sums: np.ndarray) -> np.ndarray:
    """Return F1 of each class, (..., C). NaN where no row has or gets it."""
    hits, truth, prediction = np.split(sums, 3, axis=-1)
    either = truth + prediction
    return 2 * hits / np.where(either > 0, either, np.nan)


def _mean_where_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return np.where(defined, values, 0).sum(-1) / defined.sum(-1)
