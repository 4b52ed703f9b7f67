"""MLflow -> Parquet: nothing dropped silently, nothing written twice, nothing lost."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from tracking_support import tracked

from echolm.errors import EchoLMError
from grid.tracking import client_reader, predictions, sqlite_reader
from grid.tracking.collect import collect
from grid.tracking.export import export


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "smoke"


def three(records: Any, uri: str, **changes: Any) -> list[Any]:
    """Three complete runs, exported; the seeds' records."""
    made = [records(seed=seed, **changes) for seed in range(3)]
    export([(record, "smoke") for record in made], uri)
    return made


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """The collected runs by seed."""
    return {row["params.seed"]: row for row in pq.read_table(out / "runs.parquet").to_pylist()}


def artifact(uri: str, seed: str) -> Path:
    run = next(run for run in tracked(uri) if run.params["seed"] == seed)
    return Path(run.artifact_uri.removeprefix("file://")) / "predictions.parquet"


def test_runs_and_predictions(records: Any, uri: str, out: Path) -> None:
    made = three(records, uri, metrics={"test/odd": math.inf})
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.predictions, report.problems, report.unfinished) == (3, 3, [], [])
    assert report.path == out / "runs.parquet"
    for seed, record in enumerate(made):
        row, identity = rows(out)[str(seed)], record.identity()
        assert (row["fingerprint"], row["cell"]) == (identity["fingerprint"], identity["cell"])
        assert row["metrics.test/dice/ED"] == 91.25 and row["metrics.test/odd"] == math.inf
        assert (
            row["params.head.name"] == "gcn"
            and row["experiment"] == "smoke"
            and row["synthetic"] is True
        )
        assert (row["commit"], row["host"], row["device"], row["data"]) == (
            "abc1234",
            "node7",
            "cpu",
            "d" * 64,
        )
        assert row["end"].timestamp() == pytest.approx(record.summary()["finished"], abs=0.001)
        stored = out / "predictions" / f"{identity['fingerprint'][:16]}.parquet"
        assert stored.read_bytes() == record.file("predictions.parquet").read_bytes()
    schema = pq.read_schema(out / "runs.parquet")
    for name in schema.names:
        if name.startswith(("params.", "metrics.")):
            assert schema.field(name).type == (
                pa.string() if name.startswith("params.") else pa.float64()
            )


def test_collecting_again_writes_no_predictions(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    collect(uri, "smoke", None, out)
    before = {path: path.stat().st_mtime_ns for path in (out / "predictions").iterdir()}
    first = rows(out)
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.predictions) == (3, 0)
    assert {path: path.stat().st_mtime_ns for path in (out / "predictions").iterdir()} == before
    assert rows(out) == first


