"""Reads any tracking store through MLflow's client, page by page: about 4 to 7 ms a run.

The client gives the history of one metric of one run at a time. Servers and SQL stores can give that of 100 runs: the
request of MLflow's own charts. It is used where it answers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from grid.tables.schema import METRICS
from grid.tracking.rows import BATCH_ROWS, CELL, FINGERPRINT, GRID_PREFIX, Known, Latest, ListedRun, TrackedRun, grid_tag
from grid.tracking.store import open_client, unusable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000
"""Runs per request."""
CHUNK = 500
BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
BULK_RUNS, BULK_POINTS = 100, 25_000
"""MLflow's limits of one such request."""
Point = tuple[str, str, int, int, float]
"""run_id, key, step, time, value."""


@contextmanager
def opened(uri: str) -> Iterator[ClientReader]:
    """A reader of the store; EchoLMError when it cannot be reached, or fails on the way."""
    client = open_client(uri)
    from mlflow.exceptions import MlflowException

    try:
        yield ClientReader(client)
    except MlflowException as error:
        raise unusable(uri, error) from error


class ClientReader:
    """See ``rows.Reader``. The API has no list without contents: what a listing fetched is kept for ``latest`` and ``runs``."""

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
        """Cannot be told."""

    def listed(self, grid: str) -> list[ListedRun]:
        """See ``rows.Reader``."""
        found = []
        for run in self._search(f"tags.`{grid_tag(grid)}` = 'true'"):
            self._runs[run.info.run_id] = tracked = _tracked(run, self._experiments)
            found.append(tracked)
            if tracked.metrics:
                times = [metric.timestamp for metric in run.data.to_proto().metrics]
                self._latest[tracked.run_id] = Latest(len(times), max(times))
        return [_listed(run) for run in sorted(found, key=lambda run: run.run_id)]

    def latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        """See ``rows.Reader``; of the last listing."""
        return {run: self._latest[run] for run in run_ids if run in self._latest}

    def runs(self, listed: Sequence[ListedRun]) -> Iterator[list[TrackedRun]]:
        """See ``rows.Reader``; of the last listing."""
        for start in range(0, len(listed), CHUNK):
            yield [self._runs[run.run_id] for run in listed[start : start + CHUNK]]

    def points(self, run_ids: Sequence[str]) -> Iterator[pa.Table]:
        """See ``rows.Reader``."""
        for start in range(0, len(run_ids), BULK_RUNS):
            found = self._history(run_ids[start : start + BULK_RUNS])
            rows = sorted(found, key=lambda row: (*row[:4], math.isnan(row[4]), row[4]))
            for first in range(0, len(rows), BATCH_ROWS):
                yield pa.table(list(zip(*rows[first : first + BATCH_ROWS], strict=True)), schema=METRICS)

    def known(self) -> list[Known]:
        """See ``rows.Reader``."""
        found = []
        for run in self._search(f"tags.`{FINGERPRINT}` LIKE '%'"):
            grids = frozenset(key.removeprefix(GRID_PREFIX) for key in run.data.tags if key.startswith(GRID_PREFIX))
            found.append(Known(run.info.run_id, run.info.status, run.data.tags[FINGERPRINT], grids))
        return sorted(found, key=lambda run: run.run_id)

    def _history(self, runs: Sequence[str]) -> Iterator[Point]:
        """Of up to ``BULK_RUNS`` runs, unordered."""
        for key in sorted({key for run in runs for key in self._runs[run].metrics}):
            for point in self._values([run for run in runs if key in self._runs[run].metrics], key):
                yield point["run_id"], key, point["step"], point["timestamp"], _number(point["value"])

    def _values(self, runs: list[str], key: str) -> list[dict[str, Any]]:
        """All values of one metric of some runs."""
        points = self._bulk(runs, key) if len(runs) > 1 else None
        if points is None:
            return [{**dict(point), "run_id": run} for run in runs for point in self._client.get_metric_history(run, key)]
        if len(points) < BULK_POINTS:
            return points
        half = len(runs) // 2  # there may be more than it tells at once
        return self._values(runs[:half], key) + self._values(runs[half:], key)

    def _bulk(self, runs: list[str], key: str) -> list[dict[str, Any]] | None:
        """The first ``BULK_POINTS`` values; None where the store does not offer that."""
        store = self._client._tracking_client.store
        if hasattr(store, "get_metric_history_bulk"):
            return [point.to_dict() for point in store.get_metric_history_bulk(runs, key, BULK_POINTS)]
        from mlflow.utils.rest_utils import http_request

        wanted = {"run_id": runs, "metric_key": key, "max_results": BULK_POINTS}
        answer = http_request(store.get_host_creds(), BULK, "GET", params=wanted, raise_on_status=False)
        return answer.json()["metrics"] if answer.status_code == 200 else None

    def _search(self, where: str) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(list(self._experiments), where, max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


def _experiments(client: MlflowClient) -> dict[str, str]:
    """Name by id of the experiments that are not deleted."""
    found, token = {}, None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        found.update({experiment.experiment_id: experiment.name for experiment in page})
        token = page.token
        if not token:
            return found


def _number(value: float) -> float:
    """SQL stores hold infinity as the largest float: give it back."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _listed(run: TrackedRun) -> ListedRun:
    return ListedRun._make(run[: len(ListedRun._fields)])


def _tracked(run: Run, experiments: dict[str, str]) -> TrackedRun:
    info, data = run.info, run.data
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
        params=dict(data.params),
        metrics={key: _number(value) for key, value in data.metrics.items()},
        tags=dict(data.tags),
    )
