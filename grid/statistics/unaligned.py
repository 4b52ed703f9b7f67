"""Mean and spread of a table cell from per-sample values, one set of values a seed.

The unit of observation is the patient: several rows of one patient (several clips) are averaged within the patient
first. Two kinds of spread exist and are never mixed: over patients (the ± of NLDL 2026 Tables 2-4, there over test
samples) and over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

OVER_PATIENTS = "standard deviation over patients (ddof 1) within each seed, averaged over seeds"
OVER_SEEDS = "standard deviation over seeds (ddof 1) of the mean over patients"

Values = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Seed -> (patient of each row, value of each row)."""


@dataclass(frozen=True)
class Spread:
    """A mean with a spread whose kind is named.

    ``spread`` is None where it does not exist (one patient, or one seed); ``patients`` counts distinct patients over
    all seeds. A NaN among the values makes both NaN: it is not left out.
    """

    mean: float
    spread: float | None
    kind: str
    patients: int
    seeds: int


def patient_means(patients: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One value per distinct patient, the mean of its rows, in sorted order of the patients."""
    _, index, counts = np.unique(patients, return_inverse=True, return_counts=True)
    return np.bincount(index, weights=np.asarray(values, np.float64)) / counts


def std_over_patients(values: Values) -> Spread:
    """Mean over seeds of the mean over patients ± mean over seeds of the sample standard deviation over patients.

    ddof is 1. ValueError without a seed or with a seed that has no rows.
    """
    within = _within(values)
    spread = None
    if all(len(means) > 1 for means in within):
        spread = float(np.mean([means.std(ddof=1) for means in within]))
    return Spread(_mean(within), spread, OVER_PATIENTS, _patients(values), len(within))


def std_over_seeds(values: Values) -> Spread:
    """Mean over seeds of the mean over patients ± sample standard deviation (ddof 1) of the per-seed means.

    With one seed the spread is absent. ValueError as for ``std_over_patients``.
    """
    within = _within(values)
    spread = float(np.std([means.mean() for means in within], ddof=1)) if len(within) > 1 else None
    return Spread(_mean(within), spread, OVER_SEEDS, _patients(values), len(within))


def _within(values: Values) -> list[np.ndarray]:
    if not values or any(len(rows) == 0 for _, rows in values.values()):
        raise ValueError("a spread needs at least one seed, and at least one row for each seed")
    return [patient_means(patients, rows) for patients, rows in values.values()]


def _mean(within: list[np.ndarray]) -> float:
    return float(np.mean([means.mean() for means in within]))


def _patients(values: Values) -> int:
    return len(np.unique(np.concatenate([patients for patients, _ in values.values()])))
