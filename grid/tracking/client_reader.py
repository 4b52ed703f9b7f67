"""Reads any tracking store through MLflow's client, page by page: about 4 to 7 ms a run.

The client gives the history of one metric of one run at a time. Servers and SQL stores can give
that of 100 runs: the request of MLflow's own charts. It is used where it answers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from grid.results.schema import METRICS
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
from grid.tracking.store import open_client, unusable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000
"""Runs per request."""
CHUNK = 500
"""Runs that ``runs`` yields together."""
BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
BULK_RUNS = 100
"""MLflow's limit of runs in one such request."""
BULK_POINTS = 25_000
"""MLflow's limit of points in one such answer."""
Point = tuple[str, str, int, int, float]
"""run_id, key, step, time, value."""


@contextmanager
def opened(uri: str) -> Iterator[ClientReader]:
    """Open a reader of the store.

    Raises:
        EchoLMError: it cannot be reached, or fails on the way.
    """
    client = open_client(uri)
    from mlflow.exceptions import MlflowException

    try:
        yield ClientReader(client)
    except MlflowException as error:
        raise unusable(uri, error) from None  # what it came from may show a password


class ClientReader:
    """See ``reader.Reader``.

    The API has no list without contents: what a listing fetched is kept for ``latest`` and
    ``runs``.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client
        self._experiments = _experiments(client)
        self._runs: dict[str, TrackedRun] = {}
        self._latest: dict[str, Latest] = {}

    @property
    def logged(self) -> str:
        """Cannot be told."""
        return ""

    def touched(self, logged: str) -> None:
        """Return None: it cannot be told."""

    def listed(self, grid: str) -> list[ListedRun]:
        """See ``reader.Reader``."""
        listed = []
        for run in self._search(f"tags.`{grid_tag(grid)}` = 'true'"):
            tracked = _tracked(run, self._experiments)
            self._runs[tracked.run_id] = tracked
            listed.append(_listed(tracked))
            if tracked.metrics:
                times = [metric.timestamp for metric in run.data.to_proto().metrics]
                self._latest[tracked.run_id] = Latest(len(times), max(times))
        return sorted(listed, key=lambda run: run.run_id)

    def latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        """See ``reader.Reader``. It is of the last listing."""
        return {run: self._latest[run] for run in run_ids if run in self._latest}

    def runs(self, listed: Sequence[ListedRun]) -> Iterator[list[TrackedRun]]:
        """See ``reader.Reader``. It is of the last listing."""
        for start in range(0, len(listed), CHUNK):
            yield [self._runs[run.run_id] for run in listed[start : start + CHUNK]]

    def points(self, run_ids: Sequence[str]) -> Iterator[pa.Table]:
        """See ``reader.Reader``."""
        for start in range(0, len(run_ids), BULK_RUNS):
            points = self._history(run_ids[start : start + BULK_RUNS])
            rows = sorted(points, key=_order)
            for first in range(0, len(rows), BATCH_ROWS):
                columns = zip(*rows[first : first + BATCH_ROWS], strict=True)
                yield pa.table(list(columns), schema=METRICS)

    def known(self) -> list[Known]:
        """See ``reader.Reader``."""
        known = []
        for run in self._search(f"tags.`{FINGERPRINT}` LIKE '%'"):
            tags = run.data.tags
            grid_tags = [tag for tag in tags if tag.startswith(GRID_PREFIX)]
            grids = frozenset(tag.removeprefix(GRID_PREFIX) for tag in grid_tags)
            known.append(
                Known(
                    run.info.run_id,
                    run.info.status,
                    tags[FINGERPRINT],
                    grids,
                    tags.get(CELL, ""),
                    tags.get(STATE, ""),
                )
            )
        return sorted(known, key=lambda run: run.run_id)

    def _history(self, run_ids: Sequence[str]) -> Iterator[Point]:
        """Yield the points of up to ``BULK_RUNS`` runs, unordered."""
        runs_by_key: dict[str, list[str]] = {}
        for run_id in run_ids:
            for key in self._runs[run_id].metrics:
                runs_by_key.setdefault(key, []).append(run_id)
        for key, runs in sorted(runs_by_key.items()):
            for point in self._values(runs, key):
                value = _number(point["value"])
                yield point["run_id"], key, point["step"], point["timestamp"], value

    def _values(self, run_ids: list[str], key: str) -> list[dict[str, Any]]:
        """Return all values of one metric of some runs."""
        points = self._bulk(run_ids, key) if len(run_ids) > 1 else None
        if points is None:
            points = []
            for run_id in run_ids:
                for point in self._client.get_metric_history(run_id, key):
                    points.append({**dict(point), "run_id": run_id})
            return points
        if len(points) < BULK_POINTS:
            return points
        half = len(run_ids) // 2  # there may be more than it tells at once
        return self._values(run_ids[:half], key) + self._values(run_ids[half:], key)

    def _bulk(self, run_ids: list[str], key: str) -> list[dict[str, Any]] | None:
        """Return the first ``BULK_POINTS`` values. None where the store does not offer that."""
        store = self._client._tracking_client.store
        if hasattr(store, "get_metric_history_bulk"):
            points = store.get_metric_history_bulk(run_ids, key, BULK_POINTS)
            return [point.to_dict() for point in points]
        from mlflow.utils.rest_utils import http_request

        params = {"run_id": run_ids, "metric_key": key, "max_results": BULK_POINTS}
        answer = http_request(
            store.get_host_creds(), BULK, "GET", params=params, raise_on_status=False
        )
        if answer.status_code != 200:
            return None
        return answer.json()["metrics"]

    def _search(self, where: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                list(self._experiments), where, max_results=PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return


def _experiments(client: MlflowClient) -> dict[str, str]:
    """Return the names of the experiments that are not deleted, by id."""
    names: dict[str, str] = {}
    token = None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        for experiment in page:
            names[experiment.experiment_id] = experiment.name
        token = page.token
        if not token:
            return names


def _order(point: Point) -> tuple[Any, ...]:
    """Order points by run, key, step, time and value, NaN last."""
    *place, value = point
    return (*place, math.isnan(value), value)


def _number(value: float) -> float:
    """Give infinity back, which SQL stores hold as the largest float."""
    if abs(value) == sys.float_info.max:
        return math.copysign(math.inf, value)
    return value


def _listed(run: TrackedRun) -> ListedRun:
    return ListedRun._make(run[: len(ListedRun._fields)])


def _tracked(run: Run, experiments: dict[str, str]) -> TrackedRun:
    info = run.info
    data = run.data
    return TrackedRun(
        run_id=info.run_id,
        name=info.run_name,
        experiment=experiments[info.experiment_id],
        status=info.status,
        start=info.start_time,
        end=info.end_time,
        artifact_uri=info.artifact_uri,
        fingerprint=data.tags.get(FINGERPRINT, ""),
        cell=data.tags.get(CELL, ""),
        state=data.tags.get(STATE, ""),
        params=dict(data.params),
        metrics={key: _number(value) for key, value in data.metrics.items()},
        tags=dict(data.tags),
    )
