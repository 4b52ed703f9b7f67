"""The rows that a statistic reads: one run's, and those of all runs of a table value aligned sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from echolm.errors import EchoLMError

Unit = Literal["patient", "sample"]
"""What weighs the same: every patient (rows of a patient share its weight), or every row."""

SHOWN = 3
"""Ids that an error names."""


@dataclass(frozen=True)
class Rows:
    """The test rows of one run, N of them: of one target and slot, so that every sample has one row.

    ``patient`` (N,): patient id of each row. ``columns``: name -> (N,) or (N, C) numbers, such as ``dice``, ``truth``,
    ``prediction``, ``score``. ``sample`` (N,): sample ids, distinct; left out: every patient has one row.
    """

    patient: np.ndarray
    columns: Mapping[str, np.ndarray]
    sample: np.ndarray | None = None


@dataclass(frozen=True)
class Runs:
    """S runs of one table value, which differ in their seed alone, aligned: all seeds have the same N samples.

    Rows stand sorted by patient, then sample. ``patients`` (P,) and ``samples`` (N,) are ids; ``owner`` (N,) is the
    place in ``patients`` of each row; ``weights`` (N,) what a row weighs before any resampling; ``columns``: name ->
    (S, N) or (S, N, C), float64.
    """

    name: str
    seeds: tuple[str, ...]
    patients: np.ndarray
    samples: np.ndarray
    owner: np.ndarray
    weights: np.ndarray
    columns: Mapping[str, np.ndarray]

    def column(self, name: str) -> np.ndarray:
        """A column of all runs, (S, N) or (S, N, C); EchoLMError when there is none of this name."""
        if name not in self.columns:
            raise EchoLMError(f"{self.name}: has no column {name!r}; it has {', '.join(self.columns)}")
        return self.columns[name]

    def with_columns(self, **columns: np.ndarray) -> Runs:
        """The same runs with further columns, (S, N) or (S, N, C)."""
        return replace(self, columns={**self.columns, **columns})

    def patient_sums(self, values: np.ndarray) -> np.ndarray:
        """Weighted sums within patients: (S, N, k) -> (S, P, k)."""
        if len(self.owner) == len(self.patients):
            return values if (self.weights == 1).all() else values * self.weights[:, None]
        starts = np.searchsorted(self.owner, np.arange(len(self.patients)))
        return np.add.reduceat(values * self.weights[:, None], starts, axis=1)

    @property
    def patient_weights(self) -> np.ndarray:
        """What each patient weighs before any resampling, (P,): 1, or its number of rows."""
        return np.bincount(self.owner, weights=self.weights)


def align(runs: Mapping[str, Rows], name: str = "value", unit: Unit = "patient") -> Runs:
    """The runs of one table value (seed -> rows), aligned by sample id.

    EchoLMError, naming the value (``name``), the seed and the ids, for no run, no row, a sample twice in a run, samples
    that another seed lacks, another patient for a sample, another number of columns, or lengths that do not fit.
    A NaN stays a NaN.
    """
    if not runs:
        raise EchoLMError(f"{name}: no run is there; a statistic needs at least one seed")
    ordered = {seed: _sorted(f"{name}, seed {seed}", rows) for seed, rows in runs.items()}
    first_seed, (patient, sample, columns) = next(iter(ordered.items()))
    for seed, (other_patient, other_sample, other) in ordered.items():
        _same_samples(name, (first_seed, patient, sample), (seed, other_patient, other_sample))
        if {key: column.shape for key, column in other.items()} != {key: column.shape for key, column in columns.items()}:
            raise EchoLMError(f"{name}: seed {seed} has columns {_shapes(other)}, seed {first_seed} {_shapes(columns)}")
    patients, owner, counts = np.unique(patient, return_inverse=True, return_counts=True)
    weights = 1.0 / counts[owner] if unit == "patient" else np.ones(len(owner))
    stacked = {key: np.stack([ordered[seed][2][key] for seed in ordered]) for key in columns}
    return Runs(name, tuple(ordered), patients, sample, owner, weights, stacked)


def same_patients(first: Runs, second: Runs) -> None:
    """EchoLMError, naming ids, unless both have the same patients: only then can they be paired."""
    if not np.array_equal(first.patients, second.patients):
        names = first.name, second.name
        raise EchoLMError(f"{_differ(names, first.patients, second.patients, 'patients')}; only values of one test set can be compared")


def _sorted(where: str, rows: Rows) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Patients, samples and columns in the order of (patient, sample)."""
    patient = np.asarray(rows.patient).astype(str)
    sample = patient if rows.sample is None else np.asarray(rows.sample).astype(str)
    columns = {key: np.asarray(column, np.float64) for key, column in rows.columns.items()}
    lengths = {"patient": len(patient), "sample": len(sample)} | {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise EchoLMError(f"{where}: columns of unequal length: {', '.join(f'{key} {n}' for key, n in lengths.items())}")
    if not len(patient):
        raise EchoLMError(f"{where}: has no row; a statistic needs at least one patient")
    distinct, counts = np.unique(sample, return_counts=True)
    if (counts > 1).any():
        what = "patient" if rows.sample is None else "sample"
        hint = "; rows of one patient need sample ids" if rows.sample is None else "; choose one target and one slot"
        raise EchoLMError(f"{where}: {what} {_some(distinct[counts > 1])} is there more than once{hint}")
    order = np.lexsort((sample, patient))
    return patient[order], sample[order], {key: column[order] for key, column in columns.items()}


def _same_samples(name: str, first: tuple[str, np.ndarray, np.ndarray], second: tuple[str, np.ndarray, np.ndarray]) -> None:
    seeds = f"seed {first[0]}", f"seed {second[0]}"
    if set(first[2]) != set(second[2]):
        raise EchoLMError(f"{name}: {_differ(seeds, first[2], second[2], 'samples')}; average only runs of one store")
    own, other = dict(zip(first[2], first[1], strict=True)), dict(zip(second[2], second[1], strict=True))
    if wrong := [sample for sample in own if own[sample] != other[sample]]:
        example = f"sample {wrong[0]} is of patient {own[wrong[0]]} in {seeds[0]} and of patient {other[wrong[0]]} in {seeds[1]}"
        raise EchoLMError(f"{name}: {example}; average only runs of one store")


def _differ(names: tuple[str, str], first: np.ndarray, second: np.ndarray, what: str) -> str:
    """``a has 2 samples that b lacks (p1, p2)``, for the side that has more of them."""
    extra, lacking = np.setdiff1d(first, second), np.setdiff1d(second, first)
    if len(extra) >= len(lacking):
        return f"{names[0]} has {len(extra)} {what} that {names[1]} lacks ({_some(extra)})"
    return f"{names[1]} has {len(lacking)} {what} that {names[0]} lacks ({_some(lacking)})"


def _some(ids: np.ndarray) -> str:
    shown = ", ".join(str(one) for one in ids[:SHOWN])
    return f"{shown}, ..." if len(ids) > SHOWN else shown


def _shapes(columns: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{key} {'x'.join(str(n) for n in column.shape)}" for key, column in columns.items())
