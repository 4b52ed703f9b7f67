"""Both readers give the same rows: direct SQL, and MLflow's own client."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from tracking_support import tracked

from echolm.errors import EchoLMError
from grid.results.schema import METRICS
from grid.tracking import client_reader, sqlite_reader
from grid.tracking.collect import collect
from grid.tracking.export import export
from grid.tracking.reader import TrackedRun


@pytest.fixture
def varied(records: Any, uri: str) -> str:
    """Many kinds of runs.

    Numbers that are not finite, more params, other statuses, a deleted run, other projects' runs.
    """
    odd = {"test/nan": math.nan, "test/inf": math.inf, "test/-inf": -math.inf, "test/tiny": 5e-324}
    pairs: list[Any] = [(records(seed=seed), "smoke") for seed in range(3)]
    pairs += [
        (records(seed=3, metrics=odd), "smoke"),
        (records(seed=4, more={"a": 1, "b": "", "ü x": "é"}), "smoke"),
    ]
    pairs += [(pairs[0][0], "full"), (records(seed=5), "full"), (records(seed=6), None)]
    export(pairs, uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    client.create_run(experiment.experiment_id, run_name="somebody else's")
    tags = {"echolm.grid.smoke": "true", "echolm.fingerprint": "f" * 64, "echolm.cell": "c" * 16}
    client.create_run(experiment.experiment_id, tags=tags)
    failed = client.create_run(
        experiment.experiment_id, tags={**tags, "echolm.fingerprint": "e" * 64}
    )
    client.log_metric(failed.info.run_id, "a", 1.0)
    client.log_batch(failed.info.run_id, [Metric("a", math.nan, 1, 5), Metric("a", 7.0, 2, 4)])
    client.set_terminated(failed.info.run_id, "FAILED")
    client.delete_run(next(run.run_id for run in tracked(uri) if run.params.get("seed") == "2"))
    return uri


def comparable(run: TrackedRun) -> Any:
    """NaN equals NaN here."""
    values = run._asdict() | {"metrics": {key: repr(value) for key, value in run.metrics.items()}}
    return sorted(values.items())


@pytest.mark.parametrize("grid", ["smoke", "full", "single-runs", "absent"])
@pytest.mark.parametrize("size", [2, 1000])
def test_rows_are_the_same(
    varied: str, grid: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_reader, "CHUNK", size)
    monkeypatch.setattr(client_reader, "PAGE", size)
    monkeypatch.setattr(client_reader, "BATCH_ROWS", 10 * size)
    monkeypatch.setattr(sqlite_reader, "BATCH_ROWS", 10 * size)
    by_sql, by_search = tracked(varied, grid, sqlite_reader), tracked(varied, grid, client_reader)
    assert [comparable(run) for run in by_sql] == [comparable(run) for run in by_search]
    assert len(by_sql) == {"smoke": 6, "full": 2, "single-runs": 1, "absent": 0}[grid]
    contents = []
    for readers in (sqlite_reader, client_reader):
        with readers.opened(varied) as reader:
            listed = reader.listed(grid)
            points = pa.concat_tables(
                [*reader.points([run.run_id for run in listed]), METRICS.empty_table()]
            )
            contents.append(
                (
                    listed,
                    reader.latest([run.run_id for run in listed]),
                    repr(points.to_pylist()),
                    reader.known(),
                )
            )
    assert contents[0] == contents[1] and len(contents[0][-1]) == 8


def test_values_survive(varied: str) -> None:
    for readers in (sqlite_reader, client_reader):
        by_seed = {run.params.get("seed"): run for run in tracked(varied, "smoke", readers)}
        odd = by_seed["3"].metrics
        assert math.isnan(odd["test/nan"]) and odd["test/tiny"] == 5e-324
        assert (odd["test/inf"], odd["test/-inf"]) == (math.inf, -math.inf)
        assert by_seed["4"].params["more.b"] == "" and by_seed["4"].params["more.ü x"] == "é"


def test_the_collected_tables_are_the_same(varied: str, tmp_path: Path) -> None:
    for name, reader in (("sql", sqlite_reader), ("search", client_reader)):
        collect(varied, "smoke", None, tmp_path / name, readers=reader)
    one, other = (pq.read_table(tmp_path / name / "runs.parquet") for name in ("sql", "search"))
    assert one.schema == other.schema
    assert repr(one.to_pylist()) == repr(other.to_pylist()) and one.num_rows == 4


def test_reading_writes_nothing(varied: str) -> None:
    path = Path(varied.removeprefix("sqlite:///"))
    before = path.read_bytes()
    path.chmod(0o444)
    with sqlite_reader.opened(varied) as reader:
        listed = reader.listed("smoke")
        ids = [run.run_id for run in listed]
        assert (
            list(reader.runs(listed))
            and list(reader.points(ids))
            and reader.known()
            and reader.latest(ids)
        )
        assert reader.touched(reader.logged) == set()
    assert path.read_bytes() == before and not path.with_name(path.name + "-journal").exists()


def test_a_database_in_a_folder_with_any_name(varied: str, tmp_path: Path) -> None:
    folder = tmp_path / "it's a \"#1;& größe"
    shutil.copytree(Path(varied.removeprefix("sqlite:///")).parent, folder)
    assert len(tracked(f"sqlite:///{folder}/mlflow.db")) == 6


def test_what_is_no_mlflow_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="absent.db: no tracking database; type: echolm collect"):
        tracked(f"sqlite:///{tmp_path}/absent.db")
    for name, content in (("empty.db", b""), ("text.db", b"not a database " * 100)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EchoLMError, match=f"{name}: not a readable MLflow 3 database"):
            tracked(f"sqlite:///{tmp_path}/{name}")
