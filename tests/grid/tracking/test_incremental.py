"""Collecting again: only what is new or has changed is read.

The result is that of collecting everything anew.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from tracking_support import exported, tracked

from echolm.errors import EchoLMError
from echolm.record import PREDICTIONS_KEY, PREDICTIONS_SCHEMA
from grid.results import schema
from grid.results.files import newest_runs, read_history
from grid.results.schema import KEY, SCHEMA
from grid.tracking import runs_file, sqlite_reader
from grid.tracking.address import sqlite_path
from grid.tracking.collect import collect
from grid.tracking.export import export

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "smoke"


def content(out: Path) -> tuple[Any, ...]:
    """Rows and history, whatever the parts they lie in."""
    runs = pq.read_table(out / "runs.parquet").drop(["history"])
    return (
        runs.schema.remove_metadata(),
        runs.to_pylist(),
        sorted(map(repr, read_history(out).to_pylist())),
    )


def anew(uri: str, tmp_path: Path) -> tuple[Any, ...]:
    """What collecting everything into a new folder gives."""
    folder = tmp_path / f"anew {time.monotonic_ns()}"
    collect(uri, "smoke", None, folder)
    return content(folder)


def times(out: Path) -> dict[Path, tuple[int, int]]:
    """Inode and time of all files."""
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in out.rglob("*")
        if path.is_file()
    }


def execute(uri: str, statement: str, *values: Any) -> None:
    """Change the tracking database behind MLflow's back."""
    with closing(sqlite3.connect(str(sqlite_path(uri)))) as database, database:
        database.execute(statement, values)


def test_nothing_new_touches_no_file(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(3))
    assert collect(uri, "smoke", None, out).read == 3
    before = times(out)
    for touch in (
        False,
        True,
    ):  # the same database file, and one that another project has written to
        if touch:
            MlflowClient(uri).create_run("0")
        assert collect(uri, "smoke", None, out).read == 0
        assert times(out) == before


def test_of_what_is_there_nothing_is_read_again(
    records: Any, uri: str, out: Path, tmp_path: Path
) -> None:
    exported(records, uri, range(2))
    collect(uri, "smoke", None, out)
    for table in ("params", "metrics"):
        execute(uri, f"DELETE FROM {table}")
    before = content(out)
    exported(records, uri, range(2, 3))
    assert collect(uri, "smoke", None, out).read == 1
    _, rows, points = content(out)
    assert {row["params.seed"] for row in rows} == {"0", "1", "2"} and set(before[2]) < set(points)
    assert [row for row in rows if row["params.seed"] != "2"] == before[1]


def test_changed_runs_are_read_again(records: Any, uri: str, out: Path, tmp_path: Path) -> None:
    exported(records, uri, range(4))
    collect(uri, "smoke", None, out)
    client, runs = MlflowClient(uri), {run.params["seed"]: run for run in tracked(uri)}
    client.log_metric(
        runs["0"].run_id, "test/dice/ED", 12.5, timestamp=runs["0"].end + 5000, step=9
    )
    client.log_metric(runs["1"].run_id, "test/later", 1.0, timestamp=5)
    client.update_run(runs["2"].run_id, name="another name")
    client.log_metric(
        runs["3"].run_id, "test/dice/ED", 11.5, timestamp=runs["3"].end - 1000, step=99
    )
    assert collect(uri, "smoke", None, out).read == (3 if uri.startswith("http") else 4)
    assert content(out) == anew(uri, tmp_path)
    rows = {row["params.seed"]: row for row in content(out)[1]}
    assert (
        rows["0"]["metrics.test/dice/ED"] == 12.5
        and rows["1"]["metrics.test/later"] == 1.0
        and rows["2"]["name"] == "another name"
    )
    assert 12.5 in read_history(out, [runs["0"].run_id], ["test/dice/ED"])["value"].to_pylist()