def test_removed_predictions_are_fetched_again(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    collect(uri, "smoke", None, out)
    removed = next((out / "predictions").iterdir())
    before = removed.read_bytes()
    removed.unlink()
    assert collect(uri, "smoke", None, out).predictions == 1
    assert removed.read_bytes() == before


def test_only_the_cells_asked_for(records: Any, uri: str, out: Path) -> None:
    made = three(records, uri)
    assert collect(uri, "smoke", {made[1].identity()["cell"], "other"}, out).runs == 1
    assert list(rows(out)) == ["1"]


def test_unfinished_and_foreign_runs(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    client.create_run(
        experiment.experiment_id, tags={"echolm.grid.smoke": "true"}, run_name="no fingerprint"
    )
    tags = {"echolm.grid.smoke": "true", "echolm.cell": "c"}
    left = client.create_run(
        experiment.experiment_id, tags={**tags, "echolm.fingerprint": "f"}, run_name="left"
    )
    failed = client.create_run(
        experiment.experiment_id, tags={**tags, "echolm.fingerprint": "e"}, run_name="lost"
    )
    client.set_terminated(failed.info.run_id, "FAILED")
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.problems) == (3, [])
    command = (
        f"MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow runs delete --run-id {left.info.run_id}"
    )
    remedies = f"'echolm collect' where its run record lies ends it; to remove it, type: {command}"
    assert sorted(text.split("(")[1] for text in report.unfinished) == [
        "left, cell c): its status is RUNNING, not FINISHED: an export began and has not ended. "
        f"{remedies}",
        "lost, cell c): its status is FAILED, not FINISHED",
    ]


def test_a_second_run_of_a_fingerprint_is_a_problem(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    client = MlflowClient(uri)
    run = tracked(uri)[0]
    copy = client.create_run(
        "0", tags={k: v for k, v in run.tags.items() if k.startswith("echolm")}, run_name="twice"
    )
    client.set_terminated(copy.info.run_id, "FINISHED")
    report = collect(uri, "smoke", None, out)
    assert report.runs == 3
    assert len(report.problems) == 1 and f"left out; run {run.run_id} counts" in report.problems[0]


@pytest.mark.parametrize("damage", ["removed", "cut", "changed", "swapped"])
def test_missing_and_damaged_artifacts_are_problems_until_exported_again(
    records: Any, uri: str, out: Path, damage: str
) -> None:
    made = three(records, uri)
    path = artifact(uri, "1")
    if damage == "removed":
        path.unlink()
    elif damage == "swapped":  # a sound file with the right samples, of another run
        shutil.copyfile(artifact(uri, "2"), path)
    else:
        content = path.read_bytes()
        path.write_bytes(
            content[:-9]
            if damage == "cut"
            else content[:99] + bytes([content[99] ^ 1]) + content[100:]
        )
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.predictions, len(report.problems)) == (3, 2, 1)
    run = rows(out)["1"]
    assert run["run_id"] in report.problems[0] and run["problem"] in report.problems[0]
    assert len(list((out / "predictions").iterdir())) == 2, "no half file is left"
    command = report.problems[0].split("type: ")[1].split(", and then")[0]
    if damage == "removed":  # as typed in a shell; it takes seconds
        path_variable = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(
            command,
            shell=True,
            check=True,
            env={"PATH": path_variable, "HOME": str(out.parent)},
            cwd=out.parent,
            stdout=subprocess.DEVNULL,
        )
        assert run["run_id"] not in {one.run_id for one in tracked(uri)}
    else:
        assert run["run_id"] in command
        MlflowClient(uri).delete_run(run["run_id"])
    export([(record, "smoke") for record in made], uri)
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.predictions, report.problems) == (3, 1, [])
    assert rows(out)["1"]["problem"] is None


@pytest.mark.parametrize("damage", ["folder", "content", "record"])
def test_a_record_at_hand_gives_lost_predictions_back(
    records: Any, uri: str, out: Path, damage: str
) -> None:
    """Also to the store; unless the record's own file is not the one that was exported."""
    made = {record.identity()["fingerprint"]: record for record in three(records, uri)}
    path = artifact(uri, "1")
    sound = path.read_bytes()
    if damage == "folder":
        shutil.rmtree(path.parent)
    else:
        path.write_bytes(sound[:-9])
    if damage == "record":
        for record in made.values():
            record.file("predictions.parquet").write_bytes(sound[:-9])
    report = collect(
        uri,
        "smoke",
        None,
        out,
        recorded=lambda fingerprint: made[fingerprint].file("predictions.parquet"),
    )
    if damage == "record":
        assert (report.repaired, report.predictions, len(report.problems)) == (0, 2, 1)
        assert rows(out)["1"]["problem"] in report.problems[0]
        return
    assert (report.repaired, report.predictions, report.problems) == (1, 3, [])
    assert path.read_bytes() == sound and rows(out)["1"]["problem"] is None
    shutil.rmtree(out)
    again = collect(uri, "smoke", None, out)
    assert (again.repaired, again.predictions, again.problems) == (0, 3, [])


