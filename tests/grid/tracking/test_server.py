"""Through a real tracking server.

The same rows as from the database beneath it, and nothing lost or doubled.
"""

from __future__ import annotations

import math
import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from cutting_proxy import proxy
from mlflow import MlflowClient
from tracking_server import server
from tracking_support import tracked

from echolm.cli.main import main
from echolm.workspace import Workspace
from grid.results.files import read_history
from grid.tracking import client_reader, exporter
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
    return (
        runs.schema.remove_metadata(),
        repr(runs.to_pylist()),
        repr(read_history(out).to_pylist()),
        files,
    )


def test_rows_are_those_of_the_database(
    served: tuple[str, str], records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, database = served
    made = [records(seed=seed) for seed in range(4)] + [
        records(seed=4, metrics=ODD),
        records("mlp", 5, more={"ü x": "é"}),
    ]
    exported = export([(record, "smoke") for record in made], uri)
    assert (exported.created, exported.problems) == (6, [])
    assert export([(record, "smoke") for record in made], uri).unchanged == 6
    client = MlflowClient(uri)
    client.create_run(client.create_experiment("somebody else's"), run_name="of another project")
    client.delete_run(next(run.run_id for run in tracked(database) if run.params["seed"] == "3"))
    for name, address, added in (("http", uri, 5), ("sql", database, 0)):
        report = collect(address, "smoke", None, tmp_path / name)
        assert (
            report.runs,
            report.read,
            report.predictions,
            report.problems,
            report.unfinished,
        ) == (5, 5, added, [], [])
        # artifacts that only the server can give are taken from there
        shutil.copytree(
            tmp_path / "http" / "predictions", tmp_path / "sql" / "predictions", dirs_exist_ok=True
        )
    assert everything(tmp_path / "http") == everything(tmp_path / "sql")
    assert collect(uri, "smoke", None, tmp_path / "http").read == 0, "incremental through HTTP too"
    assert collect(uri, "smoke", None, tmp_path / "sql").read == 0, (
        "and it does not matter through what"
    )
    for name, value in (("BULK", "/not/offered"), ("BULK_POINTS", 7)):
        with monkeypatch.context() as patch:
            patch.setattr(client_reader, name, value)
            shutil.copytree(tmp_path / "http" / "predictions", tmp_path / name / "predictions")
            collect(uri, "smoke", None, tmp_path / name)
        assert everything(tmp_path / name) == everything(tmp_path / "sql")


def test_eight_exporters_at_once(served: tuple[str, str], records: Any) -> None:
    uri, database = served
    pairs = [(records("gat", seed), "eight") for seed in range(8)]
    processes = [
        FORK.Process(target=export, args=(pairs[number:] + pairs[:number], uri))
        for number in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    runs = tracked(database, "eight")
    assert sorted(run.params["seed"] for run in runs) == [str(seed) for seed in range(8)]
    assert {run.status for run in runs} == {"FINISHED"}


def test_a_record_at_hand_gives_the_server_lost_predictions_back(
    served: tuple[str, str], records: Any, tmp_path: Path
) -> None:
    uri, database = served
    record = records("lost", 0)
    export([(record, "lost")], uri)
    own = record.file("predictions.parquet")
    artifacts = Path(database.removeprefix("sqlite:///")).with_name("artifacts")
    [stored] = [
        path
        for path in artifacts.rglob("predictions.parquet")
        if path.read_bytes() == own.read_bytes()
    ]
    stored.unlink()
    assert len(collect(uri, "lost", None, tmp_path / "without").problems) == 1
    report = collect(uri, "lost", None, tmp_path / "with", recorded=lambda fingerprint: own)
    assert (report.repaired, report.predictions, report.problems) == (1, 1, [])
    assert stored.read_bytes() == own.read_bytes()


@pytest.mark.parametrize(
    ("path", "times"),
    [
        ("runs/create", 1),
        ("runs/create", 3),
        ("experiments/create", 1),
        ("runs/log-batch", 2),
        ("runs/log-inputs", 1),
        ("runs/set-tag", 1),
        ("runs/update", 2),
        ("predictions.parquet", 1),
        ("runs/search", 1),
    ],
)
def test_lost_answers_double_no_run(
    served: tuple[str, str], records: Any, path: str, times: int
) -> None:
    """The server did what it was asked for, and nobody heard of it."""
    uri, database = served
    grid = f"lost {path.replace('/', ' ')} {times}"
    pairs = [(records(grid, seed), grid) for seed in range(3)]
    with proxy(uri) as between:
        between.cuts[path] = times
        report = export(pairs, between.address)
        assert (report.created, report.problems) == (3, [])
        assert between.cuts[path] == 0 or path == "runs/set-tag", "no answer was lost"
        assert export(pairs, between.address).unchanged == 3
        assert sum(seen.endswith("runs/create") for seen in between.seen) == 3
    runs = tracked(database, grid)
    assert sorted(run.params["seed"] for run in runs) == ["0", "1", "2"]
    assert {run.status for run in runs} == {"FINISHED"}


def test_doubles_of_earlier_versions_are_closed_and_told(
    served: tuple[str, str], records: Any, tmp_path: Path
) -> None:
    """Their answers were lost, and each was made again: what is not finished goes."""
    uri, database = served
    pairs = [(records("doubled", seed), "doubled") for seed in range(2)]
    export(pairs, uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("doubled")
    assert experiment is not None
    tags = dict(tracked(database, "doubled")[0].tags)
    own = {key: value for key, value in tags.items() if key.startswith("echolm")}
    doubles = {client.create_run(experiment.experiment_id, tags=own).info.run_id for _ in range(3)}
    assert len(collect(uri, "doubled", None, tmp_path / "out").unfinished) == 3
    report = export(pairs, uri)
    assert len(report.closed) == 3 and report.unchanged == 2
    assert {text.split()[1].rstrip(":") for text in report.closed} == doubles
    assert collect(uri, "doubled", None, tmp_path / "out").unfinished == []
    assert {run.run_id for run in tracked(database, "doubled")}.isdisjoint(doubles)
    assert export(pairs, uri).closed == []


def test_a_password_is_never_printed(
    served: tuple[str, str], records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where all goes well, nor where answers are lost, in words and in JSON."""
    uri, _ = served
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(exporter, "WAITS_S", (0.0,))
    workspace = Workspace(tmp_path / "w")
    make = type(records)(workspace.runs)
    make("secret", 0)
    printed = []
    with proxy(uri) as between:
        host = between.address.removeprefix("http://")
        secret = f"http://ann:Tr0ub4dor%40{'x' * 5}@{host}"
        for ending in ("", "runs/create", "search"):
            for further in ([], ["--json"]):
                between.cuts = {ending: 99} if ending else {}
                words = ["-w", str(workspace.root), "collect", "--tracking-uri", secret, *further]
                result = CliRunner().invoke(main, words)
                assert "Traceback" not in result.output
                printed.append(result.output)
                make("secret", len(printed))
    assert all("Tr0ub4dor" not in text and "xxxxx" not in text for text in printed)
    assert "http://***@127.0.0.1" in printed[0] and '"http://***@127.0.0.1' in printed[1]
    assert any("cannot be used" in text for text in printed)
