"""Rows for the statistics' tests: generated rows, and crossed values with known variances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grid.statistics import Rows, Runs, align

CLASSES = 3


def ids(patients: int) -> np.ndarray:
    return np.array([f"p{number:04d}" for number in range(patients)])


def rows(
    random: np.random.Generator, patients: int = 30, clips: int = 1, ties: bool = False
) -> Rows:
    """Every column a statistic may ask for, of EF-like numbers; up to ``clips`` samples a patient.

    ``truth`` and ``prediction`` are EF in %; ``label`` (0/1: EF below the median), ``guess``,
    ``score`` and ``chance`` (a probability) are of a classifier, ``grade`` (0 to 2), ``graded`` and
    ``scores`` (three a row) of another.
    """
    patient = np.repeat(ids(patients), random.integers(1, clips + 1, patients))
    count = len(patient)
    truth = random.normal(55, 12, count)
    truth = np.round(truth, -1) if ties else truth
    prediction = truth + random.normal(-1, 6, count)
    prediction = np.round(prediction, -1) if ties else prediction
    label = (truth < np.median(truth)).astype(float)
    label[:2] = 0, 1
    grade = random.integers(0, CLASSES, count).astype(float)
    grade[:CLASSES] = range(CLASSES)
    scores = random.dirichlet(np.ones(CLASSES), count) + 0.3 * np.eye(CLASSES)[grade.astype(int)]
    scores = scores / scores.sum(1, keepdims=True)
    scores = np.round(scores, 1) if ties else scores
    area = random.uniform(500, 1500, (2, count))
    chance = 1 / (1 + np.exp((prediction - 52) / 12))
    columns = {
        "truth": truth,
        "prediction": prediction,
        "dice": random.normal(90, 4, count),
        "label": label,
        "score": -prediction,
        "chance": np.round(chance, 1) if ties else chance,
        "guess": (prediction < 50).astype(float),
        "grade": grade,
        "graded": scores.argmax(1).astype(float),
        "scores": scores,
        "intersection": area.min(0) * 0.9,
        "area_truth": area[0],
        "area_prediction": area[1],
    }
    return Rows(
        patient, columns, np.array([f"s{number:05d}" for number in random.permutation(count)])
    )


def runs(
    seeds: int = 1,
    patients: int = 30,
    clips: int = 1,
    key: int = 0,
    ties: bool = False,
    name: str = "value",
) -> Runs:
    """Aligned runs whose seeds have the same truth and other predictions."""
    first = rows(np.random.default_rng(key), patients, clips, ties)
    by_seed = {"0": first}
    for seed in range(1, seeds):
        random = np.random.default_rng([key, seed])
        noise = random.normal(0, 3, len(first.patient))
        changed = {
            **first.columns,
            "prediction": first.columns["prediction"] + noise,
            "dice": first.columns["dice"] + noise,
        }
        by_seed[str(seed)] = Rows(
            first.patient, {**changed, "score": -changed["prediction"]}, first.sample
        )
    return align(by_seed, name)


def value(table: np.ndarray, name: str = "value") -> Runs:
    """One row a patient from values (S, P), in the column ``dice``."""
    return align(
        {str(seed): Rows(ids(table.shape[1]), {"dice": own}) for seed, own in enumerate(table)},
        name,
    )


def model(
    random: np.random.Generator,
    count: int,
    seeds: int,
    patients: int,
    seed_variance: float,
    patient_variance: float,
    noise: float,
) -> np.ndarray:
    """``count`` tables (S, P) of 0 + seed + patient + noise with these variances, (count, S, P)."""
    return (
        random.normal(0, seed_variance**0.5, (count, seeds, 1))
        + random.normal(0, patient_variance**0.5, (count, 1, patients))
        + random.normal(0, noise**0.5, (count, seeds, patients))
    )


def with_columns(values: Runs, **columns: np.ndarray) -> Runs:
    """The same runs with further columns, (S, N) or (S, N, C)."""
    return replace(values, columns={**values.columns, **columns})
