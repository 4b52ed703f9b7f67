"""What a report shows of a grid, as plain data: its cells with their runs, grouped by setting."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError
from echolm.record import RunRecord, cell_standing, find_records
from grid.tables.definition import SEED, TableCell, TableGrid
from grid.tables.results import RUNS_FILE, newest_runs, predictions_path
from grid.tables.table import ABSENT

PARAMS = {"data_name": "params.data.name", "task": "params.task.name"}
METRICS = {"seconds": "metrics.run/seconds", "epochs": "metrics.run/epochs", "best_epoch": "metrics.run/best_epoch"}
PROVENANCE = ("commit", "host", "device", "data", "start")


@dataclass(frozen=True)
class Failure:
    """An attempt, or a job, that failed. ``kind``: its class; ``what``: the error in a line; ``detail``: a traceback or the
    end of a log; ``log``: the path of the log, relative to the workspace; ``time``: seconds since 1970."""

    kind: str
    what: str
    cells: tuple[str, ...] = ()
    detail: str = ""
    log: str = ""
    time: float | None = None


@dataclass(frozen=True)
class Run:
    """A cell of the grid and its newest collected run, if it has one.

    ``state``: of the run record, ``complete`` where a run was collected. ``predictions``: their file, if it is there.
    ``log``: path of the newest attempt's log, relative to the workspace. ``record``: its run record, if it is at hand.
    """

    cell: str
    seed: str
    state: str
    run_id: str = ""
    fingerprint: str = ""
    commit: str = ""
    host: str = ""
    device: str = ""
    data: str = ""
    data_name: str = ""
    task: str = ""
    synthetic: bool = False
    problem: str = ""
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


@dataclass(frozen=True)
class Setting:
    """Cells that differ in the seed alone. ``labels``: axis -> label, of the axes that tell settings of the grid apart."""

    anchor: str
    labels: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Its labels in one line."""
        return " · ".join(self.labels.values()) or "the grid's only setting"


@dataclass(frozen=True)
class Content:
    """A grid as the report shows it. ``records``: whether run records are at hand; ``failures``: of runs and of jobs."""

    name: str
    title: str
    settings: tuple[Setting, ...]
    results: Path | None
    records: bool
    failures: tuple[Failure, ...] = ()

    @property
    def runs(self) -> list[Run]:
        """The cells of all settings."""
        return [run for setting in self.settings for run in setting.runs]

    @property
    def anchors(self) -> dict[str, str]:
        """Cell -> where the page shows it."""
        return {run.cell: setting.anchor for setting in self.settings for run in setting.runs}


def gather(grid: TableGrid, results: Path | None, root: Path, jobs: Sequence[Failure] = ()) -> Content:
    """All that is known of a grid's cells. ``results``: the collected folder (None: nothing was run yet); ``root``: the
    workspace, whose ``runs`` may be gone; ``jobs``: failures of jobs. EchoLMError when nothing was collected."""
    if results is not None and not (results / RUNS_FILE).exists():
        raise EchoLMError(f"{results / RUNS_FILE}: is not there; type: echolm collect {shlex.quote(grid.typed)}")
    stored = _stored(results) if results else {}
    records = root / "runs"
    at_hand = any((records / cell.id).is_dir() for cell in grid.cells)
    groups: dict[tuple[tuple[str, str], ...], list[TableCell]] = {}
    for cell in grid.cells:
        groups.setdefault(tuple((a, label) for a, label in cell.coordinates.items() if a != SEED), []).append(cell)
    axes = _telling(list(groups))
    settings = tuple(
        Setting(
            anchor=f"cell-{cells[0].id}",
            labels={axis: dict(place).get(axis, ABSENT) for axis in axes},
            runs=tuple(_run(cell, stored.get(cell.id), results, root if at_hand else None) for cell in cells),
        )
        for place, cells in groups.items()
    )
    failed = [failure for setting in settings for run in setting.runs for failure in _failures(run, root)]
    return Content(grid.name, getattr(grid, "title", ""), settings, results, at_hand, (*failed, *jobs))


def _telling(places: list[tuple[tuple[str, str], ...]]) -> list[str]:
    """Axes that have several labels, or are not on every setting."""
    axes = list(dict.fromkeys(axis for place in places for axis, _ in place))
    return [axis for axis in axes if len({dict(place).get(axis, ABSENT) for place in places}) > 1]


def _stored(results: Path) -> dict[str, dict[str, Any]]:
    """Cell -> its newest collected run, with provenance and cost."""
    import pyarrow.parquet as pq

    from grid.tables.results import read_columns

    path = results / RUNS_FILE
    newest = {cell: runs[0] for cell, runs in newest_runs(results).items()}
    there = pq.read_schema(path).names
    wanted = {**{name: name for name in PROVENANCE}, **PARAMS, **METRICS}
    found = {name: column for name, column in wanted.items() if column in there}
    more = {row["run_id"]: row for row in read_columns(path, ["run_id", *found.values()]).to_pylist()}
    return {
        cell: {**run, **{name: more[run["run_id"]][column] for name, column in found.items()}} for cell, run in newest.items()
    }


def _run(cell: TableCell, stored: Mapping[str, Any] | None, results: Path | None, root: Path | None) -> Run:
    seed = cell.coordinates.get(SEED, ABSENT)
    record = _record(root, cell.id, stored["fingerprint"] if stored else "") if root else None
    log = _log(record, root) if record and root else ""
    if stored is None or results is None:
        return Run(cell.id, seed, cell_standing(root / "runs", cell.id) if root else "", log=log, record=record)
    path = predictions_path(results, stored["fingerprint"])
    known = {name: value for name, value in stored.items() if value is not None and name in Run.__dataclass_fields__}
    known |= {"seed": seed, "state": "complete", "log": log, "record": record, "predictions": path if path.exists() else None}
    return Run(**known)


def _record(root: Path, cell: str, fingerprint: str) -> RunRecord | None:
    """The record of a collected run; of a cell without one, the newest."""
    if fingerprint:
        record = RunRecord.at(root / "runs", cell, fingerprint)
        return record if record.path.is_dir() else None
    return next(iter(find_records(root / "runs", cell)), None)


def _log(record: RunRecord, root: Path) -> str:
    paths = [record.attempt_path(number) / "log.txt" for number in record.attempts()]
    return next((path.relative_to(root).as_posix() for path in reversed(paths) if path.exists()), "")


def _failures(run: Run, root: Path) -> list[Failure]:
    """The failed attempts of a cell, also those that were run again since."""
    found = []
    for number in run.record.attempts() if run.record else []:
        assert run.record is not None
        log = run.record.attempt_path(number) / "log.txt"
        for event in run.record.events(number):
            if event["event"] == "failed":
                what, detail = str(event.get("error", "")), str(event.get("traceback", ""))
                shown = log.relative_to(root).as_posix() if log.exists() else ""
                found.append(Failure(str(event.get("class", "failed")), what, (run.cell,), detail, shown, event.get("time")))
    return found
