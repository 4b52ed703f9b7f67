"""Rows of samples turned into rows of studies, for columns with ``unit: study``.

Numbers are averaged over the samples of a study before any error is taken. So are the scores of a
classifier, and its class is that of the mean score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError

TRUTH, PREDICTION, SCORE = "truth", "prediction", "score"


@dataclass(frozen=True)
class StudyRows:
    """Rows of studies.

    Attributes:
        study: ids.
        patient: whose they are.
        columns: name -> numbers.
    """

    study: np.ndarray
    patient: np.ndarray
    columns: Mapping[str, np.ndarray]


def by_study(
    study: Sequence[str | None],
    patient: np.ndarray,
    columns: Mapping[str, np.ndarray],
    where: str,
) -> StudyRows:
    """Average rows over studies.

    Args:
        study: of each row.
        patient: of each row.
        columns: name -> (N,) or (N, C). With a column ``score`` that holds numbers, ``truth`` and
            ``prediction`` are classes.
        where: names the column of the table, in errors.

    Raises:
        EchoLMError: a row has no study, a study is of two patients, or its samples have other true
            classes.
    """
    if any(not name for name in study):
        raise EchoLMError(
            f"{where}: unit: study needs to know the study of each sample, and the predictions do "
            "not say it: the dataset names none. Leave unit out"
        )
    names, owner = np.unique(np.array(study, dtype=str), return_inverse=True)
    first = np.zeros(len(names), np.int64)
    first[owner[::-1]] = np.arange(len(owner))[::-1]
    patients = patient[first]
    _check_one(names, owner, patient == patients[owner], "patients", where)
    counts = np.bincount(owner)
    means = {}
    for name, values in columns.items():
        means[name] = _means(values, owner, counts)
    score = means.get(SCORE)
    if score is not None and not np.isnan(score).all():
        if TRUTH in columns:
            truth = columns[TRUTH][first]
            same = (columns[TRUTH] == truth[owner]) | np.isnan(columns[TRUTH])
            _check_one(names, owner, same, "true classes", where)
        if PREDICTION in columns:
            means[PREDICTION] = _class_of(score, means[PREDICTION])
    return StudyRows(names, patients, means)


def _means(values: np.ndarray, owner: np.ndarray, counts: np.ndarray) -> np.ndarray:
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, owner, values)
    return sums / counts.reshape(-1, *[1] * (values.ndim - 1))


def _class_of(score: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the likeliest class by scores. Equal ones give the first, as a task does."""
    if score.ndim == 1:
        classes = (score > 0.5).astype(np.float64)
        unknown = np.isnan(score)
    else:
        classes = score.argmax(1).astype(np.float64)
        unknown = np.isnan(score).any(1)
    return np.where(unknown | np.isnan(predicted), np.nan, classes)


def _check_one(
    names: np.ndarray, owner: np.ndarray, same: np.ndarray, what: str, where: str
) -> None:
    if same.all():
        return
    study = names[owner[np.flatnonzero(~same)[0]]]
    raise EchoLMError(f"{where}: study {study} has samples of different {what}")
