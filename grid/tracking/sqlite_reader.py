"""Reads a SQLite tracking database directly and read-only.

That is 8 to 33 times faster than paging through the client. The tables runs, experiments, tags,
params, latest_metrics and metrics are MLflow's own (3.17). Nothing here holds the database's read
lock for longer than one query takes: whoever writes waits a fraction of a second at most.
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

from echolm.commands import Command
from echolm.errors import EchoLMError
from grid.results.schema import METRICS
from grid.tracking.address import sqlite_path
from grid.tracking.reader import (
    BATCH_ROWS,
    CELL,
    FINGERPRINT,
    GRID_PREFIX,
    STATE,
    Known,
    Latest,
    ListedRun,
    TrackedRun,
    grid_tag,
)

CHUNK = 500
"""Runs per query of params, metrics, tags and history."""
TIMEOUT_S = 60.0
RUNS = f"""
    SELECT r.run_uuid, r.name, e.name, r.status, r.start_time, r.end_time, r.artifact_uri,
           coalesce(f.value, ''), coalesce(c.value, ''), coalesce(s.value, '')
    FROM tags t
    JOIN runs r ON r.run_uuid = t.run_uuid
    JOIN experiments e ON e.experiment_id = r.experiment_id
    LEFT JOIN tags f ON f.run_uuid = r.run_uuid AND f.key = '{FINGERPRINT}'
    LEFT JOIN tags c ON c.run_uuid = r.run_uuid AND c.key = '{CELL}'
    LEFT JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = '{STATE}'
    WHERE t.key = ? AND r.lifecycle_stage = 'active' ORDER BY t.run_uuid
"""
"""Ordered by the tag's run, as the index of the tags is: nothing has to be sorted."""
LATEST = """
    SELECT run_uuid, count(*), max(timestamp) FROM latest_metrics
    WHERE run_uuid IN ({}) GROUP BY run_uuid
"""
POINT = "SELECT rowid, run_uuid, key, timestamp, step FROM metrics"
"""A point by its number.

SQLite numbers rows in the order of their insertion. With what the row holds, its number names a
point even where rows were deleted and numbers given again.
"""
TOUCHED = "SELECT run_uuid FROM metrics WHERE rowid > ?"
FEW_POINTS = 100_000
"""So many are looked through faster than the latest metrics of ten thousand runs."""
TAGS = "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({})"
PARAMS = "SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({})"
METRIC = (
    "CASE WHEN is_nan THEN NULL WHEN value = ?1 THEN ?2 WHEN value = -?1 THEN -?2 ELSE value END"
)
LARGEST = (sys.float_info.max, math.inf)
"""MLflow stores infinity as the largest float: ``?1`` and ``?2`` of ``METRIC`` give it back."""
METRIC_VALUES = f"SELECT run_uuid, key, {METRIC} FROM latest_metrics WHERE run_uuid IN ({{}})"
POINTS = f"""
    SELECT run_uuid, key, step, timestamp, {METRIC} FROM metrics WHERE run_uuid IN ({{}})
    ORDER BY run_uuid, key, step, timestamp, is_nan, value
"""
KNOWN = f"""
    SELECT r.run_uuid, r.status, f.value, coalesce(c.value, ''), coalesce(s.value, '')
    FROM tags f JOIN runs r ON r.run_uuid = f.run_uuid
    LEFT JOIN tags c ON c.run_uuid = r.run_uuid AND c.key = '{CELL}'
    LEFT JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = '{STATE}'
    WHERE f.key = '{FINGERPRINT}' AND r.lifecycle_stage = 'active' ORDER BY r.run_uuid
"""
GRIDS = (
    f"SELECT run_uuid, key FROM tags WHERE key >= '{GRID_PREFIX}' AND key < '{GRID_PREFIX[:-1]}/'"
)
"""'/' is the character after '.'."""


