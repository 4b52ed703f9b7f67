"""How good predicted probabilities are: Brier score, negative log-likelihood, calibration error.

``score`` holds the probability of class 1, one number a row, for two classes. For C classes it
holds C numbers a row, one for each of the labels 0 to C - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.additive import RowMean
from grid.statistics.base import Additive, Statistic
from grid.statistics.bounds import POSITIVE, SHARE, Bounds
from grid.statistics.rows import Runs

BINS = 15
"""Bins of equal width of the expected calibration error."""
LEAST = float(np.finfo(np.float64).eps)
"""Probabilities are cut at it, and at 1 less it, before a logarithm is taken (scikit-learn)."""
TOLERANCE = 1e-6
"""How far beyond 0 to 1 a probability may lie by rounding."""


@dataclass(frozen=True)
class Brier(RowMean):
    """Brier score: mean squared distance of the probabilities to 1 (true class) and 0 (others).

    For two classes it is (p - y)², 0 to 1. For more it is summed over classes, 0 to 2. Both are as
    scikit-learn has them.
    """

    label = "brier"
    better = "lower"
    bounds = Bounds(0, 2)
    truth: str = "truth"
    score: str = "score"

    def values(self, runs: Runs) -> np.ndarray:
        """Return the squared distance of each row."""
        truth, shares = probabilities(self, runs, self.truth, self.score)
        of_two = shares.shape[2] == 2
        squared = np.square(shares - _is_class(truth, shares.shape[2])).sum(-1)
        return _with_nan(squared / 2 if of_two else squared, truth)


@dataclass(frozen=True)
class Nll(RowMean):
    """Mean negative natural logarithm of the probability of the true class.

    Probabilities of 0 are taken as 2.2e-16, as scikit-learn does, so that one row does not make it
    infinite.
    """

    label = "nll"
    better = "lower"
    bounds = POSITIVE
    truth: str = "truth"
    score: str = "score"

    def values(self, runs: Runs) -> np.ndarray:
        """Return the loss of each row."""
        truth, shares = probabilities(self, runs, self.truth, self.score)
        cut = np.clip(shares, LEAST, 1 - LEAST)
        losses = -np.log(_of_label(cut, truth))
        return _with_nan(losses, truth)


@dataclass(frozen=True)
class Ece(Additive):
    """Expected calibration error: how far confidence and accuracy are apart, over 15 bins.

    The confidence of a row is the probability of its predicted class, for two classes and for more
    (so of two classes it is one half or more where that class is the likelier one). Bins have equal
    width from 0 to 1, and hold their upper end (Guo et al. 2017). The error is the mean over rows
    of the distance between accuracy and mean confidence in the bin of the row.
    """

    label = "ece"
    better = "lower"
    bounds = SHARE
    truth: str = "truth"
    prediction: str = "prediction"
    score: str = "score"

    def columns(self, runs: Runs) -> np.ndarray:
        """Return right - confidence in the column of a row's bin, (S, N, 15)."""
        truth, shares = probabilities(self, runs, self.truth, self.score)
        predicted = runs.column(self.prediction)
        _check_labels(runs, self.label, predicted, shares.shape[2])
        confidence = _of_label(shares, predicted)
        gap = _with_nan((predicted == truth) - confidence, truth + predicted)
        in_bin = bin_of(confidence)[..., None] == np.arange(BINS)
        columns = np.where(in_bin, gap[..., None], 0.0)
        columns[np.isnan(gap)] = np.nan
        return columns

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the mean distance."""
        return np.abs(sums).sum(-1) / total


def bin_of(confidence: np.ndarray) -> np.ndarray:
    """Return the bin, 0 to 14, of each confidence. A bin holds its upper end, the first holds 0."""
    inner_edges = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.searchsorted(inner_edges, confidence, side="left")


def probabilities(
    one: Statistic, runs: Runs, truth: str, score: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return true labels (S, N) and probabilities (S, N, C).

    Args:
        one: the statistic, for messages.
        runs: the rows.
        truth: the column of the labels.
        score: the column of the probabilities.

    Raises:
        EchoLMError: scores are no probabilities, or labels are not 0 to C - 1.
    """
    labels = runs.column(truth)
    shares = runs.column(score)
    if shares.ndim == 2:
        shares = np.stack([1 - shares, shares], -1)
    known = shares[~np.isnan(shares)]
    if known.size and not (-TOLERANCE <= known.min() and known.max() <= 1 + TOLERANCE):
        raise EchoLMError(
            f"{runs.name}: column {score!r} of {one.label} has values from {known.min():g} to "
            f"{known.max():g}, which are no probabilities"
        )
    _check_labels(runs, one.label, labels, shares.shape[2])
    unknown = np.isnan(shares).any(-1)
    return np.where(unknown, np.nan, labels), shares


def _check_labels(runs: Runs, label: str, labels: np.ndarray, classes: int) -> None:
    known = set(np.unique(labels[~np.isnan(labels)]))
    if not known <= set(range(classes)):
        raise EchoLMError(
            f"{runs.name}: {label} takes labels 0 to {classes - 1} beside {classes} classes of "
            f"scores; there is {max(known):g}"
        )


def _is_class(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return 1 for the class of a row, (..., C)."""
    return (labels[..., None] == np.arange(classes)).astype(np.float64)


def _of_label(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the probability of the label of each row. That of a NaN is of label 0."""
    index = np.nan_to_num(labels).astype(np.int64)
    return np.take_along_axis(shares, index[..., None], -1)[..., 0]


def _with_nan(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(labels), np.nan, values)