def test_points_that_were_deleted_and_whose_numbers_were_given_again(
    records: Any, uri: str, out: Path, tmp_path: Path
) -> None:
    """What was logged since is told by the numbers of rows, which 'mlflow gc' frees."""
    exported(records, uri, range(3))
    first, last = (
        run
        for run in sorted(tracked(uri), key=lambda run: run.params["seed"])
        if run.params["seed"] != "1"
    )
    collect(uri, "smoke", None, out)
    execute(uri, "DELETE FROM metrics WHERE run_uuid = ?", last.run_id)
    client = MlflowClient(uri)
    client.log_metric(first.run_id, "test/dice/ED", 12.5, timestamp=first.end + 5000, step=9)
    for number in range(20):
        client.log_metric(client.create_run("0").info.run_id, "theirs", number)
    assert collect(uri, "smoke", None, out).read == 1
    row = next(row for row in content(out)[1] if row["run_id"] == first.run_id)
    assert row["metrics.test/dice/ED"] == 12.5


@pytest.mark.parametrize("few", [0, 100_000])
def test_a_run_that_joins_the_grid_after_it_was_logged(
    records: Any, uri: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(sqlite_reader, "FEW_POINTS", few)
    other = records(seed=7)
    export([(other, "other")], uri)
    exported(records, uri, range(2))
    collect(uri, "smoke", None, out)
    export([(other, "smoke")], uri)
    assert collect(uri, "smoke", None, out).read == 1
    assert content(out) == anew(uri, tmp_path)
    assert {row["metric_count"] for row in content(out)[1]} == {
        len(run.metrics) for run in tracked(uri)
    }


def test_runs_that_are_gone_go(records: Any, uri: str, out: Path, tmp_path: Path) -> None:
    exported(records, uri, range(2))
    exported(records, uri, range(2, 3), more="x", metrics={"test/own": 1.0})
    collect(uri, "smoke", None, out)
    assert {"params.more", "metrics.test/own"} < set(pq.read_schema(out / "runs.parquet").names)
    gone = next(run.run_id for run in tracked(uri) if run.params["seed"] == "2")
    MlflowClient(uri).delete_run(gone)
    assert collect(uri, "smoke", None, out).runs == 2
    assert content(out) == anew(uri, tmp_path)
    assert gone not in read_history(out)["run_id"].to_pylist()
    assert (
        gone
        not in pa.concat_tables(pq.read_table(path) for path in (out / "metrics").iterdir())[
            "run_id"
        ].to_pylist()
    )


def test_a_cell_that_joins_and_one_that_leaves(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(3))
    cells = {run.params["seed"]: run.cell for run in tracked(uri)}
    for seeds, read in (("01", 2), ("12", 1), ("0", 1)):
        report = collect(uri, "smoke", {cells[seed] for seed in seeds}, out)
        assert (report.runs, report.read) == (len(seeds), read)
        assert {row["params.seed"] for row in content(out)[1]} == set(seeds)
        assert set(read_history(out)["run_id"].to_pylist()) == {
            run.run_id for run in tracked(uri) if run.params["seed"] in seeds
        }


def test_params_and_metrics_that_only_some_runs_have(
    records: Any, uri: str, out: Path, tmp_path: Path
) -> None:
    exported(records, uri, range(1), metrics={"test/only/first": 1.0})
    collect(uri, "smoke", None, out)
    exported(records, uri, range(1, 2), more="x")
    collect(uri, "smoke", None, out)
    assert content(out) == anew(uri, tmp_path)
    assert {(row["params.more"], row["metrics.test/only/first"]) for row in content(out)[1]} == {
        (None, 1.0),
        ("x", None),
    }


def test_deleted_results_are_made_again(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(3))
    collect(uri, "smoke", None, out)
    before = content(out)
    for lost in (out, out / "runs.parquet", out / "metrics", out / "predictions"):
        shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
        report = collect(uri, "smoke", None, out)
        assert report.problems == [] and content(out) == before
        assert len(list((out / "predictions").iterdir())) == 3


def test_a_database_made_anew_from_the_records(
    records: Any, uri: str, out: Path, template: Path, tmp_path: Path
) -> None:
    made = exported(records, uri, range(3))
    collect(uri, "smoke", None, out)
    before = times(out / "predictions")
    shutil.copyfile(template, uri.removeprefix("sqlite:///"))
    export([(record, "smoke") for record in made], uri)
    report = collect(uri, "smoke", None, out)
    assert (report.read, report.predictions) == (3, 0)
    assert times(out / "predictions") == before and content(out) == anew(uri, tmp_path)


def test_predictions_of_the_same_fingerprint_that_are_others(
    records: Any, uri: str, out: Path
) -> None:
    """A run that was deleted and done again elsewhere need not give the same numbers."""
    (record,) = exported(records, uri, range(1))
    collect(uri, "smoke", None, out)
    (path,) = (out / "predictions").iterdir()
    other = pq.read_table(path)
    other = other.set_column(
        other.column_names.index("dice"), "dice", pa.array([50.0] * len(other))
    )
    shutil.rmtree(record.path)
    attempt = records.start(seed=0)
    pq.write_table(other, attempt.path / "predictions.parquet")
    MlflowClient(uri).delete_run(tracked(uri)[0].run_id)
    export([(records.publish(attempt), "smoke")], uri)
    assert collect(uri, "smoke", None, out).predictions == 1
    assert set(pq.read_table(path)["dice"].to_pylist()) == {50.0}


@pytest.mark.parametrize("step", ["write", "atomic"])
def test_a_collection_that_is_killed(
    records: Any, uri: str, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    exported(records, uri, range(2))
    collect(uri, "smoke", None, out)
    before = content(out)
    exported(records, uri, range(2, 4))
    with monkeypatch.context() as patch:
        patch.setattr(runs_file, step, lambda *args, **kwargs: os._exit(9))
        child = FORK.Process(target=collect, args=(uri, "smoke", None, out))
        child.start()
        child.join()
    assert child.exitcode == 9
    assert content(out) == before, "readers still see what was there"
    left = [out / "metrics" / ".part-000007.parquet.x.tmp", out / "predictions" / ".x.tmp"]
    fresh = out / "predictions" / ".another's.tmp"
    for path in (*left, fresh):
        path.write_bytes(b"left over")
    for path in left:
        os.utime(path, (1, 1))
    collect(uri, "smoke", None, out)
    assert fresh.exists(), "it may be another collection's, at work"
    fresh.unlink()
    assert content(out) == anew(uri, tmp_path)
    parts = {row["history"] for row in pq.read_table(out / "runs.parquet").to_pylist()}
    assert {path.name for path in (out / "metrics").iterdir()} == parts, "and nothing is left over"
    assert {path.name for path in out.rglob("*") if path.suffix not in ("", ".parquet")} == {
        "checked.json"
    }


def test_collecting_and_exporting_by_many_at_once(
    records: Any, uri: str, out: Path, tmp_path: Path
) -> None:
    """Each has a temporary folder of its own, as on the nodes of a cluster."""
    start = FORK.Barrier(8)

    def work(number: int) -> None:
        tempfile.tempdir = str(tmp_path / f"temporary {number}")
        os.mkdir(tempfile.tempdir)
        start.wait()
        for seed in range(2 * number, 2 * number + 2):
            exported(records, uri, [seed])
            collect(uri, "smoke", None, out)

    processes = [FORK.Process(target=work, args=(number,)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.problems, report.unfinished) == (16, [], [])
    assert content(out) == anew(uri, tmp_path)


def restamped(path: Path, number: bytes | None) -> None:
    """The file with another schema number, or none."""
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, KEY: number} if number else None
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_a_newer_schema_is_refused_and_left_alone(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(2))
    collect(uri, "smoke", None, out)
    assert pq.read_schema(out / "runs.parquet").metadata[KEY] == str(SCHEMA).encode()
    restamped(out / "runs.parquet", b"%d" % (SCHEMA + 1))
    before = times(out)
    for act in (
        lambda: collect(uri, "smoke", None, out),
        lambda: newest_runs(out),
        lambda: read_history(out),
    ):
        with pytest.raises(
            EchoLMError,
            match=rf"newer EchoLM \(schema {SCHEMA + 1}; this one reads up to {SCHEMA}\): "
            "update EchoLM",
        ):
            act()
    assert times(out) == before


def test_predictions_of_a_newer_schema_are_a_problem_that_says_so(
    records: Any, uri: str, out: Path
) -> None:
    """They keep the bytes and so the number that the run wrote; without one they are the first."""
    for seed, number in enumerate((None, PREDICTIONS_SCHEMA, PREDICTIONS_SCHEMA + 1)):
        attempt = records.start(seed=seed)
        path = attempt.path / "predictions.parquet"
        metadata = None if number is None else {PREDICTIONS_KEY: str(number).encode()}
        pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
        export([(records.publish(attempt), "smoke")], uri)
    report = collect(uri, "smoke", None, out)
    assert report.predictions == 2 and len(report.problems) == 1
    said = (
        f"predictions written by a newer EchoLM (schema {PREDICTIONS_SCHEMA + 1}; "
        f"this one reads up to {PREDICTIONS_SCHEMA}): update EchoLM"
    )
    assert report.problems[0].endswith(f"): {said}"), "collecting or launching again would not help"
    assert [
        row["problem"] for row in pq.read_table(out / "runs.parquet").to_pylist() if row["problem"]
    ] == [said]
    kept = {
        (pq.read_schema(path).metadata or {}).get(PREDICTIONS_KEY)
        for path in (out / "predictions").iterdir()
    }
    assert kept == {None, str(PREDICTIONS_SCHEMA).encode()}


def test_an_older_schema_is_collected_again(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(2))
    collect(uri, "smoke", None, out)
    first, before = content(out), times(out / "predictions")
    for number in (None, b"1"):
        restamped(out / "runs.parquet", number)
        assert collect(uri, "smoke", None, out).read == 2
        assert content(out) == first and times(out / "predictions") == before
        assert pq.read_schema(out / "runs.parquet").metadata[KEY] == str(SCHEMA).encode()
        assert len(list((out / "metrics").iterdir())) == 1


def test_files_are_as_described_and_compressed_with_zstd(records: Any, uri: str, out: Path) -> None:
    description = (
        (schema.__doc__ or "").replace("|", ",").replace(";", ",").replace(":", ",").split()
    )
    for field in (*schema.RUNS, *schema.METRICS):
        assert field.name in {word.strip(",") for word in description}
    exported(records, uri, range(1))
    collect(uri, "smoke", None, out)
    for path in [out / "runs.parquet", *(out / "metrics").iterdir()]:
        group = pq.read_metadata(path).row_group(0)
        assert {group.column(number).compression for number in range(group.num_columns)} == {"ZSTD"}
    assert pq.read_schema(out / "runs.parquet").names[: len(schema.RUNS)] == schema.RUNS.names
    assert pq.read_schema(next((out / "metrics").iterdir())) == schema.METRICS


def test_runs_say_what_they_were_made_from_beside_those_of_an_earlier_version(
    records: Any, uri: str, out: Path
) -> None:
    """A file and runs of before there were these columns are read, and continued."""
    columns = ["weights", "protocols"]
    old = exported(records, uri, range(2))
    execute(uri, "DELETE FROM tags WHERE key IN ('echolm.weights', 'echolm.protocols')")
    collect(uri, "smoke", None, out)
    path = out / "runs.parquet"
    table = pq.read_table(path)
    assert table["weights"].null_count == 2
    pq.write_table(table.drop_columns(columns), path)
    assert all(run["weights"] is None for runs in newest_runs(out).values() for run in runs)
    [new] = exported(records, uri, range(2, 3))
    assert collect(uri, "smoke", None, out).read == 1
    rows = {row["fingerprint"]: row for row in pq.read_table(path).to_pylist()}
    for record in (*old, new):
        identity = record.identity()
        row = rows[identity["fingerprint"]]
        if record is new:
            assert row["weights"] == identity["weights"]
            assert json.loads(row["protocols"]) == identity["protocols"]
        else:
            assert (row["weights"], row["protocols"]) == (None, None)


def test_collecting_imports_no_component() -> None:
    """They take longer to import than ten thousand known runs to look at."""
    unneeded = ("echolm.config", "pydantic", "torch", "pandas", "pyarrow.compute")
    code = (
        "import sys, grid.tracking.collect; "
        f"print([name for name in {unneeded} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