@pytest.mark.parametrize("lost", ["file", "folder", "experiment"])
@pytest.mark.parametrize("moved", [False, True])
def test_predictions_that_the_store_loses_later_come_back_as_they_were_collected(
    records: Any, uri: str, out: Path, tmp_path: Path, lost: str, moved: bool
) -> None:
    """So results can still be deleted and made again from the store.

    Without the collected file it is a problem, told every time.
    """
    three(records, uri)
    if moved:
        shutil.move(tmp_path / "mlflow", tmp_path / "another place")
    store = tmp_path / ("another place" if moved else "mlflow")
    uri = f"sqlite:///{store}/mlflow.db"
    collect(uri, "smoke", None, out)
    paths = sorted(store.glob("artifacts/*/*/artifacts/predictions.parquet"))
    before = {path: path.read_bytes() for path in paths}
    assert len(paths) == 3 and collect(uri, "smoke", None, out).repaired == 0
    if lost == "file":
        paths[0].unlink()
    else:
        shutil.rmtree(paths[0].parent if lost == "folder" else paths[0].parents[2])
    report = collect(uri, "smoke", None, out)
    assert (report.repaired, report.predictions, report.problems) == (
        3 if lost == "experiment" else 1,
        0,
        [],
    )
    assert {path: path.read_bytes() for path in paths} == before
    assert (tmp_path / "mlflow").exists() is not moved, "nothing is written where the store was"
    shutil.rmtree(out)
    again = collect(uri, "smoke", None, out)
    assert (again.repaired, again.predictions, again.problems) == (0, 3, [])


def test_predictions_that_nobody_has_any_more_are_told_of_every_time(
    records: Any, uri: str, out: Path
) -> None:
    three(records, uri)
    collect(uri, "smoke", None, out)
    artifact(uri, "1").unlink()
    kept = out / "predictions" / f"{rows(out)['1']['fingerprint'][:16]}.parquet"
    kept.write_bytes(kept.read_bytes()[:-9])
    for _ in range(2):
        report = collect(uri, "smoke", None, out)
        assert (report.runs, report.repaired, len(report.problems)) == (3, 0, 1)
        assert "predictions.parquet: No such file" in report.problems[0]
        assert "mlflow runs delete" in report.problems[0]
        assert rows(out)["1"]["problem"] in report.problems[0]


def test_other_test_samples_are_a_problem(records: Any, uri: str, out: Path) -> None:
    made = three(records, uri)
    export([(made[0], "smoke"), (records(seed=7, patients=5), "smoke")], uri)
    for _ in range(2):  # the second time from what was collected before
        report = collect(uri, "smoke", None, out)
        assert report.runs == 4 and len(report.problems) == 1
        assert (
            "10 test rows, the other runs 12; missing: clip5/landmarks/ED, clip5/landmarks/ES"
            in report.problems[0]
        )
        assert "seed 7" in report.problems[0] and rows(out)["7"]["problem"] in report.problems[0]


def test_as_many_other_test_samples_are_a_problem_too(records: Any, uri: str, out: Path) -> None:
    """The same number of rows, one patient of them another: ids count."""
    made = three(records, uri)
    attempt = records.start(seed=7)
    path = attempt.path / "predictions.parquet"
    own = pq.read_table(path)
    for name in ("sample", "patient"):
        ids = [
            {"clip5": "clip99", "patient5": "patient99"}.get(text, text)
            for text in own[name].to_pylist()
        ]
        own = own.set_column(
            own.schema.get_field_index(name), name, pa.array(ids, own.schema.field(name).type)
        )
    pq.write_table(own, path)
    export([(made[0], "smoke"), (records.publish(attempt), "smoke")], uri)
    report = collect(uri, "smoke", None, out)
    assert len(report.problems) == 1 and "seed 7" in report.problems[0]
    assert (
        "12 test rows, the other runs 12; missing: clip5/landmarks/ED, clip5/landmarks/ES; "
        "only here: clip99" in report.problems[0]
    )


def test_runs_on_another_data_set_may_have_other_samples(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    export([(records(seed=7, patients=5, data={"name": "camus"}), "smoke")], uri)
    assert collect(uri, "smoke", None, out).problems == []


def test_a_run_without_predictions_is_no_problem(records: Any, uri: str, out: Path) -> None:
    attempt = records.start()
    attempt.publish({"metrics": {"val/loss": 1.0}, "synthetic": False}, [])
    attempt.release()
    export([(attempt.record, "smoke")], uri)
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.predictions, report.problems) == (1, 0, [])


