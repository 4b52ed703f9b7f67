"""``runs.parquet``: what was collected earlier, and the rows of runs that were read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from echolm.errors import EchoLMError
from echolm.record import writing
from grid.tables.results import opened, read_columns
from grid.tables.schema import KEY, RUNS, SCHEMA, TIME, stored_schema
from grid.tracking import rows
from grid.tracking.columns import numbers, texts
from grid.tracking.rows import Latest, ListedRun, TrackedRun

LOGGED = b"echolm.logged"
"""The key of ``Reader.logged`` in the metadata."""
COMPARED = ("run_id", "name", "experiment", "fingerprint", "cell", "start", "end", "metric_count", "metric_time")
FILLED = ("samples", "history", "problem")
"""What it fills."""
NO_METRIC = Latest(0, None)
Seen = tuple[Any, ...]
"""What tells a run that has changed from one that has not: ``COMPARED``."""


class Carried(NamedTuple):
    """What the collection itself needs of a row that is there."""

    run_id: str
    fingerprint: str
    predictions: str | None
    samples: str | None
    history: str | None
    problem: str | None
    metric_count: int


@dataclass
class Row:
    """A row of ``runs.parquet`` in the making. ``predictions``: their SHA-256, None for a run without. ``repaired``: the
    store's copy of them was missing or damaged, and was made again."""

    run: ListedRun
    predictions: str | None = None
    samples: str = ""
    history: str | None = None
    problem: str = ""
    metric_count: int = 0
    repaired: bool = False

    def take(self, carried: Carried) -> None:
        """From a row that was read just now or earlier. Samples and problems are judged anew."""
        self.predictions, self.history, self.metric_count = carried.predictions, carried.history, carried.metric_count

    @property
    def filled(self) -> tuple[str | None, ...]:
        """The values of ``FILLED``."""
        return self.samples, self.history, self.problem or None


@dataclass
class Earlier:
    """What was collected earlier; all empty when nothing was, or in a form that is collected again.

    ``count``: rows in any form. ``logged``: the store's last point at that time. ``rows``: by run id, and ``seen``, with the
    values that the runs had.
    """

    path: Path
    count: int = 0
    logged: str = ""
    rows: dict[str, Carried] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """All columns of all rows."""
        with opened(self.path) as file:
            return file.read()

    def says(self, rows: Sequence[Row]) -> bool:
        """Whether the file has these rows and no others."""
        if self.rows.keys() != {row.run.run_id for row in rows}:
            return False
        return all((earlier.samples, earlier.history, earlier.problem) == row.filled for row in rows for earlier in [self.rows[row.run.run_id]])


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
        table = read_columns(path, list(dict.fromkeys((*Carried._fields, *COMPARED))))
    except EchoLMError:
        return earlier
    earlier.logged = metadata.get(LOGGED, b"").decode()
    values = {name: _plain(table[name]).to_pylist() for name in table.column_names}
    earlier.rows = dict(zip(values["run_id"], map(Carried, *(values[name] for name in Carried._fields)), strict=True))
    earlier.seen = {seen[0]: seen for seen in zip(*(values[name] for name in COMPARED), strict=True)}
    return earlier


def seen(run: ListedRun, latest: Mapping[str, Latest] = MappingProxyType({})) -> Seen:
    """A run of a listing, to be compared with ``Earlier.seen``; without ``latest`` in all but the last two."""
    values = latest.get(run.run_id, NO_METRIC)
    return run.run_id, run.name, run.experiment, run.fingerprint, run.cell, run.start, run.end, values.count, values.time


def run_table(runs: Sequence[TrackedRun], latest: dict[str, Latest]) -> pa.Table:
    """Rows of ``runs.parquet``; samples, history and problem are still to be filled."""
    fixed = [_fixed(run, latest.get(run.run_id, NO_METRIC)) for run in runs]
    columns = {field.name: _column([row.get(field.name) for row in fixed], field.type) for field in RUNS}
    params, metrics = [run.params for run in runs], [run.metrics for run in runs]
    columns |= {f"params.{name}": texts([own.get(name) for own in params]) for name in set().union(*params)}
    columns |= {f"metrics.{name}": numbers([own.get(name) for own in metrics], pa.float64()) for name in set().union(*metrics)}
    return pa.table(columns)


def carried(table: pa.Table) -> dict[str, Carried]:
    """The rows of ``run_table`` by run id."""
    values = [table[name].to_pylist() for name in Carried._fields]
    return dict(zip(values[0], map(Carried, *values), strict=True))


def write(table: pa.Table, rows: Sequence[Row], path: Path, logged: str) -> None:
    """The table of ``rows`` with what they were filled with; columns as in the schema, then params and metrics by name.

    Params and metrics that no run has (any more) have no column.
    """
    for name, values in zip(FILLED, zip(*(row.filled for row in rows), strict=True), strict=bool(rows)):
        table = table.set_column(table.column_names.index(name), RUNS.field(name), texts(values))
    had = {name for name in table.column_names if table[name].null_count < len(table)}
    own = sorted(had - set(RUNS.names), key=lambda name: (name.startswith("metrics."), name))
    names = [*RUNS.names, *own]
    metadata = {KEY: str(SCHEMA).encode(), LOGGED: logged.encode()}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with writing(path):
            texts_only = [name for name in names if not pa.types.is_floating(table.schema.field(name).type)]  # other numbers seldom repeat
            content = table.select(names).replace_schema_metadata(metadata)
            pq.write_table(content, temporary, compression="zstd", use_dictionary=texts_only)
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


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    return texts(values) if pa.types.is_string(kind) else numbers(values, kind)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as ms since 1970: a datetime an entry takes long to make."""
    return column.cast(pa.int64()) if column.type == TIME else column