@contextmanager
def opened(uri: str) -> Iterator[SqlReader]:
    """Open a reader of the database.

    Raises:
        EchoLMError: the database is not there, or what is there is not MLflow's.
    """
    path = sqlite_path(uri)
    assert path is not None, uri
    if not path.exists():
        raise EchoLMError(f"{path}: no tracking database; type", Command("collect"))
    address = f"file:{quote(str(path))}?mode=ro"
    try:
        database = sqlite3.connect(address, uri=True, timeout=TIMEOUT_S, isolation_level=None)
        with closing(database), _no_garbage():
            yield SqlReader(database)
    except sqlite3.Error as error:
        raise EchoLMError(
            f"{path}: not a readable MLflow 3 database ({error}); move it away and type",
            Command("collect"),
        ) from error


class SqlReader:
    """See ``reader.Reader``."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._last = database.execute(f"{POINT} ORDER BY rowid DESC LIMIT 1").fetchone()

    @property
    def logged(self) -> str:
        """See ``reader.Reader``."""
        return json.dumps(self._last) if self._last else ""

    def touched(self, logged: str) -> set[str] | None:
        """See ``reader.Reader``.

        None too where that point is gone, or ``FEW_POINTS`` were logged after it.
        """
        if not logged or self._last is None:
            return None
        point = tuple(json.loads(logged))
        row_id = point[0]
        if self._last[0] - row_id > FEW_POINTS:
            return None
        there = self._database.execute(f"{POINT} WHERE rowid = ?", (row_id,)).fetchone()
        if there != point:
            return None
        return {run for (run,) in self._database.execute(TOUCHED, (row_id,))}

    def listed(self, grid: str) -> list[ListedRun]:
        """See ``reader.Reader``."""
        rows = self._database.execute(RUNS, [grid_tag(grid)]).fetchall()
        return [ListedRun._make(row) for row in rows]

    def latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        """See ``reader.Reader``."""
        latest: dict[str, Latest] = {}
        for ids in _chunks(run_ids):
            for run, count, time in self._database.execute(_filled(LATEST, ids), ids):
                latest[run] = Latest(count, time)
        return latest

    def runs(self, listed: Sequence[ListedRun]) -> Iterator[list[TrackedRun]]:
        """See ``reader.Reader``."""
        for chunk in _chunks(listed):
            ids = [run.run_id for run in chunk]
            params = self._by_run(PARAMS, ids)
            tags = self._by_run(TAGS, ids)
            metrics = self._by_run(METRIC_VALUES, ids, LARGEST)
            runs = []
            for run in chunk:
                values = metrics[run.run_id]
                _null_to_nan(values)
                content = (params[run.run_id], values, tags[run.run_id])
                runs.append(TrackedRun._make((*run, *content)))
            yield runs

    def points(self, run_ids: Sequence[str]) -> Iterator[pa.Table]:
        """See ``reader.Reader``."""
        for ids in _chunks(run_ids):
            cursor = self._database.execute(_filled(POINTS, ids), [*LARGEST, *ids])
            while rows := cursor.fetchmany(BATCH_ROWS):
                *columns, values = zip(*rows, strict=True)
                with_nan = pa.array(values, pa.float64()).fill_null(math.nan)
                yield pa.table([*columns, with_nan], schema=METRICS)

    def known(self) -> list[Known]:
        """See ``reader.Reader``."""
        grids: dict[str, set[str]] = defaultdict(set)
        for run, key in self._database.execute(GRIDS):
            grids[run].add(key.removeprefix(GRID_PREFIX))
        known = []
        for run, status, fingerprint, cell, state in self._database.execute(KNOWN):
            known.append(Known(run, status, fingerprint, frozenset(grids[run]), cell, state))
        return known

    def _by_run(
        self, query: str, ids: Sequence[str], first: Sequence[float] = ()
    ) -> dict[str, dict[str, Any]]:
        """Return what a query for key and value gives, by run. ``first``: its first parameters."""
        values: dict[str, dict[str, Any]] = defaultdict(dict)
        for run, key, value in self._database.execute(_filled(query, ids), [*first, *ids]):
            values[run][key] = value
        return values


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Switch off Python's cyclic garbage collection.

    It looks through ten thousand rows many times and finds nothing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _filled(query: str, ids: Sequence[str]) -> str:
    return query.format(",".join("?" * len(ids)))


def _null_to_nan(metrics: dict[str, Any]) -> None:
    """Set NaN where the database has null."""
    for key, value in metrics.items():
        if value is None:
            metrics[key] = math.nan


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
