"""``runs.parquet``: what was collected earlier, and the rows of runs that were read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from echolm.errors import EchoLMError
from echolm.files import atomic
from grid.results.columns import numbers, texts
from grid.results.files import OTHER_CELL, opened, read_columns
from grid.results.schema import COST_COLUMNS, KEY, RUNS, SCHEMA, TIME, stored_schema
from grid.tracking import reader
from grid.tracking.reader import Latest, ListedRun, TrackedRun

LOGGED = b"echolm.logged"
"""The key of ``Reader.logged`` in the metadata."""
COMPARED = (
    "run_id",
    "name",
    "experiment",
    "fingerprint",
    "cell",
    "start",
    "end",
    "metric_count",
    "metric_time",
)
FILLED = ("samples", "history", "problem")
"""The columns that the collection fills."""
SECONDS = "metrics.run/seconds"
COUNT = re.compile(r"[0-9]{1,18}")
"""Digits that fit a column of 64-bit integers."""
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
class CollectedRow:
    """A row of ``runs.parquet`` in the making.

    Attributes:
        run: its line in the store's list.
        predictions: their SHA-256, None for a run without.
        samples: the digest of its test samples.
        stated_samples: that digest as the store or an earlier collection has it. Empty without.
        history: the part that holds its history.
        problem: why the run is not sound.
        metric_count: how many metrics it has.
        repaired: the store's copy of the predictions was missing or damaged, and was made again.
    """

    run: ListedRun
    predictions: str | None = None
    samples: str = ""
    stated_samples: str = ""
    history: str | None = None
    problem: str = ""
    metric_count: int = 0
    repaired: bool = False

    def take(self, carried: Carried) -> None:
        """Take over a row that was read just now or earlier.

        Samples and problems are judged anew, but for the cell: what tells it is not read again.
        """
        self.predictions = carried.predictions
        if reader.DIGEST_FORM.fullmatch(carried.samples or ""):
            self.stated_samples = carried.samples or ""
        if (carried.problem or "").startswith(OTHER_CELL):
            self.problem = carried.problem or ""
        self.history = carried.history
        self.metric_count = carried.metric_count

    @property
    def filled(self) -> tuple[str | None, ...]:
        """The values of ``FILLED``."""
        return self.samples, self.history, self.problem or None


@dataclass
class Earlier:
    """What was collected earlier.

    All is empty when nothing was, or in a form that is collected again.

    Attributes:
        path: ``runs.parquet``.
        count: rows in any form.
        logged: the store's last point at that time.
        rows: by run id.
        seen: by run id, the values that the runs had.
    """

    path: Path
    count: int = 0
    logged: str = ""
    rows: dict[str, Carried] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """Read all columns of all rows. Those that an earlier EchoLM did not write are added."""
        with opened(self.path) as file:
            table = file.read()
        for name in COST_COLUMNS:
            if name not in table.column_names:
                values = pa.nulls(len(table), RUNS.field(name).type)
                if name == "seconds" and SECONDS in table.column_names:
                    values = table[SECONDS]
                table = table.append_column(name, values)
        return table

    def says(self, rows: Sequence[CollectedRow]) -> bool:
        """Return whether the file has these rows and no others."""
        if self.rows.keys() != {row.run.run_id for row in rows}:
            return False
        for row in rows:
            earlier = self.rows[row.run.run_id]
            if (earlier.samples, earlier.history, earlier.problem) != row.filled:
                return False
        return True


def read_earlier(path: Path) -> Earlier:
    """Read what was collected earlier.

    Raises:
        EchoLMError: a newer EchoLM collected it.
    """
    earlier = Earlier(path)
    if not path.exists():
        return earlier
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata.metadata or {}
            earlier.count = file.metadata.num_rows
    except (pa.ArrowException, OSError):
        return earlier  # not readable: it is written anew
    if stored_schema(metadata, path) != SCHEMA:
        return earlier
    names = list(dict.fromkeys((*Carried._fields, *COMPARED)))
    try:
        table = read_columns(path, names)
    except EchoLMError:
        return earlier
    earlier.logged = metadata.get(LOGGED, b"").decode()
    values = {name: _plain(table[name]).to_pylist() for name in table.column_names}
    for row in zip(*(values[name] for name in Carried._fields), strict=True):
        carried = Carried._make(row)
        earlier.rows[carried.run_id] = carried
    for run_seen in zip(*(values[name] for name in COMPARED), strict=True):
        earlier.seen[run_seen[0]] = run_seen
    return earlier


def seen(run: ListedRun, latest: Mapping[str, Latest] = MappingProxyType({})) -> Seen:
    """Return a run of a listing, to be compared with ``Earlier.seen``.

    Without ``latest`` it can be compared in all but the last two values.
    """
    values = latest.get(run.run_id, NO_METRIC)
    return (
        run.run_id,
        run.name,
        run.experiment,
        run.fingerprint,
        run.cell,
        run.start,
        run.end,
        values.count,
        values.time,
    )


def run_table(runs: Sequence[TrackedRun], latest: dict[str, Latest]) -> pa.Table:
    """Return rows of ``runs.parquet``. Samples, history and problem are still to be filled."""
    rows = [_fixed_columns(run, latest.get(run.run_id, NO_METRIC)) for run in runs]
    columns: dict[str, pa.Array] = {}
    for column in RUNS:
        values = [row.get(column.name) for row in rows]
        if pa.types.is_string(column.type):
            columns[column.name] = texts(values)
        else:
            columns[column.name] = numbers(values, column.type)
    for name in set().union(*(run.params for run in runs)):
        columns[f"params.{name}"] = texts([run.params.get(name) for run in runs])
    for name in set().union(*(run.metrics for run in runs)):
        values = [run.metrics.get(name) for run in runs]
        columns[f"metrics.{name}"] = numbers(values, pa.float64())
    return pa.table(columns)


def carried(table: pa.Table) -> dict[str, Carried]:
    """Return the rows of ``run_table`` by run id."""
    columns = [table[name].to_pylist() for name in Carried._fields]
    return {row[0]: Carried._make(row) for row in zip(*columns, strict=True)}


def write(table: pa.Table, rows: Sequence[CollectedRow], path: Path, logged: str) -> None:
    """Write the table of ``rows`` with what they were filled with.

    Columns stand as in the schema, then params and metrics by name. Params and metrics that no run
    has (any more) have no column.

    Args:
        table: the rows, with any values in the columns ``FILLED``.
        rows: what to fill in.
        path: ``runs.parquet``.
        logged: the last point that was logged in the store.
    """
    filled = [row.filled for row in rows]
    for index, name in enumerate(FILLED if rows else ()):
        values = texts([row_values[index] for row_values in filled])
        position = table.column_names.index(name)
        table = table.set_column(position, RUNS.field(name), values)
    names = [*RUNS.names, *_further_columns(table)]
    content = table.select(names).replace_schema_metadata(
        {KEY: str(SCHEMA).encode(), LOGGED: logged.encode()}
    )
    repeated = []  # numbers seldom repeat: they are stored without a dictionary
    for name in names:
        if not pa.types.is_floating(table.schema.field(name).type):
            repeated.append(name)
    with atomic(path) as file:
        pq.write_table(content, file, compression="zstd", use_dictionary=repeated)


def _further_columns(table: pa.Table) -> list[str]:
    """Return the names of params and then of metrics that some run has, each sorted."""
    params = []
    metrics = []
    for name in sorted(set(table.column_names) - set(RUNS.names)):
        if table[name].null_count == len(table):
            continue
        if name.startswith("metrics."):
            metrics.append(name)
        else:
            params.append(name)
    return params + metrics


def _fixed_columns(run: TrackedRun, latest: Latest) -> dict[str, Any]:
    """Return what a run has in the columns of the schema."""
    tags = run.tags
    costs = {name: _count(tags.get(reader.cost_tag(name))) for name in reader.COSTS}
    return {
        **costs,
        "seconds": run.metrics.get("run/seconds"),
        "run_id": run.run_id,
        "name": run.name,
        "experiment": run.experiment,
        "fingerprint": run.fingerprint,
        "cell": run.cell,
        "data": tags.get(reader.DATA),
        "weights": tags.get(reader.WEIGHTS),
        "protocols": tags.get(reader.PROTOCOLS),
        "commit": tags.get(reader.COMMIT),
        "host": tags.get(reader.HOST),
        "device": tags.get(reader.DEVICE),
        "arithmetic": tags.get(reader.ARITHMETIC),
        "predictions": tags.get(reader.PREDICTIONS),
        "samples": tags.get(reader.SAMPLES),
        "synthetic": tags.get(reader.SYNTHETIC) == "true",
        "start": run.start,
        "end": run.end,
        "metric_count": latest.count,
        "metric_time": latest.time,
    }


def _count(text: str | None) -> int | None:
    """Return the number that a tag holds. None where it holds none that fits."""
    if not text or not COUNT.fullmatch(text):
        return None
    return int(text)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as ms since 1970: a datetime for each entry takes long to make."""
    return column.cast(pa.int64()) if column.type == TIME else column
