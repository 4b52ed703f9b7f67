"""Sensitivity and specificity at a named threshold, and the area under precision and recall."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.base import Additive, General, Rowwise
from grid.statistics.binary import binary_rows, columns_read
from grid.statistics.bounds import SHARE
from grid.statistics.rows import Runs


class _RateAtThreshold(Additive):
    """A share of the rows of one class, at a threshold.

    A row is called positive when its score is at least ``at``. With ``below``, truth and prediction
    are values (EF in %), and a row is positive when its value is below. Then ``at`` may name
    another threshold for the prediction.
    """

    at: float | None
    below: float | None
    truth: str
    score: str
    prediction: str

    def __post_init__(self) -> None:
        if self.at is None and self.below is None:
            raise EchoLMError(
                f"{self.label} is at a threshold: add options {{at: 0.5}} for a score, or "
                "{below: 50} for a value such as EF"
            )

    @property
    def title(self) -> str:
        """``sensitivity at 0.5``, ``sensitivity below 50``, ``... below 50 at 45``."""
        words = [self.label]
        if self.below is not None:
            words.append(f"below {self.below:g}")
        if self.at is not None:
            words.append(f"at {self.at:g}")
        return " ".join(words)

    @property
    def reads(self) -> tuple[str, ...]:
        """The truth, and the score or the predicted value."""
        return columns_read(self)

    @abstractmethod
    def _counted(self, positive: np.ndarray, called: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows are right, and which are asked about."""

    def columns(self, runs: Runs) -> np.ndarray:
        """Return which rows of the class are right, and which are of it. NaN stays."""
        rows = binary_rows(self, runs)
        if self.below is None:
            called = rows.score >= self.at
        else:
            called = -rows.score < (self.below if self.at is None else self.at)
        counts = np.stack(self._counted(rows.positive, called), -1).astype(np.float64)
        counts[rows.missing] = np.nan
        return counts

    def finish(self, sums: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return the share, NaN without a row of the class."""
        right, of_class = np.moveaxis(sums, -1, 0)
        return right / np.where(of_class == 0, np.nan, of_class)


@dataclass(frozen=True)
class Sensitivity(_RateAtThreshold):
    """Share of the positive rows that are called positive, at a threshold ``at`` or ``below``."""

    label = "sensitivity"
    better = "higher"
    bounds = SHARE
    at: float | None = None
    below: float | None = None
    truth: str = "truth"
    score: str = "score"
    prediction: str = "prediction"

    def _counted(self, positive: np.ndarray, called: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return positive & called, positive


@dataclass(frozen=True)
class Specificity(_RateAtThreshold):
    """Share of the negative rows that are called negative, at a threshold ``at`` or ``below``."""

    label = "specificity"
    better = "higher"
    bounds = SHARE
    at: float | None = None
    below: float | None = None
    truth: str = "truth"
    score: str = "score"
    prediction: str = "prediction"

    def _counted(self, positive: np.ndarray, called: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ~positive & ~called, ~positive


@dataclass(frozen=True)
class Auprc(General):
    """Area under precision and recall, as average precision: the mean precision at each positive.

    It is scikit-learn's ``average_precision_score``, without interpolation. Rows of one score are
    taken together. With ``below``, rows whose value is below it are positive. NaN without a
    positive row.
    """

    label = "auprc"
    better = "higher"
    bounds = SHARE
    truth: str = "truth"
    score: str = "score"
    prediction: str = "prediction"
    below: float | None = None

    @property
    def title(self) -> str:
        """``auprc``, or ``auprc below 50``."""
        return self.label if self.below is None else f"{self.label} below {self.below:g}"

    @property
    def reads(self) -> tuple[str, ...]:
        """The truth, and the score or the predicted value."""
        return columns_read(self)

    def rowwise(self, runs: Runs, seed: int) -> Rowwise:
        """Sort once. Each set of weights then takes two cumulative sums."""
        rows = binary_rows(self, runs)
        if rows.missing[seed].any():
            return _undefined
        score = rows.score[seed]
        order = np.argsort(-score, kind="stable")
        ordered_score = score[order]
        starts = np.flatnonzero(np.append(True, ordered_score[1:] != ordered_score[:-1]))
        is_positive = rows.positive[seed][order]

        def average_precision(weights: np.ndarray) -> np.ndarray:
            ordered = weights[:, order]
            up = np.add.reduceat(ordered * is_positive, starts, axis=1)
            all_rows = np.cumsum(np.add.reduceat(ordered, starts, axis=1), axis=1)
            # Before the first weighted row there is no precision, and no positive either.
            precision = np.cumsum(up, axis=1) / np.where(all_rows > 0, all_rows, 1)
            return (up * precision).sum(1) / up.sum(1)

        return average_precision


def _undefined(weights: np.ndarray) -> np.ndarray:
    return np.full(len(weights), np.nan)
