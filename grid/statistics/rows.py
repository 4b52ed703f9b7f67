"""The rows that a statistic reads: one run's, and all runs' of a value, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NoReturn

import numpy as np

from echolm.errors import EchoLMError

Unit = Literal["patient", "sample"]
"""What weighs the same: every patient (rows of a patient share its weight), or every row."""

SHOWN = 3
"""Ids that an error names."""


@dataclass(frozen=True, eq=False)
class SampleOrder:
    """The N samples of a run, sorted by patient, then sample.

    Runs of one test set may share it: then they are sorted and checked once, and held once.

    Attributes:
        order: (N,), for each sorted row its index among the rows as they were read.
        patient: (N,), the patient of each sorted row.
        sample: (N,), the sample of each sorted row.
        patients: (P,), ids.
        owner: (N,), the index in ``patients`` of each sorted row.
        counts: (P,), how many rows each patient has.
        repeated: ids of samples that are there more than once.
    """

    order: np.ndarray
    patient: np.ndarray
    sample: np.ndarray
    patients: np.ndarray
    owner: np.ndarray
    counts: np.ndarray
    repeated: np.ndarray

    @classmethod
    def of(cls, patient: np.ndarray, sample: np.ndarray) -> SampleOrder:
        """Sort samples. Both arrays are (N,) of text."""
        distinct, times = np.unique(sample, return_counts=True)
        order = np.lexsort((sample, patient))
        patients, owner, counts = np.unique(patient[order], return_inverse=True, return_counts=True)
        return cls(
            order=order,
            patient=patient[order],
            sample=sample[order],
            patients=patients,
            owner=owner,
            counts=counts,
            repeated=distinct[times > 1],
        )

    def weights(self, unit: Unit) -> np.ndarray:
        """Return what each row weighs before any resampling, (N,)."""
        return self._by_patient if unit == "patient" else self._by_sample

    @cached_property
    def _by_patient(self) -> np.ndarray:
        return 1.0 / self.counts[self.owner]

    @cached_property
    def _by_sample(self) -> np.ndarray:
        return np.ones(len(self.owner))


@dataclass(frozen=True)
class Rows:
    """The test rows of one run, N of them: of one target and slot, one row a sample.

    Attributes:
        patient: (N,), the patient id of each row.
        columns: name -> (N,) or (N, C) numbers, such as ``dice``, ``truth``, ``prediction``,
            ``score``.
        sample: (N,), sample ids, distinct. Without it every patient has one row.
        order: the order of patients and samples, where it is known already.
    """

    patient: np.ndarray
    columns: Mapping[str, np.ndarray]
    sample: np.ndarray | None = None
    order: SampleOrder | None = None


@dataclass(frozen=True)
class Runs:
    """S runs of one table value, aligned: they differ in their seed alone.

    All have the same N samples. Rows stand sorted by patient, then sample.

    Attributes:
        name: of the value, for messages.
        seeds: their names.
        patients: (P,), ids.
        samples: (N,), ids.
        owner: (N,), the index in ``patients`` of each row.
        weights: (N,), what a row weighs before any resampling.
        columns: name -> (S, N) or (S, N, C), float64.
        truth: names the true values of the samples, where other values have other ones for the
            same samples. Empty where nothing is known of that.
    """

    name: str
    seeds: tuple[str, ...]
    patients: np.ndarray
    samples: np.ndarray
    owner: np.ndarray
    weights: np.ndarray
    columns: Mapping[str, np.ndarray]
    truth: str = ""

    def column(self, name: str) -> np.ndarray:
        """Return a column of all runs, (S, N) or (S, N, C).

        Raises:
            EchoLMError: there is none of this name.
        """
        if name not in self.columns:
            raise EchoLMError(
                f"{self.name}: has no column {name!r}; it has {', '.join(self.columns)}"
            )
        return self.columns[name]

    def patient_sums(self, values: np.ndarray) -> np.ndarray:
        """Return weighted sums within patients: (S, N, k) -> (S, P, k)."""
        present = np.unique(self.owner)
        one_row_each = len(self.owner) == len(self.patients) == len(present)
        if one_row_each and (self.weights == 1).all():
            return values
        weighted = values * self.weights[:, None]
        if one_row_each:
            return weighted
        starts = np.searchsorted(self.owner, present)
        sums = np.add.reduceat(weighted, starts, axis=1)
        if len(present) == len(self.patients):
            return sums
        of_all = np.zeros((len(sums), len(self.patients), sums.shape[2]))
        of_all[:, present] = sums
        return of_all

    @property
    def patient_weights(self) -> np.ndarray:
        """What each patient weighs before any resampling, (P,): 1, or its number of rows.

        It is 0 for one without a row (see ``among``).
        """
        return np.bincount(self.owner, weights=self.weights, minlength=len(self.patients))

    def among(self, patients: np.ndarray) -> Runs:
        """Return these rows among more patients, who have none. Statistics leave these out.

        So values of different subgroups can share resamples of all patients.

        Args:
            patients: sorted ids, those of the rows among them.
        """
        positions = np.searchsorted(patients, self.patients)
        return replace(self, patients=patients, owner=positions[self.owner])


@dataclass(frozen=True)
class _SortedRows:
    """The rows of one run in the order of (patient, sample). ``seed``: its seed, for messages."""

    seed: str
    order: SampleOrder
    columns: Mapping[str, np.ndarray]

    @property
    def patient(self) -> np.ndarray:
        """The patient of each row."""
        return self.order.patient

    @property
    def sample(self) -> np.ndarray:
        """The sample of each row."""
        return self.order.sample

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Column -> its shape."""
        return {name: column.shape for name, column in self.columns.items()}


