"""Where MLflow's pages show the runs of a grid."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from urllib.parse import quote

from grid.tracking.address import is_server, is_there, shown, sqlite_path

LOCAL = "http://127.0.0.1:5000"
"""Where ``mlflow ui`` answers, unless it is told otherwise."""
RUNS_PAGE = "/#/experiments/{}/runs?workflowType=machine_learning"
"""MLflow 3 opens an experiment with its page for language models, unless it is told otherwise."""


def runs_pages(uri: str, grids: Sequence[str]) -> dict[str, str]:
    """Return the address of the page of each grid that has an experiment.

    There is none of a database other than SQLite: who serves it is not known here.
    """
    pages = {}
    site = shown(uri).rstrip("/") if is_server(uri) else LOCAL
    for grid, experiment in _experiments(uri, grids).items():
        pages[grid] = site + RUNS_PAGE.format(experiment)
    return pages


def _experiments(uri: str, grids: Sequence[str]) -> dict[str, str]:
    """Return the ids of experiments by name."""
    path = sqlite_path(uri)
    if path is not None:
        return _of_database(str(path), grids) if is_there(path) else {}
    if not uri.startswith("http"):
        return {}
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri)
    ids = {}
    with suppress(MlflowException):  # what was collected is there, whatever becomes of a link
        for grid in grids:
            experiment = client.get_experiment_by_name(grid)
            if experiment is not None:
                ids[grid] = quote(experiment.experiment_id)
    return ids


def _of_database(path: str, grids: Sequence[str]) -> dict[str, str]:
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT name, experiment_id FROM experiments").fetchall()
    except sqlite3.Error:
        return {}
    return {name: str(number) for name, number in rows if name in grids}
