"""MLflow -> Parquet: ``<out>/runs.parquet``, one row a finished run, and ``<out>/predictions/``, one file a run.

Tables are built from these files alone, so they outlive the records and the tracking store.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from echolm.errors import EchoLMError, StorageError
from echolm.record import writing
from grid.tables.results import PREDICTIONS_FOLDER, RUNS_FILE, predictions_path, read_columns
from grid.tracking import predictions, rows, search, sql
from grid.tracking.rows import Reader, TrackedRun
from grid.tracking.store import sqlite_path

SAME_SAMPLES = ("data.name", "task.name")
"""Runs that agree in these params must have the same test samples."""

TEXTS = "run_id name experiment fingerprint cell data commit host device samples problem".split()


@dataclass
class CollectReport:
    """What was collected. ``predictions``: files added. ``unfinished``: runs left out, with the reason.

    ``problems``: one sentence a run that is there but not sound; its row in runs.parquet says the same.
    """

    runs: int = 0
    predictions: int = 0
    problems: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    path: Path = Path()


@dataclass
class _Row:
    run: TrackedRun
    samples: str = ""
    problem: str = ""

    @property
    def fingerprint(self) -> str:
        return self.run.tags[rows.FINGERPRINT]


def collect(uri: str, grid_name: str, cells: set[str] | None, out: Path, reader: Reader | None = None) -> CollectReport:
    """Write the finished runs of a grid, and of ``cells`` alone where given, to the folder ``out``.

    Predictions that are there already are not written again. ``reader``: ``sql`` for a SQLite store and ``search``
    for any other, unless given. EchoLMError, with nothing changed, when the store has no run and ``out`` has some.
    """
    database = sqlite_path(uri)
    reader = reader or (search if database is None else sql)
    absent = database is not None and not database.exists()
    report = CollectReport(path=out / RUNS_FILE)
    runs = [] if absent else list(reader.runs(uri, grid_name))
    found = _finished([run for run in runs if _belongs(run, cells)], report)
    earlier = _earlier_samples(report.path)
    if earlier and not found:
        raise EchoLMError(
            f"the tracking store has no finished run of {grid_name}, but {report.path} has {len(earlier)}; nothing was "
            f"changed. Tables can still be built from it; delete {out} to start over"
        )
    with writing(out / PREDICTIONS_FOLDER) as folder:
        folder.mkdir(parents=True, exist_ok=True)
    for row in found:
        report.predictions += _predictions(row, uri, out, earlier)
    _compare(found, out)
    report.problems += [_sentence(row.run, row.problem) for row in found if row.problem]
    _write(pa.Table.from_pylist(*_columns(found)), report.path)
    report.runs = len(found)
    return report


def _belongs(run: TrackedRun, cells: set[str] | None) -> bool:
    return rows.FINGERPRINT in run.tags and (cells is None or run.tags.get(rows.CELL) in cells)


def _finished(runs: list[TrackedRun], report: CollectReport) -> list[_Row]:
    """One row a fingerprint, the run that ended first; what is left out is reported."""
    found: dict[str, _Row] = {}
    for run in sorted(runs, key=lambda run: (run.end or 0, run.run_id)):
        fingerprint = run.tags[rows.FINGERPRINT]
        if run.status != "FINISHED":
            remedy = "; type: echolm collect" if run.status == "RUNNING" else ""
            report.unfinished.append(_sentence(run, f"status {run.status}, not FINISHED{remedy}"))
        elif fingerprint in found:
            other = found[fingerprint].run.run_id
            text = f"is a second run of fingerprint {fingerprint[:16]}, left out; run {other} counts"
            report.problems.append(_sentence(run, text))
        else:
            found[fingerprint] = _Row(run)
    return [found[fingerprint] for fingerprint in sorted(found)]


def _predictions(row: _Row, uri: str, out: Path, earlier: dict[str, str]) -> bool:
    """Make sure the predictions are there; True when they were added."""
    if rows.PREDICTIONS not in row.run.tags:
        return False
    target = predictions_path(out, row.fingerprint)
    there = target.exists()
    if there and earlier.get(row.fingerprint):
        row.samples = earlier[row.fingerprint]
        return False
    try:
        if not there:
            predictions.fetch(row.run, uri, target)
        row.samples = predictions.digest(predictions.samples(target))
    except StorageError:
        raise
    except EchoLMError as error:
        remedy = f"delete {target}" if there else f"mlflow runs delete --run-id {row.run.run_id}"
        row.problem = f"{error}; to export it again: {remedy}, then echolm collect"
    return not there and not row.problem


def _compare(found: list[_Row], out: Path) -> None:
    """Mark the rows whose test samples are not those of most runs of the same data set and task."""
    groups: dict[tuple[str, ...], list[_Row]] = defaultdict(list)
    for row in found:
        if row.samples:
            groups[tuple(row.run.params.get(name, "") for name in SAME_SAMPLES)].append(row)
    for group in groups.values():
        usual = Counter(row.samples for row in group).most_common(1)[0][0]
        reference = next(row for row in group if row.samples == usual)
        for row in group:
            if row.samples != usual:
                row.problem = f"its test samples are not those of the other runs: {_difference(row, reference, out)}"


def _difference(row: _Row, reference: _Row, out: Path) -> str:
    try:
        pair = [predictions.samples(predictions_path(out, one.fingerprint)) for one in (row, reference)]
    except EchoLMError as error:
        return str(error)
    return predictions.difference(*pair)


def _earlier_samples(path: Path) -> dict[str, str]:
    """Digest of the test samples by fingerprint, as collected earlier."""
    if not path.exists():
        return {}
    try:
        table = read_columns(path, ["fingerprint", "samples"])
    except EchoLMError:
        return {}  # not readable: it is written anew
    return dict(zip(table["fingerprint"].to_pylist(), table["samples"].to_pylist(), strict=True))


def _columns(found: list[_Row]) -> tuple[list[dict[str, Any]], pa.Schema]:
    """Rows and schema of runs.parquet."""
    params = sorted({name for row in found for name in row.run.params})
    metrics = sorted({name for row in found for name in row.run.metrics})
    schema = [pa.field(name, pa.string()) for name in TEXTS]
    schema += [pa.field("synthetic", pa.bool_())]
    schema += [pa.field(name, pa.timestamp("ms", tz="UTC")) for name in ("start", "end")]
    schema += [pa.field(f"params.{name}", pa.string()) for name in params]
    schema += [pa.field(f"metrics.{name}", pa.float64()) for name in metrics]
    return [_cells(row) for row in found], pa.schema(schema)


def _cells(row: _Row) -> dict[str, Any]:
    run, tags = row.run, row.run.tags
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "fingerprint": row.fingerprint,
        "cell": tags.get(rows.CELL),
        "data": tags.get(rows.DATA),
        "commit": tags.get(rows.COMMIT),
        "host": tags.get(rows.HOST),
        "device": tags.get(rows.DEVICE),
        "samples": row.samples,
        "problem": row.problem or None,
        "synthetic": tags.get(rows.SYNTHETIC) == "true",
        "start": run.start,
        "end": run.end,
        **{f"params.{name}": value for name, value in run.params.items()},
        **{f"metrics.{name}": value for name, value in run.metrics.items()},
    }


def _write(table: pa.Table, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            pq.write_table(table, temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _sentence(run: TrackedRun, text: str) -> str:
    return f"run {run.run_id} ({run.name}, cell {run.tags.get(rows.CELL)}): {text}"