def test_results_are_not_emptied_by_a_lost_database(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    collect(uri, "smoke", None, out)
    before = rows(out)
    Path(uri.removeprefix("sqlite:///")).unlink()
    with pytest.raises(
        EchoLMError, match="has no finished run of smoke, but .* has 3; nothing was changed"
    ):
        collect(uri, "smoke", None, out)
    assert rows(out) == before


def test_database_and_artifacts_can_be_moved_together(
    records: Any, uri: str, out: Path, tmp_path: Path
) -> None:
    three(records, uri)
    shutil.move(tmp_path / "mlflow", tmp_path / "another place")
    report = collect(f"sqlite:///{tmp_path}/another place/mlflow.db", "smoke", None, out)
    assert (report.runs, report.predictions, report.problems) == (3, 3, [])


def test_an_unreadable_runs_file_is_written_anew(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    collect(uri, "smoke", None, out)
    (out / "runs.parquet").write_bytes(b"PAR1")
    assert collect(uri, "smoke", None, out).runs == 3
    assert len(rows(out)) == 3


def test_both_readers_fetch_the_same_predictions(records: Any, uri: str, tmp_path: Path) -> None:
    three(records, uri)
    for name, reader in (("a", sqlite_reader), ("b", client_reader)):
        collect(uri, "smoke", None, tmp_path / name, readers=reader)
    one, other = (
        {p.name: p.read_bytes() for p in (tmp_path / name / "predictions").iterdir()}
        for name in "ab"
    )
    assert one == other and len(one) == 3


def test_samples_that_a_run_states_are_not_read(
    records: Any, uri: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of an earlier version states none: its file is read once."""
    three(records, uri)
    stated = {run.run_id: run.tags["echolm.samples"] for run in tracked(uri)}
    read: list[Path] = []
    original = predictions.samples
    monkeypatch.setattr(predictions, "samples", lambda path: read.append(path) or original(path))
    assert collect(uri, "smoke", None, out).problems == [] and read == []
    assert {row["run_id"]: row["samples"] for row in rows(out).values()} == stated
    shutil.rmtree(out)
    client = MlflowClient(uri)
    for run_id in stated:
        client.delete_tag(run_id, "echolm.samples")
    assert collect(uri, "smoke", None, out).problems == [] and len(read) == 3
    assert {row["run_id"]: row["samples"] for row in rows(out).values()} == stated


def test_samples_that_are_stated_wrongly_are_looked_at(records: Any, uri: str, out: Path) -> None:
    made = three(records, uri)
    MlflowClient(uri).set_tag(tracked(uri)[0].run_id, "echolm.samples", "0" * 16)
    assert collect(uri, "smoke", None, out).problems == []
    export([(made[0], "smoke"), (records(seed=7, patients=5), "smoke")], uri)
    assert "seed 7" in collect(uri, "smoke", None, out).problems[0]


@pytest.mark.parametrize("stored", ["sound", "damaged", "lost"])
def test_collected_predictions_that_were_changed_are_put_right(
    records: Any, uri: str, out: Path, stored: str
) -> None:
    """From the store, else from the record."""
    made = {record.identity()["fingerprint"]: record for record in three(records, uri)}
    collect(uri, "smoke", None, out)
    before = {path: path.read_bytes() for path in (out / "predictions").iterdir()}
    changed = sorted(before)[1]
    changed.write_bytes(before[changed][:-1] + b"x")
    if stored != "sound":
        for path in out.parent.parent.glob("mlflow/artifacts/*/*/artifacts/predictions.parquet"):
            path.unlink() if stored == "lost" else path.write_bytes(b"damaged")
    report = collect(
        uri,
        "smoke",
        None,
        out,
        recorded=lambda fingerprint: made[fingerprint].file("predictions.parquet"),
    )
    assert (report.altered, report.predictions, report.problems) == (1, 1, [])
    assert {path: path.read_bytes() for path in (out / "predictions").iterdir()} == before
    assert collect(uri, "smoke", None, out).altered == 0


def test_a_change_that_keeps_size_and_time_is_seen(records: Any, uri: str, out: Path) -> None:
    three(records, uri)
    collect(uri, "smoke", None, out)
    path = min((out / "predictions").iterdir())
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert collect(uri, "smoke", None, out).altered == 1
    assert path.read_bytes() == content
