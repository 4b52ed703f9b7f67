"""Metrics of classifiers from labels and scores, as scikit-learn defines them.

``grid.statistics`` has the same ones with weights and intervals. These are for the log of a run.
"""

from __future__ import annotations

import numpy as np


def balanced_accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean over the classes of ``truth`` of the share of their rows that is found."""
    shares = []
    for label in np.unique(truth):
        shares.append((prediction[truth == label] == label).mean())
    return float(np.mean(shares))


def f1(truth: np.ndarray, prediction: np.ndarray, label: int = 1) -> float:
    """Return 2 tp / (2 tp + fp + fn) of one label. 0 where no row has or gets it."""
    hits = np.sum((truth == label) & (prediction == label))
    rows = np.sum(truth == label) + np.sum(prediction == label)
    return float(2 * hits / rows) if rows else 0.0


def macro_f1(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean of F1 over the labels that a row has or gets."""
    labels = np.union1d(truth, prediction)
    return float(np.mean([f1(truth, prediction, int(label)) for label in labels]))


def auc(positive: np.ndarray, score: np.ndarray) -> float | None:
    """Return the chance that a positive row scores higher than a negative one. Ties count half.

    None where all rows are of one kind.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    last_ranks = np.cumsum(sizes)
    mean_ranks = last_ranks - (sizes - 1) / 2
    rank_sum = mean_ranks[group][positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def macro_auc(truth: np.ndarray, score: np.ndarray) -> float | None:
    """Return the mean over classes of the AUC of a class against all others.

    Args:
        truth: (N,) labels 0 to C - 1.
        score: N x C.

    Returns:
        None where a class has no row, or all of them.
    """
    total = 0.0
    for label in range(score.shape[1]):
        area = auc(truth == label, score[:, label])
        if area is None:
            return None
        total += area
    return total / score.shape[1]
