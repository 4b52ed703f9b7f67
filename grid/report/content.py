"""Gather what a report shows of a grid, as plain data: its cells with their runs, by setting."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.record import RunRecord, find_records
from echolm.states import RunState
from echolm.weights import random_weights
from echolm.workspace import Workspace
from grid.definition.tables import SEED, TableCell, TableGrid
from grid.results.files import RUNS_FILE, read_columns
from grid.tables.origins import TodaysOrigins
from grid.tables.runs import CollectedRuns
from grid.tables.table import ABSENT

COLUMNS = {
    "commit": "commit",
    "host": "host",
    "device": "device",
    "arithmetic": "arithmetic",
    "data": "data",
    "start": "start",
    "data_name": "params.data.name",
    "task": "params.task.name",
    "encoder": "params.encoder.name",
    "weights": "params.weights",
    "seconds": "metrics.run/seconds",
    "epochs": "metrics.run/epochs",
    "best_epoch": "metrics.run/best_epoch",
}
"""Field of a ``Run`` -> column of the collected runs."""

Place = tuple[tuple[str, str], ...]
"""(axis, label) pairs that the cells of a setting share."""


@dataclass(frozen=True)
class ReportedFailure:
    """An attempt, or a job, that failed.

    Args:
        kind: its class.
        what: the error in one line.
        cells: the cells that it concerns.
        detail: a traceback, or the end of a log.
        log: the path of the log, relative to the workspace.
        time: seconds since 1970.
    """

    kind: str
    what: str
    cells: tuple[str, ...] = ()
    detail: str = ""
    log: str = ""
    time: float | None = None


@dataclass(frozen=True)
class Run:
    """A cell of the grid and its newest collected run, if it has one.

    Args:
        state: the state of the run record, or ``complete`` where a run was collected.
        arithmetic: how it was computed, in words. Empty: in fp32.
        data: the fingerprint of the clip store.
        data_name: the name of the data set.
        problem: why its predictions were not collected.
        waits: which cell it waits for, or is blocked by, in words.
        best_epoch: the epoch whose weights were kept, from 0.
        predictions: their file, if it is there.
        log: the path of the newest attempt's log, relative to the workspace.
        record: its run record, if it is at hand.
    """

    cell: str
    seed: str
    state: str
    run_id: str = ""
    fingerprint: str = ""
    commit: str = ""
    host: str = ""
    device: str = ""
    arithmetic: str = ""
    data: str = ""
    data_name: str = ""
    task: str = ""
    encoder: str = ""
    weights: str = ""
    synthetic: bool = False
    problem: str = ""
    waits: str = ""
    start: datetime | None = None
    end: datetime | None = None
    seconds: float | None = None
    epochs: float | None = None
    best_epoch: float | None = None
    predictions: Path | None = None
    log: str = ""
    record: RunRecord | None = field(default=None, compare=False)

    @property
    def collected(self) -> bool:
        """Whether it has a collected run."""
        return bool(self.run_id)

    @property
    def random_weights(self) -> bool:
        """Whether it began with random weights though its encoder has published ones."""
        return bool(self.encoder and random_weights(self.encoder, self.weights))


@dataclass(frozen=True)
class Setting:
    """Cells that differ in the seed alone.

    Args:
        anchor: where the page shows it.
        labels: axis -> label, of the axes that tell the settings of the grid apart.
        runs: its cells.
    """

    anchor: str
    labels: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Its labels in one line."""
        return " · ".join(self.labels.values()) or "the grid's only setting"

    @property
    def random_weights(self) -> bool:
        """Whether a run of it began with random weights though its encoder has published ones."""
        return any(run.random_weights for run in self.runs)


@dataclass(frozen=True)
class ReportContent:
    """A grid as the report shows it.

    Args:
        results: the folder of collected files. None where nothing was run yet.
        records: whether run records are at hand.
        failures: failures of runs and of jobs.
    """

    name: str
    title: str
    settings: tuple[Setting, ...]
    results: Path | None
    records: bool
    failures: tuple[ReportedFailure, ...] = ()

    @property
    def runs(self) -> list[Run]:
        """The cells of all settings."""
        return [run for setting in self.settings for run in setting.runs]

    @property
    def anchors(self) -> dict[str, str]:
        """Cell -> where the page shows it."""
        return {run.cell: setting.anchor for setting in self.settings for run in setting.runs}