def align(runs: Mapping[str, Rows], name: str = "value", unit: Unit = "patient") -> Runs:
    """Align the runs of one table value by sample id. A NaN stays a NaN.

    Args:
        runs: seed -> rows.
        name: of the value, for messages.
        unit: what weighs the same.

    Raises:
        EchoLMError: no run, no row, a sample twice in a run, samples that another seed lacks,
            another patient for a sample, another number of columns, or lengths that do not fit. It
            names the value, the seed and the ids.
    """
    if not runs:
        raise EchoLMError(f"{name}: no run is there; a statistic needs at least one seed")
    all_rows = [_sorted(name, seed, rows) for seed, rows in runs.items()]
    first = all_rows[0]
    for rows in all_rows:
        _check_same_samples(name, first, rows)
        if rows.shapes != first.shapes:
            raise EchoLMError(
                f"{name}: seed {rows.seed} has columns {_shapes_text(rows)}, "
                f"seed {first.seed} {_shapes_text(first)}"
            )
    columns = {}
    for column in first.columns:
        columns[column] = np.stack([rows.columns[column] for rows in all_rows])
    order = first.order
    return Runs(
        name=name,
        seeds=tuple(runs),
        patients=order.patients,
        samples=order.sample,
        owner=order.owner,
        weights=order.weights(unit),
        columns=columns,
    )


ONE_TEST_SET = "only values of one test set can be compared"


def same_patients(first: Runs, second: Runs) -> None:
    """Check that both have the same patients: only then can they share resamples.

    Raises:
        EchoLMError: they have not. It names ids.
    """
    if not np.array_equal(first.patients, second.patients):
        raise EchoLMError(f"{why_not_paired(first, second)}; {ONE_TEST_SET}")


def same_test_set(first: Runs, second: Runs) -> None:
    """Check that both have the same patients with the same truth: only then can they be paired.

    Raises:
        EchoLMError: they have not. It names ids, or the data.
    """
    reason = why_not_paired(first, second)
    if reason:
        raise EchoLMError(f"{reason}; {ONE_TEST_SET}")


