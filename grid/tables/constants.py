"""The constant prediction: what a network reaches that never looks at an image.

It predicts the same for every sample, as the head ``mean`` does: the mean of the training targets,
or the shares of their classes. It is fitted without being asked, once for each store, task and
subset of the training data, from the store alone: no frame is read and nothing is trained. What it
predicts for the test samples lies beside the results, in ``constant/KEY.parquet``, in the form of a
run's predictions. So tables hold values against it also where the store is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.config import FinetuneConfig
from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from echolm.prediction_file import as_parquet
from echolm.stores.clips import ClipStore, peek
from echolm.workspace import Workspace
from grid.definition.tables import ColumnDefinition
from grid.results.files import (
    RUNS_FILE,
    SAMPLES_NEUTRAL,
    SAMPLES_PREFIXES,
    TASK_PREFIX,
    collected_rows,
)
from grid.statistics import Runs, align
from grid.tables.origins import TodaysOrigins
from grid.tables.predictions import Predictions
from grid.tables.store_values import StoreValues

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from echolm.tasks import Batch, Task

FOLDER = "constant"
KEY_DIGITS = 16
BATCH = 512
"""Samples that are held at a time."""
MEAN_HEAD = "mean"
"""The head that is this prediction itself."""
NOT_FITTED = (
    "not held against the constant prediction, which could not be fitted: where the store that it "
    "was trained on lies, 'echolm collect' fits it"
)


def constant_path(results: Path, run: Mapping[str, Any]) -> Path | None:
    """Return where the constant prediction for a collected run lies, whether it was fitted or not.

    None for a run without a task, or of which the data are not known.
    """
    task = {name: text for name, text in run.items() if name.startswith(TASK_PREFIX) and text}
    if not run["data"] or not task:
        return None
    subset = (run["params.data.fraction"], run["params.data.subset_seed"], *_choices(run))
    return _path(results, _key(run["data"], tuple(task.items()), subset))


def _choices(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what else chooses the samples of a run, where it is not as it always was."""
    choices = []
    for name, text in run.items():
        if name.startswith(SAMPLES_PREFIXES) and text and text != SAMPLES_NEUTRAL.get(name):
            choices.append((name, text))
    return sorted(choices)


@lru_cache(maxsize=1024)
def _path(results: Path, key: str) -> Path:
    """Return where a constant prediction lies, likewise."""
    return results / FOLDER / f"{key}.parquet"


