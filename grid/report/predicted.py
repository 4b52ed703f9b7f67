"""Read what runs of a setting predict of each sample, where that is a value or a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from echolm.errors import EchoLMError
from echolm.tasks import TASKS, Task
from grid.definition.quantities import target_quantity
from grid.report.content import Run, Setting
from grid.results.columns import places, rows_with
from grid.results.files import opened
from grid.statistics import Rows, Runs, align

SPLIT = "test"
IDS = ("sample", "patient", "split", "target", "slot")
VALUES = ("truth", "prediction", "score")


@dataclass(frozen=True)
class Predicted:
    """What the runs of a setting predict of one target.

    Attributes:
        target: the name of the value.
        slot: its slot, empty where there is one.
        unit: of the value. Empty for classes, or where it is not known.
        runs: columns ``truth`` and ``prediction``, and ``score`` of a classifier.
        classes: the names of the classes. Empty for a value.
    """

    target: str
    slot: str
    unit: str
    runs: Runs
    classes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Target and slot in one line."""
        return " ".join(part for part in (self.target, self.slot) if part)


def task_of(run: Run) -> Task | None:
    """Return the task of a run, from its record, else by its name. None where it is not known."""
    for described in (_recorded_task(run), run.task):
        if not described:
            continue
        try:
            return TASKS.parse(described)
        except (EchoLMError, ValueError):
            continue  # of a plugin that is not here, or a task that needs more than its name
    return None


def predicted(setting: Setting) -> list[Predicted]:
    """Read the predictions of a setting, one for each target and slot.

    Predictions of contours, and those whose seeds have other samples, give nothing.
    """
    paths = {run.seed: run.predictions for run in setting.runs if run.predictions is not None}
    # Runs that differ in the seed alone are of one task, so one of them tells for all.
    first = next(iter(paths.values()), None)
    if first is None or not _holds_values(first):
        return []
    by_target: dict[tuple[str, str], dict[str, Rows]] = {}
    for seed, path in paths.items():
        for key, rows in _rows_by_target(path).items():
            by_target.setdefault(key, {})[seed] = rows
    tasks = (task_of(run) for run in setting.runs if run.predictions is not None)
    task = next((task for task in tasks if task is not None), None)
    found = []
    for (target, slot), rows_by_seed in by_target.items():
        try:
            runs = align(rows_by_seed, setting.name)
        except EchoLMError:
            continue  # the tables say why these seeds are not averaged
        classes = _class_names(runs, task)
        unit = "" if classes else target_quantity(target).unit
        found.append(Predicted(target, slot, unit, runs, classes))
    return found


def _recorded_task(run: Run) -> Mapping[str, Any] | None:
    if run.record is None:
        return None
    try:
        task = run.record.identity()["config"]["task"]
    except (EchoLMError, OSError, KeyError, TypeError):
        return None
    return task if isinstance(task, Mapping) else None


def _holds_values(path: Path) -> bool:
    """Check whether predictions are of one number a row, not of a contour."""
    with opened(path) as file:
        if not {*IDS, *VALUES} <= set(file.schema_arrow.names):
            return False
        rows = file.metadata.num_rows
        return rows > 0 and all(_count(file, name) == rows for name in ("truth", "prediction"))


def _count(file: pq.ParquetFile, name: str) -> int:
    """Return how many numbers a column has, by what its file says of it. Texts are none."""
    kind = file.schema_arrow.field(name).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if not pa.types.is_primitive(kind):
        return 0
    count = 0
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema.partition(".")[0] == name:
                count += column.num_values
    return count


def _rows_by_target(path: Path) -> dict[tuple[str, str], Rows]:
    """Read the test rows of each target and slot."""
    with opened(path) as file:
        table = file.read(columns=[*IDS, *VALUES])
    table = table.take(places(rows_with(table["split"], SPLIT)))
    targets = [name or "" for name in table["target"].to_pylist()]
    slots = [name or "" for name in table["slot"].to_pylist()]
    by_target: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(targets, slots, strict=True)):
        by_target.setdefault(key, []).append(row)
    found = {}
    for key, numbers in by_target.items():
        found[key] = _rows(table.take(places(np.array(numbers))))
    return found


def _rows(table: pa.Table) -> Rows:
    columns = {}
    for name in VALUES:
        values = _numbers(table[name].to_pylist())
        if values is not None:
            columns[name] = values
    patient = np.array(table["patient"].to_pylist(), dtype=str)
    return Rows(patient, columns, np.array(table["sample"].to_pylist(), dtype=str))


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    """Return (N,) or (N, C) numbers. None where a row has none, or rows have other lengths."""
    rows = [value if isinstance(value, list) else [value] for value in values]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or any(None in row for row in rows):
        return None
    numbers = np.array(rows, np.float64)
    return numbers[:, 0] if numbers.shape[1] == 1 else numbers


def _class_names(runs: Runs, task: Task | None) -> tuple[str, ...]:
    """Return the names of the classes, or their numbers where the task is not at hand."""
    score = runs.columns.get("score")
    if score is None:
        return ()
    count = 2 if score.ndim == 2 else score.shape[2]
    names = tuple(getattr(task, "class_names", ()))
    if len(names) == count:
        return names
    return tuple(f"class {number}" for number in range(count))