def why_not_paired(first: Runs, second: Runs) -> str:
    """Return why two values cannot be paired by patient, or '' where they can."""
    if not np.array_equal(first.patients, second.patients):
        names = first.name, second.name
        return _difference(names, first.patients, second.patients, "patients")
    if first.truth and second.truth and first.truth != second.truth:
        return (
            f"{first.name} and {second.name}: the same patients have other true values "
            f"({first.truth}, and {second.truth})"
        )
    return ""


def _sorted(name: str, seed: str, rows: Rows) -> _SortedRows:
    """Check the rows of one run, and sort them."""
    where = f"{name}, seed {seed}"
    columns = {key: np.asarray(column, np.float64) for key, column in rows.columns.items()}
    order = rows.order
    if order is None:
        patient = np.asarray(rows.patient).astype(str)
        sample = patient
        if rows.sample is not None:
            sample = np.asarray(rows.sample).astype(str)
        _check_lengths(where, {"patient": len(patient), "sample": len(sample)}, columns)
        order = SampleOrder.of(patient, sample)
    else:
        length = len(order.order)
        _check_lengths(where, {"patient": length, "sample": length}, columns)
    if not len(order.order):
        raise EchoLMError(f"{where}: has no row; a statistic needs at least one patient")
    if len(order.repeated):
        _refuse_repeated(where, order.repeated, by_patient=rows.sample is None)
    ordered = {key: column[order.order] for key, column in columns.items()}
    return _SortedRows(seed, order, ordered)


def _check_lengths(where: str, ids: Mapping[str, int], columns: Mapping[str, np.ndarray]) -> None:
    lengths = dict(ids)
    for key, column in columns.items():
        lengths[key] = len(column)
    if len(set(lengths.values())) > 1:
        lengths_text = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise EchoLMError(f"{where}: columns of unequal length: {lengths_text}")


def _refuse_repeated(where: str, repeated: np.ndarray, by_patient: bool) -> NoReturn:
    what, hint = "sample", "choose one target and one slot"
    if by_patient:
        what, hint = "patient", "rows of one patient need sample ids"
    raise EchoLMError(f"{where}: {what} {_some(repeated)} is there more than once; {hint}")


def _check_same_samples(name: str, first: _SortedRows, second: _SortedRows) -> None:
    if second.order is first.order:
        return
    seeds = f"seed {first.seed}", f"seed {second.seed}"
    if set(first.sample) != set(second.sample):
        difference = _difference(seeds, first.sample, second.sample, "samples")
        raise EchoLMError(f"{name}: {difference}; average only runs of one store")
    patient_of = dict(zip(second.sample, second.patient, strict=True))
    for sample, patient in zip(first.sample, first.patient, strict=True):
        if patient_of[sample] != patient:
            raise EchoLMError(
                f"{name}: sample {sample} is of patient {patient} in {seeds[0]} and of patient "
                f"{patient_of[sample]} in {seeds[1]}; average only runs of one store"
            )


def _difference(names: tuple[str, str], first: np.ndarray, second: np.ndarray, what: str) -> str:
    """Return ``a has 2 samples that b lacks (p1, p2)``, for the side that has more of them."""
    extra = np.setdiff1d(first, second)
    lacking = np.setdiff1d(second, first)
    if len(extra) >= len(lacking):
        return f"{names[0]} has {len(extra)} {what} that {names[1]} lacks ({_some(extra)})"
    return f"{names[1]} has {len(lacking)} {what} that {names[0]} lacks ({_some(lacking)})"


def _some(ids: np.ndarray) -> str:
    shown = ", ".join(str(one) for one in ids[:SHOWN])
    return f"{shown}, ..." if len(ids) > SHOWN else shown


def _shapes_text(rows: _SortedRows) -> str:
    texts = []
    for name, shape in rows.shapes.items():
        texts.append(f"{name} {'x'.join(str(length) for length in shape)}")
    return ", ".join(texts)
