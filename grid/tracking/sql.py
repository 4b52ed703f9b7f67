"""Reads a SQLite tracking database directly and read-only: 8 to 33 times faster than paging through the client.

The tables runs, experiments, tags, params, latest_metrics and metrics are MLflow's own (3.17). Nothing here holds the
database's read lock for longer than one query takes: whoever writes waits a fraction of a second at most.
"""

from __future__ import annotations

import math
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from echolm.errors import EchoLMError
from grid.tables.schema import METRICS
from grid.tracking.rows import BATCH_ROWS, CELL, FINGERPRINT, GRID_PREFIX, Known, Latest, ListedRun, TrackedRun, grid_tag
from grid.tracking.store import sqlite_path

CHUNK = 500
"""Runs per query of params, metrics, tags and history."""
TIMEOUT_S = 60.0
RUNS = f"""
    SELECT r.run_uuid, r.name, e.name, r.status, r.start_time, r.end_time, r.artifact_uri,
           coalesce(f.value, ''), coalesce(c.value, '')
    FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid JOIN experiments e ON e.experiment_id = r.experiment_id
    LEFT JOIN tags f ON f.run_uuid = r.run_uuid AND f.key = '{FINGERPRINT}'
    LEFT JOIN tags c ON c.run_uuid = r.run_uuid AND c.key = '{CELL}'
    WHERE t.key = ? AND r.lifecycle_stage = 'active' ORDER BY r.run_uuid
"""
LATEST = """
    SELECT m.run_uuid, count(*), max(m.timestamp)
    FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid JOIN latest_metrics m ON m.run_uuid = t.run_uuid
    WHERE t.key = ? AND r.lifecycle_stage = 'active' GROUP BY m.run_uuid
"""
TAGS = "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({})"
PARAMS = "SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({})"
METRIC = "CASE WHEN is_nan THEN NULL WHEN value = ?1 THEN ?2 WHEN value = -?1 THEN -?2 ELSE value END"
LARGEST = (sys.float_info.max, math.inf)
"""MLflow stores infinity as the largest float: ``?1`` and ``?2`` of ``METRIC`` give it back."""
METRIC_VALUES = f"SELECT run_uuid, key, {METRIC} FROM latest_metrics WHERE run_uuid IN ({{}})"
POINTS = f"""
    SELECT run_uuid, key, step, timestamp, {METRIC} FROM metrics WHERE run_uuid IN ({{}})
    ORDER BY run_uuid, key, step, timestamp, is_nan, value
"""
KNOWN = f"""
    SELECT r.run_uuid, r.status, f.value FROM tags f JOIN runs r ON r.run_uuid = f.run_uuid
    WHERE f.key = '{FINGERPRINT}' AND r.lifecycle_stage = 'active' ORDER BY r.run_uuid
"""
GRIDS = f"SELECT run_uuid, key FROM tags WHERE key >= '{GRID_PREFIX}' AND key < '{GRID_PREFIX[:-1]}/'"
"""'/' is the character after '.'."""


@contextmanager
def opened(uri: str) -> Iterator[SqlReader]:
    """A reader of the database; EchoLMError when it is not there, or when what is there is not MLflow's."""
    path = sqlite_path(uri)
    assert path is not None, uri
    if not path.exists():
        raise EchoLMError(f"{path}: no tracking database; type: echolm collect")
    try:
        address = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=TIMEOUT_S, isolation_level=None)) as database:
            yield SqlReader(database, path)
    except sqlite3.Error as error:
        remedy = "move it away and type: echolm collect"
        raise EchoLMError(f"{path}: not a readable MLflow 3 database ({error}); {remedy}") from error


class SqlReader:
    """See ``rows.Reader``."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._state = _state(path)

    @property
    def state(self) -> str:
        """As it was when the database was opened."""
        return self._state

    def listed(self, grid: str) -> list[ListedRun]:
        """See ``rows.Reader``."""
        found = self._database.execute(RUNS, [grid_tag(grid)]).fetchall()
        return [ListedRun(*row) for row in found]

    def latest(self, grid: str) -> dict[str, Latest]:
        """See ``rows.Reader``."""
        return {run: Latest(*found) for run, *found in self._database.execute(LATEST, [grid_tag(grid)])}

    def runs(self, listed: Sequence[ListedRun]) -> Iterator[list[TrackedRun]]:
        """See ``rows.Reader``."""
        for chunk in _chunks(listed):
            ids = [run.run_id for run in chunk]
            params, tags, metrics = self._by_run(PARAMS, ids), self._by_run(TAGS, ids), self._by_run(METRIC_VALUES, ids, LARGEST)
            yield [TrackedRun(**vars(r), params=params[r.run_id], metrics=_numbers(metrics[r.run_id]), tags=tags[r.run_id]) for r in chunk]

    def points(self, run_ids: Sequence[str]) -> Iterator[pa.Table]:
        """See ``rows.Reader``."""
        for ids in _chunks(run_ids):
            cursor = self._database.execute(_filled(POINTS, ids), [*LARGEST, *ids])
            while rows := cursor.fetchmany(BATCH_ROWS):
                *columns, values = zip(*rows, strict=True)
                yield pa.table([*columns, pa.array(values, pa.float64()).fill_null(math.nan)], schema=METRICS)

    def known(self) -> list[Known]:
        """See ``rows.Reader``."""
        grids: dict[str, set[str]] = defaultdict(set)
        for run, key in self._database.execute(GRIDS):
            grids[run].add(key.removeprefix(GRID_PREFIX))
        return [Known(run, status, fingerprint, frozenset(grids[run])) for run, status, fingerprint in self._database.execute(KNOWN)]

    def _by_run(self, query: str, ids: Sequence[str], first: Sequence[float] = ()) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        for run, key, value in self._database.execute(_filled(query, ids), [*first, *ids]):
            found[run][key] = value
        return found


def _state(path: Path) -> str:
    """Inode, size, time and SQLite's own counter of changes (bytes 24-27) of the file, and of its write-ahead log."""
    parts = []
    for file in (path, path.with_name(path.name + "-wal")):
        if file.exists():
            found = file.stat()
            parts += [found.st_ino, found.st_size, found.st_mtime_ns]
    with open(path, "rb") as content:
        return ".".join(map(str, [*parts, content.read(28)[24:].hex()]))


def _filled(query: str, ids: Sequence[str]) -> str:
    return query.format(",".join("?" * len(ids)))


def _numbers(metrics: dict[str, float | None]) -> dict[str, float]:
    if None not in metrics.values():
        return metrics  # type: ignore[return-value]
    return {key: math.nan if value is None else value for key, value in metrics.items()}


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
