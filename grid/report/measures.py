"""Read what is measured of every patient from collected predictions.

These are the per-sample columns that the tasks of a grid describe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from echolm.tasks import Task
from grid.report.content import ReportContent, Setting
from grid.report.predicted import task_of
from grid.results.columns import rows_with
from grid.results.files import read_known_columns

SPLIT = "test"
QUANTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class PatientValues:
    """What a run has of each patient in one slot: the mean over its samples.

    Args:
        patients: ids, as they come in the predictions.
        values: a number for each.
    """

    patients: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class _SlotPatients:
    """Which rows of the predictions are of which patient, in one slot.

    Args:
        rows: the numbers of its rows.
        patients: ids, as they come.
        owners: for each row the number of its patient.
        counts: of each patient the number of its rows.
    """

    slot: str
    rows: np.ndarray
    patients: np.ndarray
    owners: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Measure:
    """A column of predictions with its unit.

    Args:
        higher: whether more is better.
    """

    name: str
    unit: str = ""
    higher: bool = True

    @property
    def heading(self) -> str:
        """Name and unit, as in ``dice (%)``."""
        if self.unit:
            return f"{self.name} ({self.unit})"
        return self.name


@dataclass(frozen=True)
class Distribution:
    """One measure of a setting in one slot.

    Args:
        patients: a value a patient, the mean over its samples, then over seeds.
        seeds: seed -> mean over patients.
    """

    slot: str
    patients: np.ndarray
    seeds: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean over the seeds' means, as the tables have it."""
        return float(np.mean(list(self.seeds.values())))

    @cached_property
    def finite(self) -> np.ndarray:
        """The values that are numbers."""
        return self.patients[np.isfinite(self.patients)]

    @cached_property
    def quantiles(self) -> list[float]:
        """The percentiles ``QUANTILES`` of the values that are numbers. NaN without any."""
        if not len(self.finite):
            return [float("nan")] * len(QUANTILES)
        return np.percentile(self.finite, QUANTILES).tolist()


Distributions = Mapping[str, Mapping[str, Sequence[Distribution]]]
"""Anchor of a setting -> measure -> its distributions by slot."""


def measures(content: ReportContent) -> list[Measure]:
    """Return the measures of the grid's tasks, in the tasks' order.

    A task that is not registered here has none. A measure of which tasks have other units has none.
    """
    tasks: dict[str, Task] = {}
    for setting in content.settings:
        run = next((run for run in setting.runs if run.task), None)
        task = task_of(run) if run else None
        if task is not None:
            tasks.setdefault(task.model_dump_json(), task)
    described: dict[str, Measure] = {}
    for task in tasks.values():
        for name, facts in task.describe().items():
            unit = str(facts.get("unit", ""))
            measure = Measure(name, unit, higher=facts.get("better") != "lower")
            known = described.setdefault(name, measure)
            if known.unit != unit:
                described[name] = replace(known, unit="")
    return list(described.values())


