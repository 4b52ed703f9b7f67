"""A PostgreSQL tracking database.

It is written to directly, and read directly and through a tracking server.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from postgresql import driver, postgresql
from tracking_server import server
from tracking_support import tracked

from grid.results.files import read_history
from grid.tracking.collect import collect
from grid.tracking.export import export
from grid.tracking.store import open_client

pytestmark = pytest.mark.skipif(
    os.environ.get("ECHOLM_TEST_SYSTEM") != "1",
    reason="starts PostgreSQL; set ECHOLM_TEST_SYSTEM=1 to run it",
)
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(driver(tmp_path_factory.mktemp("driver")))
    with pytest.MonkeyPatch.context() as patch, postgresql() as uri:
        patch.syspath_prepend(folder)
        patch.setenv(
            "PYTHONPATH", os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        )
        open_client(uri)
        yield uri
    sys.modules.pop("psycopg2", None)


def test_eight_exporters_at_once_and_the_same_rows_through_a_server(
    database: str, records: Any, tmp_path: Path
) -> None:
    pairs = [
        (records(seed=seed, metrics={"test/nan": math.nan, "test/inf": -math.inf}), "smoke")
        for seed in range(8)
    ]
    processes = [
        FORK.Process(
            target=export,
            args=(pairs[number:] + pairs[:number], database),
            kwargs={"artifacts": tmp_path / "files"},
        )
        for number in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    runs = tracked(database)
    assert sorted(run.params["seed"] for run in runs) == [str(seed) for seed in range(8)]
    assert {run.status for run in runs} == {"FINISHED"}
    assert len(list((tmp_path / "files" / "smoke").glob("*/artifacts/predictions.parquet"))) == 8
    found = {}
    with server(database, tmp_path / "artifacts") as uri:
        for name, address in (("direct", database), ("http", uri)):
            report = collect(address, "smoke", None, tmp_path / name)
            assert (report.runs, report.read, report.predictions, report.problems) == (8, 8, 8, [])
            rows, points = (
                pq.read_table(tmp_path / name / "runs.parquet"),
                read_history(tmp_path / name),
            )
            found[name] = rows.schema.names, repr(rows.to_pylist()), repr(points.to_pylist())
            assert len(points) == 8 * (3 * 3 + 5 + 3)
    assert found["direct"] == found["http"]
