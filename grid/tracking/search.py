"""Reads any tracking store through MLflow's client, page by page (about 4 to 7 ms a run)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from grid.tracking.rows import FINGERPRINT, Known, TrackedRun, grid_tag, metric_value
from grid.tracking.store import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000
"""Runs per request."""


def runs(uri: str, grid: str) -> Iterator[TrackedRun]:
    """See ``rows.Reader``."""
    client = open_client(uri)
    experiments = _experiments(client)
    found = _search(client, list(experiments), f"tags.`{grid_tag(grid)}` = 'true'")
    yield from sorted((_tracked(run, experiments) for run in found), key=lambda run: run.run_id)


def known(uri: str) -> Iterator[Known]:
    """See ``rows.Reader``."""
    client = open_client(uri)
    found = _search(client, list(_experiments(client)), f"tags.`{FINGERPRINT}` LIKE '%'")
    entries = [Known(run.info.run_id, run.info.status, dict(run.data.tags)) for run in found]
    yield from sorted(entries, key=lambda run: run.run_id)


def _experiments(client: MlflowClient) -> dict[str, str]:
    """Name by id of the experiments that are not deleted."""
    found, token = {}, None
    while True:
        page = client.search_experiments(max_results=PAGE, page_token=token)
        found.update({experiment.experiment_id: experiment.name for experiment in page})
        token = page.token
        if not token:
            return found


def _search(client: MlflowClient, experiments: list[str], where: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs(experiments, where, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


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
        params=dict(data.params),
        metrics={key: metric_value(value) for key, value in data.metrics.items()},
        tags=dict(data.tags),
    )