class DistributionReader:
    """Reads distributions, setting after setting.

    It may see the files while tables read them (``grid.tables.predictions.FileWatch``), and then
    reads none of these again.

    Args:
        content: of the report.
    """

    def __init__(self, content: ReportContent) -> None:
        self.measures = measures(content)
        """What is measured."""
        self.names = [measure.name for measure in self.measures]
        self._keys = pa.table({})
        self._slots: list[_SlotPatients] = []
        self._settings: dict[Path, Setting] = {}
        """The setting of each file that was not seen yet."""
        for setting in content.settings:
            for path in _files(setting):
                self._settings[path] = setting
        self._seen: dict[Path, dict[tuple[str, str], PatientValues]] = {}
        """Those of settings of which some file is still to come."""
        self._pooled: dict[str, dict[str, list[Distribution]]] = {}
        """Anchor of a setting -> its distributions."""

    def see(self, path: Path, table: pa.Table) -> None:
        """Take what is needed of a file, unless that was done before."""
        setting = self._settings.pop(path, None)
        if setting is None:
            return
        self._seen[path] = self._averaged(table)
        files = _files(setting)
        if not any(file in self._settings for file in files):
            self._pooled[setting.anchor] = self._pool(setting)

    def read(self, setting: Setting) -> dict[str, list[Distribution]]:
        """Read the distributions of a setting from the test split.

        Returns:
            Measure -> its distributions by slot. Empty without predictions.
        """
        pooled = self._pooled.pop(setting.anchor, None)
        return self._pool(setting) if pooled is None else pooled

    def _pool(self, setting: Setting) -> dict[str, list[Distribution]]:
        """Pool the runs of a setting. Files that were not seen are read."""
        seeds_of_slots: dict[tuple[str, str], dict[str, PatientValues]] = {}
        for run in setting.runs:
            if run.predictions is None:
                continue
            values = self._seen.pop(run.predictions, None)
            if values is None:
                values = self._averaged(self._read(run.predictions))
            for name_and_slot, patients in values.items():
                seeds_of_slots.setdefault(name_and_slot, {})[run.seed] = patients
        by_measure: dict[str, list[Distribution]] = {}
        for (name, slot), seeds in seeds_of_slots.items():
            by_measure.setdefault(name, []).append(_distribution(slot, seeds))
        return by_measure

    def _read(self, path: Path) -> pa.Table:
        """Read what is needed of a file."""
        return read_known_columns(path, ("patient", "split", "slot"), self.names)

    def _averaged(self, table: pa.Table) -> dict[tuple[str, str], PatientValues]:
        """Average the samples of each patient in the test split of a file.

        Returns:
            (measure, slot) -> the means.
        """
        slots = self._slots_of(table)
        averaged = {}
        for name in self.names:
            if name not in table.column_names:
                continue
            column = table[name]
            numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            has_nulls = False
            if column.null_count:
                absent = column.is_null().to_numpy()
                has_nulls = any(absent[slot.rows].any() for slot in slots)
            for slot in slots:
                values = _means(slot, numbers, has_nulls)
                averaged[name, slot.slot] = PatientValues(slot.patients, values)
        return averaged

    def _slots_of(self, table: pa.Table) -> list[_SlotPatients]:
        """Find the patients of each slot in the test split. Runs of one test set share them."""
        keys = table.select(["patient", "split", "slot"])
        if not self._slots or not keys.equals(self._keys):
            self._keys = keys
            self._slots = _slot_patients(keys)
        return self._slots


def _files(setting: Setting) -> list[Path]:
    """Return the predictions of a setting."""
    return [run.predictions for run in setting.runs if run.predictions is not None]


def _slot_patients(keys: pa.Table) -> list[_SlotPatients]:
    """Find which rows of the test split are of which slot and patient."""
    test = rows_with(keys["split"], SPLIT)
    patient = np.array(keys["patient"].to_pylist(), dtype=str)
    slot = np.array([name or "" for name in keys["slot"].to_pylist()], dtype=str)
    slots = []
    for name in dict.fromkeys(slot[test].tolist()):
        rows = test[slot[test] == name]
        distinct, first, owners = np.unique(patient[rows], return_index=True, return_inverse=True)
        order = np.argsort(first)
        places = np.argsort(order)[owners]
        counts = np.bincount(places, minlength=len(distinct))
        slots.append(_SlotPatients(name, rows, distinct[order], places, counts))
    return slots


def _means(slot: _SlotPatients, numbers: np.ndarray, has_nulls: bool) -> np.ndarray:
    """Return the mean of each patient's rows in one slot.

    Args:
        slot: its rows and patients.
        numbers: a number for each row of the file.
        has_nulls: whether some are absent, which do not count.
    """
    values = numbers[slot.rows]
    owners, counts = slot.owners, slot.counts
    patients = len(slot.patients)
    if has_nulls:
        # A null is read as NaN. So is a NaN, which then does not count either.
        owners = owners[~np.isnan(values)]
        values = values[~np.isnan(values)]
        counts = np.bincount(owners, minlength=patients)
    sums = np.bincount(owners, weights=values, minlength=patients)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts)


def _distribution(slot: str, seeds: Mapping[str, PatientValues]) -> Distribution:
    """Pool the values of some seeds."""
    means = {seed: float(np.mean(own.values)) for seed, own in seeds.items()}
    first, *others = seeds.values()
    if all(own.patients is first.patients for own in others):
        pooled = np.stack([own.values for own in seeds.values()]).mean(0)
        return Distribution(slot, pooled, means)
    values_of_patients: dict[str, list[float]] = {}
    for own in seeds.values():
        for patient, value in zip(own.patients.tolist(), own.values.tolist(), strict=True):
            values_of_patients.setdefault(patient, []).append(value)
    pooled = np.array([np.mean(values) for values in values_of_patients.values()])
    return Distribution(slot, pooled, means)
