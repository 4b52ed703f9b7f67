"""Reads a SQLite tracking database directly and read-only: 8 to 33 times faster than paging through the client.

The tables runs, experiments, tags, params, latest_metrics and metrics are MLflow's own (3.17). Nothing here holds the
database's read lock for longer than one query takes: whoever writes waits a fraction of a second at most.
"""

from __future__ import annotations

import gc
import json
import math
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
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
    WHERE t.key = ? AND r.lifecycle_stage = 'active' ORDER BY t.run_uuid
"""
"""Ordered by the tag's run, as the index of the tags is: nothing has to be sorted."""
LATEST = "SELECT run_uuid, count(*), max(timestamp) FROM latest_metrics WHERE run_uuid IN ({}) GROUP BY run_uuid"
POINT = "SELECT rowid, run_uuid, key, timestamp, step FROM metrics"
"""SQLite numbers rows in the order of their insertion; with what the row holds, its number names a point even where rows
were deleted and numbers given again."""
TOUCHED = "SELECT run_uuid FROM metrics WHERE rowid > ?"
FEW_POINTS = 100_000
"""So many are looked through faster than the latest metrics of ten thousand runs."""
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
        with closing(sqlite3.connect(address, uri=True, timeout=TIMEOUT_S, isolation_level=None)) as database, _no_garbage():
            yield SqlReader(database)
    except sqlite3.Error as error:
        remedy = "move it away and type: echolm collect"
        raise EchoLMError(f"{path}: not a readable MLflow 3 database ({error}); {remedy}") from error


class SqlReader:
    """See ``rows.Reader``."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._last = database.execute(f"{POINT} ORDER BY rowid DESC LIMIT 1").fetchone()

    @property
    def logged(self) -> str:
        """See ``rows.Reader``."""
        return json.dumps(self._last) if self._last else ""

    def touched(self, logged: str) -> set[str] | None:
        """See ``rows.Reader``; None too where that point is gone, or ``FEW_POINTS`` were logged after it."""
        point = tuple(json.loads(logged)) if logged else None
        if point is None or self._last is None or self._last[0] - point[0] > FEW_POINTS:
            return None
        if self._database.execute(f"{POINT} WHERE rowid = ?", point[:1]).fetchone() != point:
            return None
        return {run for (run,) in self._database.execute(TOUCHED, point[:1])}

    def listed(self, grid: str) -> list[ListedRun]:
        """See ``rows.Reader``."""
        found = self._database.execute(RUNS, [grid_tag(grid)]).fetchall()
        return list(map(ListedRun._make, found))

    def latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        """See ``rows.Reader``."""
        found: dict[str, Latest] = {}
        for ids in _chunks(run_ids):
            found |= {run: Latest(count, time) for run, count, time in self._database.execute(_filled(LATEST, ids), ids)}
        return found

    def runs(self, listed: Sequence[ListedRun]) -> Iterator[list[TrackedRun]]:
        """See ``rows.Reader``."""
        for chunk in _chunks(listed):
            ids = [run.run_id for run in chunk]
            params, tags, metrics = self._by_run(PARAMS, ids), self._by_run(TAGS, ids), self._by_run(METRIC_VALUES, ids, LARGEST)
            yield [TrackedRun._make((*run, params[run.run_id], _numbers(metrics[run.run_id]), tags[run.run_id])) for run in chunk]

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


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Without Python's cyclic garbage collection, which looks through ten thousand rows many times and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _filled(query: str, ids: Sequence[str]) -> str:
    return query.format(",".join("?" * len(ids)))


def _numbers(metrics: dict[str, float | None]) -> dict[str, float]:
    if None not in metrics.values():
        return metrics  # type: ignore[return-value]
    return {key: math.nan if value is None else value for key, value in metrics.items()}


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