@lru_cache(maxsize=1024)
def _key(data: str, task: tuple[tuple[str, Any], ...], subset: tuple[Any, ...]) -> str:
    """Return the name of a constant prediction. Many runs of a grid share one."""
    text = json.dumps([data, dict(task), subset], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def fit_constants(workspace: Workspace, name: str, results: Path) -> int:
    """Fit the constant predictions that collected runs lack, as far as their stores are there.

    Args:
        workspace: where the stores are.
        name: of the grid whose runs were collected.
        results: the folder that was collected.

    Returns:
        How many were fitted.
    """
    if not (results / RUNS_FILE).exists():
        return 0
    lacking: dict[Path, Mapping[str, Any]] = {}
    looked_at: set[Path] = set()
    for run in collected_rows(results):
        path = constant_path(results, run)
        if path is None or path in looked_at:
            continue
        looked_at.add(path)
        if not path.exists():
            lacking[path] = run
    if not lacking:
        return 0
    origins = TodaysOrigins(workspace, name)
    fitted = 0
    for target, its_run in lacking.items():
        try:
            fitted += _fit_one(workspace, origins, its_run, target)
        except EchoLMError:
            continue  # its store is not here, or cannot be read: tables say that it lacks
    return fitted


class Constants:
    """Reads what the constant prediction reaches.

    Args:
        results: the folder that was collected. None: nothing was run yet.
        columns: of the table.
        stores: what is known of the stores, for columns of subgroups.
    """

    def __init__(
        self,
        results: Path | None,
        columns: Sequence[ColumnDefinition],
        stores: StoreValues | None = None,
    ) -> None:
        self._results = results
        self._predictions = Predictions(columns, stores)
        self._rows: dict[tuple[str, tuple[Path, ...]], Runs | None] = {}
        self._path_of_run: dict[str, Path | None] = {}

    def rows(self, column: ColumnDefinition, runs: Mapping[str, Mapping[str, Any]]) -> Runs | None:
        """Return the rows of the constant prediction for the runs of a value.

        None where it was not fitted, or is what the value itself shows.

        Args:
            column: of the value.
            runs: seed -> the row of its run.
        """
        if self.is_constant(runs):
            return None
        paths = self._paths(runs)
        if not paths or not all(path.exists() for path in paths.values()):
            return None
        key = column.shown, tuple(paths.values())
        if key not in self._rows:
            data = {seed: run["data"] or "" for seed, run in runs.items()}
            self._rows[key] = self._read(column, paths, data)
        return self._rows[key]

    def lacks(self, runs: Mapping[str, Mapping[str, Any]]) -> bool:
        """Return whether a constant prediction belongs to these runs that was not fitted."""
        if self.is_constant(runs):
            return False
        return any(not path.exists() for path in self._paths(runs).values())

    def is_constant(self, runs: Mapping[str, Mapping[str, Any]]) -> bool:
        """Return whether the runs are of the constant prediction themselves."""
        return any(run["params.head.name"] == MEAN_HEAD for run in runs.values())

    def _paths(self, runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
        """Return seed -> where the constant prediction lies. Empty where one is not known."""
        paths = {}
        for seed, run in runs.items():
            path = self._path_of(run)
            if path is None:
                return {}
            paths[seed] = path
        return paths

    def _path_of(self, run: Mapping[str, Any]) -> Path | None:
        """Return where the constant prediction of a run lies. Each column of a table asks."""
        run_id = run["run_id"]
        if run_id not in self._path_of_run:
            path = constant_path(self._results, run) if self._results else None
            self._path_of_run[run_id] = path
        return self._path_of_run[run_id]

    def _read(
        self, column: ColumnDefinition, paths: Mapping[str, Path], data: Mapping[str, str]
    ) -> Runs | None:
        try:
            rows = {}
            for seed, path in paths.items():
                rows[seed] = self._predictions.rows(path, column, data[seed])
            return align(rows, "the constant prediction")
        except EchoLMError:
            return None  # such as a column that an earlier version of the task did not write


def _fit_one(
    workspace: Workspace, origins: TodaysOrigins, run: Mapping[str, Any], path: Path
) -> bool:
    """Fit the constant prediction for a run, and return whether that could be done.

    Raises:
        EchoLMError: the store is not there, or cannot be read.
    """
    config = origins.config(run["cell"])
    if not isinstance(config, FinetuneConfig):
        return False
    folder = workspace.store(config.data.name)
    if peek(folder)["fingerprint"] != run["data"]:
        return False
    store = ClipStore.open(folder)
    table = fit(store, config)
    if table is None:
        return False
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, as_parquet(table))
    return True


def fit(store: ClipStore, config: FinetuneConfig) -> pa.Table | None:
    """Return what the constant prediction predicts for the test samples of a store.

    None where a split has no sample.

    Args:
        store: the store.
        config: of a run on it: which task, and which part of the training data.
    """
    import pyarrow as pa

    from echolm.training.selection import select_rows

    task = config.task
    try:
        rows_by_split = select_rows(store, config, ("train", "test")).rows
    except EchoLMError:
        return None
    train, test = rows_by_split["train"], rows_by_split["test"]
    frames = config.encoder.frames
    constant = _constant(store, task, train, frames)
    tables = []
    for rows in _chunks(test):
        outputs = constant.expand(len(rows), *constant.shape)
        tables.append(task.rows(outputs, _batch(store, task, rows, frames)))
    return pa.concat_tables(tables)


def _constant(store: ClipStore, task: Task, train: np.ndarray, frames: int) -> Tensor:
    """Return the one output that fits the training items best, as the task has it.

    A task that does not say it has the mean of its targets.
    """
    start = getattr(task, "start", None)
    best: Tensor | None = None
    if start is not None:
        best = start([store.items[int(row)] for row in train])
    if best is not None:
        return best.float()
    total: Tensor | None = None
    for rows in _chunks(train):
        part = task.truth(_batch(store, task, rows, frames)).double().sum(0)
        total = part if total is None else total + part
    assert total is not None
    return (total / len(train)).float()


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _batch(store: ClipStore, task: Task, rows: np.ndarray, frames: int) -> Batch:
    """Return a batch with its targets and points, and without pixels.

    A resize to any size leaves points where they are in the frame, so that of an encoder need not
    be known.
    """
    import torch

    from echolm.tasks import Batch

    items = [store.items[int(row)] for row in rows]
    samples = [task.prepare(item, frames) for item in items]
    points = []
    for item, sample in zip(items, samples, strict=True):
        sides = np.array([item.width, item.height], np.float32)
        points.append((sample.points + 0.5) / sides)
    targets = {}
    for name in samples[0].targets:
        targets[name] = torch.as_tensor(np.stack([sample.targets[name] for sample in samples]))
    return Batch(
        items=items,
        clips=torch.zeros(len(items), 3, 1, 1, 1),
        points=torch.as_tensor(np.stack(points)),
        targets=targets,
    )
