"""Positive and negative rows: as a classifier has them, or a value that is cut at a threshold.

A classifier's truth is 1 or 0, and its score is higher the surer it is of 1. A value such as EF is
positive when it is ``below`` a threshold. Then a lower prediction is a higher score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.rows import Runs


class Binary(Protocol):
    """A statistic of positive and negative rows."""

    @property
    def label(self) -> str:
        """Its label."""

    @property
    def truth(self) -> str:
        """The column of the truth."""

    @property
    def score(self) -> str:
        """The column of the score."""

    @property
    def prediction(self) -> str:
        """The column of the predicted value, which is read where ``below`` is set."""

    @property
    def below(self) -> float | None:
        """Values below it are positive. None: the truth is 1 or 0."""


@dataclass(frozen=True)
class BinaryRows:
    """The rows of S runs.

    Attributes:
        positive: (S, N), whether a row is positive.
        score: (S, N), higher for rows that are taken for positive.
        missing: (S, N), whether truth or score is NaN.
    """

    positive: np.ndarray
    score: np.ndarray
    missing: np.ndarray


def columns_read(one: Binary) -> tuple[str, ...]:
    """Return the columns that a statistic of positive and negative rows reads."""
    return one.truth, one.score if one.below is None else one.prediction


def binary_rows(one: Binary, runs: Runs) -> BinaryRows:
    """Return which rows are positive, and their scores.

    Raises:
        EchoLMError: the labels are not 0 and 1, or there are several scores a row.
    """
    truth = runs.column(one.truth)
    if one.below is not None:
        prediction = runs.column(one.prediction)
        missing = np.isnan(truth) | np.isnan(prediction)
        return BinaryRows(truth < one.below, -prediction, missing)
    score = runs.column(one.score)
    if score.ndim > 2:
        raise EchoLMError(
            f"{runs.name}: column {one.score!r} has {score.shape[2]} scores a row; "
            f"{one.label} takes one{_for_several(one.label)}"
        )
    labels = set(np.unique(truth[~np.isnan(truth)]))
    if not labels <= {0.0, 1.0}:
        raise EchoLMError(
            f"{runs.name}: column {one.truth!r} of {one.label} has values other than 0 and 1"
        )
    return BinaryRows(truth == 1, score, np.isnan(truth) | np.isnan(score))


def _for_several(label: str) -> str:
    return ": use macro auc" if label == "auc" else ", of a task of two classes"