def gather(
    grid: TableGrid,
    results: Path | None,
    root: Path,
    jobs: Sequence[ReportedFailure] = (),
    today: TodaysOrigins | None = None,
) -> ReportContent:
    """Gather all that is known of a grid's cells.

    Args:
        grid: the grid.
        results: the folder of collected files. None where nothing was run yet.
        root: the workspace. Its ``runs`` may be gone.
        jobs: failures of jobs.
        today: what the cells are made from today. None: it is found here.

    Raises:
        EchoLMError: Nothing was collected.
    """
    today = today or TodaysOrigins(Workspace(root), grid.name, grid.cells)
    collected: dict[str, dict[str, Any]] = {}
    if results is not None:
        path = results / RUNS_FILE
        if not path.exists():
            raise EchoLMError(f"{path}: is not there; type", Command("collect", grid.typed))
        collected = _collected_runs(results, [cell.id for cell in grid.cells], today)
    records_at_hand = _has_records(root / "runs", grid.cells)
    cells_of_places: dict[Place, list[TableCell]] = {}
    for cell in grid.cells:
        pairs = cell.coordinates.items()
        place = tuple((axis, label) for axis, label in pairs if axis != SEED)
        cells_of_places.setdefault(place, []).append(cell)
    axes = _telling_axes(list(cells_of_places))
    record_root = root if records_at_hand else None
    settings = []
    failures: list[ReportedFailure] = []
    for place, cells in cells_of_places.items():
        labels = dict(place)
        runs = []
        for cell in cells:
            runs.append(_run(cell, collected.get(cell.id), record_root, today))
        setting = Setting(
            anchor=f"cell-{cells[0].id}",
            labels={axis: labels.get(axis, ABSENT) for axis in axes},
            runs=tuple(runs),
        )
        settings.append(setting)
        for run in runs:
            failures += _failed_attempts(run, root)
    return ReportContent(
        name=grid.name,
        title=getattr(grid, "title", ""),
        settings=tuple(settings),
        results=results,
        records=records_at_hand,
        failures=(*failures, *jobs),
    )


def _has_records(runs: Path, cells: Sequence[TableCell]) -> bool:
    """Return whether some cell has a record."""
    try:
        there = set(os.listdir(runs))
    except OSError:
        return False
    return any(cell.id in there for cell in cells)


def _telling_axes(places: Sequence[Place]) -> list[str]:
    """Return the axes that have several labels, or are not on every setting."""
    axes = dict.fromkeys(axis for place in places for axis, _ in place)
    telling = []
    for axis in axes:
        labels = {dict(place).get(axis, ABSENT) for place in places}
        if len(labels) > 1:
            telling.append(axis)
    return telling


def _collected_runs(
    results: Path, cells: Sequence[str], today: TodaysOrigins
) -> dict[str, dict[str, Any]]:
    """Read the newest collected run of each cell that counts today, with provenance and cost.

    Returns:
        Cell -> the run's values by the fields of ``Run``. A column that is not there is left out.
    """
    import pyarrow.parquet as pq

    path = results / RUNS_FILE
    names = pq.read_schema(path).names
    columns = {name: column for name, column in COLUMNS.items() if column in names}
    rows = {}
    for row in read_columns(path, ["run_id", *columns.values()]).to_pylist():
        rows[row["run_id"]] = row
    collected = {}
    counting = CollectedRuns(results, today)
    for cell in cells:
        runs = counting.runs(cell)
        if not runs:
            continue
        newest = runs[0]
        row = rows[newest["run_id"]]
        values = {name: row[column] for name, column in columns.items()}
        collected[cell] = {**newest, **values, "predictions": counting.sound_predictions(newest)}
    return collected


def _run(
    cell: TableCell,
    collected: Mapping[str, Any] | None,
    root: Path | None,
    today: TodaysOrigins,
) -> Run:
    """Return a cell with its newest collected run.

    Args:
        cell: the cell.
        collected: what was collected of its newest run. None without one.
        root: the workspace. None where run records are not at hand.
        today: tells the state of the run that counts.
    """
    seed = cell.coordinates.get(SEED, ABSENT)
    fingerprint = collected["fingerprint"] if collected else ""
    record = _record(root, cell.id, fingerprint) if root else None
    log = _log(record, root) if record and root else ""
    if collected is None:
        state = today.state(cell.id) if root else ""
        waits = today.why_waiting(cell.id) if root else ""
        return Run(cell.id, seed, state, waits=waits, log=log, record=record)
    values: dict[str, Any] = {}
    for run_field in fields(Run):
        if collected.get(run_field.name) is not None:
            values[run_field.name] = collected[run_field.name]
    values["seed"] = seed
    values["state"] = RunState.COMPLETE
    values["log"] = log
    values["record"] = record
    return Run(**values)


def _record(root: Path, cell: str, fingerprint: str) -> RunRecord | None:
    """Return the record of a collected run, or the newest of a cell without one."""
    if fingerprint:
        record = RunRecord.at(root / "runs", cell, fingerprint)
        return record if record.path.is_dir() else None
    return next(iter(find_records(root / "runs", cell)), None)


def _log(record: RunRecord, root: Path) -> str:
    """Return the path of the newest attempt's log, or "" without one."""
    for number in reversed(record.attempts()):
        path = record.attempt_path(number) / "log.txt"
        if path.exists():
            return path.relative_to(root).as_posix()
    return ""


def _failed_attempts(run: Run, root: Path) -> list[ReportedFailure]:
    """Return the failed attempts of a cell, also those that were run again since."""
    failures: list[ReportedFailure] = []
    if run.record is None:
        return failures
    for number in run.record.attempts():
        path = run.record.attempt_path(number) / "log.txt"
        log = path.relative_to(root).as_posix() if path.exists() else ""
        for event in run.record.events(number):
            if event["event"] == RunState.FAILED:
                failure = ReportedFailure(
                    kind=str(event.get("class", RunState.FAILED)),
                    what=str(event.get("error", "")),
                    cells=(run.cell,),
                    detail=str(event.get("traceback", "")),
                    log=log,
                    time=event.get("time"),
                )
                failures.append(failure)
    return failures
