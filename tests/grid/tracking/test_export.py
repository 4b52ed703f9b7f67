"""Records -> MLflow: complete, once, whatever happens in between."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tracking_support import tracked

from echolm.errors import EchoLMError
from echolm.record import RunRecord
from grid.tracking import exporter
from grid.tracking.address import sqlite_path
from grid.tracking.export import ExportReport, export
from grid.tracking.reader import TrackedRun

FORK = multiprocessing.get_context("fork")
STEPS = {
    "create_run": MlflowClient,
    "log_batch": MlflowClient,
    "put_file": exporter,
    "set_terminated": MlflowClient,
}


def counts(report: ExportReport) -> tuple[int, int, int]:
    return report.created, report.resumed, report.unchanged


def stored(uri: str) -> list[Any]:
    """Everything a run consists of, without its id: history, params, tags, times."""
    path = sqlite_path(uri)
    queries = [
        "SELECT name, status, start_time, end_time FROM runs",
        "SELECT key, value, timestamp, step, is_nan FROM metrics",
        "SELECT key, value, timestamp, step, is_nan FROM latest_metrics",
        "SELECT key, value FROM params",
        "SELECT key, value FROM tags",
    ]
    with closing(sqlite3.connect(str(path))) as database:
        return [sorted(database.execute(query).fetchall()) for query in queries]


def artifacts(run: TrackedRun) -> dict[str, bytes]:
    folder = Path(run.artifact_uri.removeprefix("file://"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_has_all_of_its_record(records: Any, uri: str) -> None:
    record = records("gcn", 2)
    assert counts(export([(record, "smoke")], uri)) == (1, 0, 0)
    (run,) = tracked(uri)
    assert (run.name, run.experiment, run.status) == ("tiny-r3d k0 gcn seed 2", "smoke", "FINISHED")
    summary = record.summary()
    assert summary is not None
    assert (
        run.end == round(1000 * summary["finished"])
        and run.start is not None
        and run.start < run.end
    )
    assert run.tags["echolm.fingerprint"] == record.identity()["fingerprint"]
    assert run.tags["echolm.cell"] == record.identity()["cell"]
    wanted = {"grid.smoke": "true", "synthetic": "true", "commit": "abc1234", "host": "node7"}
    assert {key: run.tags[f"echolm.{key}"] for key in wanted} == wanted
    assert run.params["optimizer.lr"] == "0.0005" and run.params["data.name"] == "phantom"
    assert run.params["trainable.blocks"] == "0" and run.params["trainable.stem"] == "false"
    assert run.metrics["test/dice/ED"] == 91.25
    assert run.metrics["val/dice/ED"] == 61.5, "the final value is the latest, not the last epoch's"
    assert run.metrics["run/best_epoch"] == 1.0
    files = artifacts(run)
    assert files["predictions.parquet"] == record.file("predictions.parquet").read_bytes()
    assert (
        json.loads(files["config.json"]) == record.identity()
        and json.loads(files["summary.json"]) == summary
    )


def test_history_is_by_epoch(records: Any, uri: str) -> None:
    record = records()
    export([(record, "smoke")], uri)
    (run,) = tracked(uri)
    history = MlflowClient(uri).get_metric_history(run.run_id, "train/loss")
    times = [round(1000 * event["time"]) for event in record.history()]
    found = sorted((point.step, point.value, point.timestamp) for point in history)
    assert found == [(epoch, 1 / (epoch + 1), times[epoch]) for epoch in range(3)]


def test_final_values_are_the_latest_whatever_the_clocks_of_hosts_say(
    records: Any, uri: str
) -> None:
    record = records()
    summary = record.summary()
    (record.path / "summary.json").write_text(
        json.dumps({**summary, "finished": summary["finished"] - 3600})
    )
    export([(record, "smoke")], uri)
    assert tracked(uri)[0].metrics["val/dice/ED"] == 61.5


def test_a_finished_run_counts_before_unfinished_ones(records: Any, uri: str) -> None:
    record = records()
    export([(record, "smoke")], uri)
    client = MlflowClient(uri)
    for _ in range(8):
        client.create_run("0", tags={"echolm.fingerprint": record.identity()["fingerprint"]})
    assert counts(export([(record, "smoke")], uri)) == (0, 0, 1)


def test_exporting_again_changes_nothing(records: Any, uri: str) -> None:
    pairs = [(records(seed=seed), "smoke") for seed in range(3)]
    assert counts(export(pairs, uri)) == (3, 0, 0)
    before = stored(uri)
    assert counts(export(pairs, uri)) == (0, 0, 3)
    assert stored(uri) == before


def test_a_run_of_several_grids_is_one_run(records: Any, uri: str) -> None:
    record, single = records(seed=0), records(seed=1)
    assert counts(export([(record, "smoke"), (record, "full"), (single, None)], uri)) == (2, 0, 0)
    assert [run.run_id for run in tracked(uri, "smoke")] == [
        run.run_id for run in tracked(uri, "full")
    ]
    assert [run.experiment for run in tracked(uri, "single-runs")] == ["single-runs"]
    assert counts(export([(single, "full")], uri)) == (0, 0, 1)
    assert len(tracked(uri, "full")) == 2


def test_numbers_that_are_not_finite(records: Any, uri: str) -> None:
    metrics = {"test/a": math.nan, "test/b": math.inf, "test/c": -math.inf}
    export([(records(metrics=metrics), "smoke")], uri)
    found = tracked(uri)[0].metrics
    assert math.isnan(found["test/a"]) and (found["test/b"], found["test/c"]) == (
        math.inf,
        -math.inf,
    )


def test_many_and_long_values(records: Any, uri: str) -> None:
    extra = {f"field{number}": number for number in range(150)}
    record = records(epochs=400, note={"long": "é" * 7000, **extra})
    assert export([(record, "smoke")], uri).problems == []
    (run,) = tracked(uri)
    assert sum(key.startswith("note.field") for key in run.params) == 150
    assert len(run.params["note.long"]) == 6000 and run.params["note.long"].endswith("…")
    assert len(stored(uri)[1]) == 3 * 400 + 3 + 3


def test_what_is_not_complete_is_counted_not_exported(records: Any, uri: str) -> None:
    failed, running = records.start(seed=0), records.start(seed=1)
    failed.release("failed", error="out of memory")
    report = export(
        [(failed.record, "smoke"), (running.record, "smoke"), (records(seed=2), "smoke")], uri
    )
    running.release("interrupted")
    assert counts(report) == (1, 0, 0) and report.not_exported == {"failed": 1, "running": 1}
    assert len(tracked(uri)) == 1


def test_nothing_complete_needs_no_database(records: Any, tmp_path: Path) -> None:
    attempt = records.start()
    assert counts(export([(attempt.record, "smoke")], f"sqlite:///{tmp_path}/new/mlflow.db")) == (
        0,
        0,
        0,
    )
    attempt.release("interrupted")
    assert not (tmp_path / "new").exists()


def test_a_damaged_record_is_a_problem_and_stops_no_other(records: Any, uri: str) -> None:
    damaged, bad, good, odd = (records(seed=seed) for seed in range(4))
    summary = odd.summary()
    (odd.path / "summary.json").write_text(json.dumps({**summary, "metrics": ["91.2"]}))
    path = damaged.file("predictions.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    (bad.path / "config.json").write_text("{")
    report = export([(record, "smoke") for record in (damaged, bad, odd, good)], uri)
    assert counts(report) == (1, 0, 0)
    assert len(report.problems) == 3
    assert any(text.startswith(f"{odd.path}: TypeError") for text in report.problems)
    assert any(str(path) in text and "damaged (SHA-256" in text for text in report.problems)
    assert any("config.json: damaged" in text for text in report.problems)


def test_a_database_on_a_network_file_system_is_warned_of(
    records: Any, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.tracking.store.network_file_system", lambda path: "nfs4")
    report = export([(records(), "smoke")], uri)
    assert counts(report) == (1, 0, 0)
    assert "mlflow.db: lies on a network file system (nfs4)" in report.warnings[0]


def test_progress_is_told(records: Any, uri: str) -> None:
    told: list[tuple[int, int]] = []
    pairs = [(records(seed=seed), "smoke") for seed in range(3)]
    export(pairs, uri, lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


class Died(BaseException):
    """Stands for a process that ends at this instruction."""


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_an_export_that_died_is_finished_by_the_next(
    records: Any, uri: str, another: str, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    pairs = [(records(seed=seed), "smoke") for seed in range(2)]
    original = getattr(STEPS[step], step)

    def dies(*args: Any, **kwargs: Any) -> Any:
        if after:
            original(*args, **kwargs)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(STEPS[step], step, dies)
        with pytest.raises(Died):
            export(pairs, uri)
    ended = step == "set_terminated" and after
    begun = step != "create_run" or after
    assert [run.status for run in tracked(uri)] == ["FINISHED" if ended else "RUNNING"] * begun
    report = export(pairs, uri)
    assert counts(report) == (2 - begun, begun - ended, ended) and report.problems == []
    assert [run.status for run in tracked(uri)] == ["FINISHED"] * 2
    assert all(len(artifacts(run)) == 3 for run in tracked(uri))
    export(pairs, another)
    assert stored(uri) == stored(another), "a resumed run equals one that was never interrupted"


def test_a_killed_exporter_leaves_no_lock(
    records: Any, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [(records(seed=seed), "smoke") for seed in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(exporter, "put_file", lambda *args: os._exit(9))
        child = FORK.Process(target=export, args=(pairs, uri))
        child.start()
        child.join()
    assert child.exitcode == 9
    assert counts(export(pairs, uri)) == (1, 1, 0)


def test_a_removed_database_is_rebuilt(records: Any, uri: str) -> None:
    pairs = [(records(seed=seed), "smoke") for seed in range(2)]
    export(pairs, uri)
    before = stored(uri)
    sqlite_path(uri).unlink()  # type: ignore[union-attr]
    assert counts(export(pairs, uri)) == (2, 0, 0)
    assert stored(uri) == before


def test_a_database_removed_in_the_midst_of_an_export_is_rebuilt_by_the_next(
    records: Any, uri: str, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [(records(seed=seed), "smoke") for seed in range(3)]
    original, calls, path = MlflowClient.log_batch, [], Path(uri.removeprefix("sqlite:///"))

    def removes(self: MlflowClient, *args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            path.unlink()
        original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", removes)
        with pytest.raises(EchoLMError, match="mlflow.db cannot be used: .*no such table"):
            export(pairs, uri)
    assert path.stat().st_size == 0, "SQLite leaves an empty file"
    assert counts(export(pairs, uri)) == (3, 0, 0)
    assert len(stored(uri)[0]) == 3 and {run.status for run in tracked(uri)} == {"FINISHED"}


def test_runs_and_experiments_deleted_in_mlflow_come_back_once(records: Any, uri: str) -> None:
    pairs = [(records(seed=seed), "smoke") for seed in range(2)]
    export(pairs, uri)
    client = MlflowClient(uri)
    client.delete_run(tracked(uri)[0].run_id)
    assert counts(export(pairs, uri)) == (1, 0, 1)
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    client.delete_run(tracked(uri)[0].run_id)
    client.delete_experiment(experiment.experiment_id)
    export(pairs, uri)
    assert {run.tags["echolm.fingerprint"] for run in tracked(uri)} == {
        record.identity()["fingerprint"] for record, _ in pairs
    }


def _finish(records: Any, seed: int, start: Any) -> None:
    attempt = records.start(seed=seed)
    start.wait()
    records.publish(attempt)


def _export_until(runs: Path, uri: str, start: Any, stop: Any) -> None:
    start.wait()
    last = False
    while not last:
        last = stop.is_set()
        report = export(
            [(RunRecord(path.parent), "smoke") for path in runs.glob("*/*/config.json")], uri
        )
        assert report.problems == [], report.problems


def test_runs_that_finish_while_two_processes_export(records: Any, uri: str) -> None:
    start, stop = FORK.Barrier(10), FORK.Event()
    finishing = [FORK.Process(target=_finish, args=(records, seed, start)) for seed in range(8)]
    exporting = [
        FORK.Process(target=_export_until, args=(records.runs, uri, start, stop)) for _ in range(2)
    ]
    for process in finishing + exporting:
        process.start()
    for process in finishing:
        process.join()
    stop.set()
    for process in exporting:
        process.join()
    assert [process.exitcode for process in finishing + exporting] == [0] * 10
    runs = tracked(uri)
    assert len(runs) == 8 and {run.status for run in runs} == {"FINISHED"}
    assert {run.params["seed"] for run in runs} == {str(seed) for seed in range(8)}
    assert len(stored(uri)[1]) == 8 * (3 * 3 + 3 + 3)
    assert all(len(artifacts(run)) == 3 for run in runs)


def test_processes_that_create_one_new_database_at_once(records: Any, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    pairs = [(records(seed=seed), "smoke") for seed in range(4)]
    processes = [FORK.Process(target=export, args=([pair], uri)) for pair in pairs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(tracked(uri)) == 4
    assert sorted(path.name for path in (tmp_path / "new").iterdir() if path.suffix == ".tmp") == []


@pytest.mark.parametrize("name", ["two words", 'it\'s "quoted"', "größe-ß-木", "a#b&c;d+e"])
def test_hostile_folders(records_at: Any, template: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    (root / "mlflow").mkdir(parents=True)
    shutil.copyfile(template, root / "mlflow" / "mlflow.db")
    uri = f"sqlite:///{root}/mlflow/mlflow.db"
    report = export([(records_at(root / "runs")(), "smoke")], uri)
    assert counts(report) == (1, 0, 0) and report.problems == []
    assert (
        len(list((root / "mlflow" / "artifacts" / "smoke").glob("*/artifacts/predictions.parquet")))
        == 1
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
