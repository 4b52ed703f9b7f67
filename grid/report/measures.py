"""What is measured of every patient: the per-sample columns that a grid's tasks describe, from collected predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from echolm.errors import EchoLMError
from echolm.tasks import TASKS
from grid.report.content import Content, Run, Setting
from grid.tables.results import column_names, read_columns

SPLIT = "test"


@dataclass(frozen=True)
class Measure:
    """A column of predictions with its unit; ``higher``: whether more is better."""

    name: str
    unit: str = ""
    higher: bool = True

    @property
    def heading(self) -> str:
        """``dice (%)``."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Distribution:
    """One measure of a setting in one slot: a value a patient (mean over its samples, then over seeds), and a mean a seed
    (over patients)."""

    slot: str
    patients: np.ndarray
    seeds: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Over the seeds' means, as the tables have it."""
        return float(np.mean(list(self.seeds.values())))


def measures(content: Content) -> list[Measure]:
    """The measures of the grid's tasks, in the tasks' order; none for a task that is not registered here."""
    found: dict[str, Measure] = {}
    for name in dict.fromkeys(run.task for run in content.runs if run.task):
        try:
            described = TASKS.parse(name).describe()
        except EchoLMError:
            continue
        for key, facts in described.items():
            found.setdefault(key, Measure(key, str(facts.get("unit", "")), facts.get("better") != "lower"))
    return list(found.values())


def distributions(setting: Setting, wanted: Iterable[Measure]) -> dict[str, list[Distribution]]:
    """Measure -> its distributions by slot, from the test split; {} without predictions."""
    by_seed: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for run in setting.runs:
        for place, patients in _patients(run, [measure.name for measure in wanted]).items():
            by_seed.setdefault(place, {})[run.seed] = patients
    found: dict[str, list[Distribution]] = {}
    for (name, slot), seeds in by_seed.items():
        pooled: dict[str, list[float]] = {}
        for patients in seeds.values():
            for patient, value in patients.items():
                pooled.setdefault(patient, []).append(value)
        means = {seed: float(np.mean(list(patients.values()))) for seed, patients in seeds.items()}
        found.setdefault(name, []).append(Distribution(slot, np.array([np.mean(own) for own in pooled.values()]), means))
    return found


def _patients(run: Run, names: list[str]) -> dict[tuple[str, str], dict[str, float]]:
    """(measure, slot) -> patient -> mean over its samples."""
    if run.predictions is None:
        return {}
    columns = column_names(run.predictions)
    there = [name for name in names if name in columns]
    table = read_columns(run.predictions, ["patient", "split", "slot", *there])
    table = table.filter(pc.equal(table["split"], SPLIT))
    found: dict[tuple[str, str], dict[str, float]] = {}
    for name in there:
        means = pa.table({"patient": table["patient"], "slot": table["slot"], "value": table[name].cast(pa.float64())})
        means = means.group_by(["patient", "slot"], use_threads=False).aggregate([("value", "mean")])
        for row in means.to_pylist():
            found.setdefault((name, row["slot"] or ""), {})[row["patient"]] = row["value_mean"]
    return found
