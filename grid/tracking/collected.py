"""``runs.parquet``: what was collected earlier, and the rows of runs that were read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from echolm.errors import EchoLMError
from echolm.record import writing
from grid.tables.results import read_columns
from grid.tables.schema import KEY, RUNS, SCHEMA, TIME, stored_schema
from grid.tracking import rows
from grid.tracking.rows import Latest, ListedRun, TrackedRun

STATE = b"echolm.store"
"""The key of ``Reader.state`` in the metadata."""
COMPARED = ("run_id", "name", "experiment", "fingerprint", "cell", "start", "end", "metric_count", "metric_time")
CARRIED = ("run_id", "fingerprint", "predictions", "samples", "history", "problem", "metric_count")
"""What the collection itself needs of a row."""
FILLED = ("samples", "history", "problem")
"""What it fills."""
NO_METRIC = Latest(0, None)
Seen = tuple[Any, ...]
"""What tells a run that has changed from one that has not: ``COMPARED``."""


@dataclass
class Row:
    """A row of ``runs.parquet`` in the making. ``predictions``: their SHA-256, None for a run without."""

    run: ListedRun
    predictions: str | None = None
    samples: str = ""
    history: str | None = None
    problem: str = ""
    metric_count: int = 0

    def take(self, carried: Mapping[str, Any]) -> None:
        """From ``CARRIED`` of a row that was read just now or earlier. Samples and problems are judged anew."""
        self.predictions, self.history, self.metric_count = carried["predictions"], carried["history"], carried["metric_count"]

    @property
    def filled(self) -> tuple[str | None, ...]:
        """The values of ``FILLED``."""
        return self.samples, self.history, self.problem or None


@dataclass
class Earlier:
    """What was collected earlier; all empty when nothing was, or in a form that is collected again.

    ``count``: rows in any form. ``state``: the store's at that time. ``rows``: ``CARRIED`` by run id, with the values
    that the runs had, and ``seen``.
    """

    path: Path
    count: int = 0
    state: str = ""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """All columns of all rows."""
        with pq.ParquetFile(self.path) as file:
            return file.read()

    def says(self, rows: Sequence[Row]) -> bool:
        """Whether the file has these rows and no others."""
        if self.rows.keys() != {row.run.run_id for row in rows}:
            return False
        return all(tuple(self.rows[row.run.run_id][name] for name in FILLED) == row.filled for row in rows)


def read_earlier(path: Path) -> Earlier:
    """EchoLMError when a newer EchoLM collected it."""
    earlier = Earlier(path)
    if not path.exists():
        return earlier
    try:
        with pq.ParquetFile(path) as file:
            metadata, earlier.count = file.metadata.metadata or {}, file.metadata.num_rows
    except (pa.ArrowException, OSError):
        return earlier  # not readable: it is written anew
    if stored_schema(metadata, path) != SCHEMA:
        return earlier
    try:
        table = read_columns(path, list(dict.fromkeys((*CARRIED, *COMPARED))))
    except EchoLMError:
        return earlier
    earlier.state = metadata.get(STATE, b"").decode()
    earlier.rows = {row["run_id"]: row for row in table.select(list(CARRIED)).to_pylist()}
    compared = [_plain(table[name]).to_pylist() for name in COMPARED]
    earlier.seen = {seen[0]: seen for seen in zip(*compared, strict=True)}
    return earlier


def seen(run: ListedRun, latest: Mapping[str, Latest] = MappingProxyType({})) -> Seen:
    """A run of a listing, to be compared with ``Earlier.seen``; without ``latest`` in all but the last two."""
    values = latest.get(run.run_id, NO_METRIC)
    return run.run_id, run.name, run.experiment, run.fingerprint, run.cell, run.start, run.end, values.count, values.time


def run_table(runs: Sequence[TrackedRun], latest: dict[str, Latest]) -> pa.Table:
    """Rows of ``runs.parquet``; samples, history and problem are still to be filled."""
    table = pa.Table.from_pylist([_fixed(run, latest.get(run.run_id, NO_METRIC)) for run in runs], RUNS)
    params, metrics = [run.params for run in runs], [run.metrics for run in runs]
    for prefix, values, kind in (("params", params, pa.string()), ("metrics", metrics, pa.float64())):
        for name in set().union(*values):
            table = table.append_column(f"{prefix}.{name}", pa.array([own.get(name) for own in values], kind))
    return table


def write(table: pa.Table, rows: Sequence[Row], path: Path, state: str) -> None:
    """The table of ``rows`` with what they were filled with; columns as in the schema, then params and metrics by name.

    Params and metrics that no run has (any more) have no column.
    """
    for name, values in zip(FILLED, zip(*(row.filled for row in rows), strict=True), strict=bool(rows)):
        table = table.set_column(table.column_names.index(name), RUNS.field(name), pa.array(values, pa.string()))
    had = {name for name in table.column_names if table[name].null_count < len(table)}
    own = sorted(had - set(RUNS.names), key=lambda name: (name.startswith("metrics."), name))
    names = [*RUNS.names, *own]
    metadata = {KEY: str(SCHEMA).encode(), STATE: state.encode()}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with writing(path):
            pq.write_table(table.select(names).replace_schema_metadata(metadata), temporary, compression="zstd")
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _fixed(run: TrackedRun, latest: Latest) -> dict[str, Any]:
    tags = run.tags
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "fingerprint": run.fingerprint,
        "cell": run.cell,
        "data": tags.get(rows.DATA),
        "commit": tags.get(rows.COMMIT),
        "host": tags.get(rows.HOST),
        "device": tags.get(rows.DEVICE),
        "predictions": tags.get(rows.PREDICTIONS),
        "synthetic": tags.get(rows.SYNTHETIC) == "true",
        "start": run.start,
        "end": run.end,
        "metric_count": latest.count,
        "metric_time": latest.time,
    }


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as ms since 1970: a datetime an entry takes long to make."""
    return column.cast(pa.int64()) if column.type == TIME else column
