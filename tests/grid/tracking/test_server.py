"""Through a real tracking server: the same rows as from the database beneath it, and nothing lost or doubled."""

from __future__ import annotations

import math
import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from tracking_server import server
from tracking_support import tracked

from grid.tables.results import read_history
from grid.tracking import search
from grid.tracking.collect import collect
from grid.tracking.export import export

FORK = multiprocessing.get_context("fork")
ODD = {"test/nan": math.nan, "test/inf": math.inf, "test/-inf": -math.inf, "test/tiny": 5e-324}


@pytest.fixture(scope="module")
def served(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server, and that of its database."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(template, folder / "mlflow.db")
    database = f"sqlite:///{folder}/mlflow.db"
    with server(database, folder / "artifacts") as uri:
        yield uri, database


def everything(out: Path) -> tuple[Any, ...]:
    """What was collected; NaN equals NaN here."""
    runs = pq.read_table(out / "runs.parquet")
    files = {path.name: path.read_bytes() for path in (out / "predictions").iterdir()}
    return runs.schema.remove_metadata(), repr(runs.to_pylist()), repr(read_history(out).to_pylist()), files


def test_rows_are_those_of_the_database(
    served: tuple[str, str], records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, database = served
    made = [records(seed=seed) for seed in range(4)] + [records(seed=4, metrics=ODD), records("mlp", 5, more={"ü x": "é"})]
    exported = export([(record, "smoke") for record in made], uri)
    assert (exported.created, exported.problems) == (6, [])
    assert export([(record, "smoke") for record in made], uri).unchanged == 6
    client = MlflowClient(uri)
    client.create_run(client.create_experiment("somebody else's"), run_name="of another project")
    client.delete_run(next(run.run_id for run in tracked(database) if run.params["seed"] == "3"))
    for name, address, added in (("http", uri, 5), ("sql", database, 0)):
        report = collect(address, "smoke", None, tmp_path / name)
        assert (report.runs, report.read, report.predictions, report.problems, report.unfinished) == (5, 5, added, [], [])
        # artifacts that only the server can give are taken from there
        shutil.copytree(tmp_path / "http" / "predictions", tmp_path / "sql" / "predictions", dirs_exist_ok=True)
    assert everything(tmp_path / "http") == everything(tmp_path / "sql")
    assert collect(uri, "smoke", None, tmp_path / "http").read == 0, "incremental through HTTP too"
    assert collect(uri, "smoke", None, tmp_path / "sql").read == 0, "and it does not matter through what"
    for name, value in (("BULK", "/not/offered"), ("BULK_POINTS", 7)):
        with monkeypatch.context() as patch:
            patch.setattr(search, name, value)
            shutil.copytree(tmp_path / "http" / "predictions", tmp_path / name / "predictions")
            collect(uri, "smoke", None, tmp_path / name)
        assert everything(tmp_path / name) == everything(tmp_path / "sql")


def test_eight_exporters_at_once(served: tuple[str, str], records: Any) -> None:
    uri, database = served
    pairs = [(records("gat", seed), "eight") for seed in range(8)]
    processes = [FORK.Process(target=export, args=(pairs[number:] + pairs[:number], uri)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    runs = tracked(database, "eight")
    assert sorted(run.params["seed"] for run in runs) == [str(seed) for seed in range(8)]
    assert {run.status for run in runs} == {"FINISHED"}


def test_a_record_at_hand_gives_the_server_lost_predictions_back(served: tuple[str, str], records: Any, tmp_path: Path) -> None:
    uri, database = served
    record = records("lost", 0)
    export([(record, "lost")], uri)
    own = record.file("predictions.parquet")
    artifacts = Path(database.removeprefix("sqlite:///")).with_name("artifacts")
    [stored] = [path for path in artifacts.rglob("predictions.parquet") if path.read_bytes() == own.read_bytes()]
    stored.unlink()
    assert len(collect(uri, "lost", None, tmp_path / "without").problems) == 1
    report = collect(uri, "lost", None, tmp_path / "with", own=lambda fingerprint: own)
    assert (report.repaired, report.predictions, report.problems) == (1, 1, [])
    assert stored.read_bytes() == own.read_bytes()
