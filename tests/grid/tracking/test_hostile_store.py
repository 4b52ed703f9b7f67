"""A tracking store that somebody has edited: nothing leaves its folder, nothing is believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from tracking_support import CONFIG, exported, tracked

from echolm.errors import EchoLMError
from grid.results.files import newest_runs
from grid.tracking.address import sqlite_path
from grid.tracking.artifact_store import refuse_folder
from grid.tracking.artifacts import run_folder
from grid.tracking.collect import collect
from grid.tracking.export import export


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "smoke"


def names(folder: Path) -> set[str]:
    """What lies in a folder of tests, but for locks."""
    paths = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {path for path in paths if ".lock" not in path}


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("echolm.fingerprint", "../../../../x"),
        ("echolm.fingerprint", "/etc/x"),
        ("echolm.fingerprint", "f" * 63),
        ("echolm.fingerprint", "F" * 64),
        ("echolm.fingerprint", "a" * 64 + "\n"),
        ("echolm.cell", "../cell"),
        ("echolm.cell", "\x1b[31mred"),
    ],
)
def test_tags_of_another_form_are_told_and_left_out(
    records: Any, uri: str, out: Path, tmp_path: Path, tag: str, value: str
) -> None:
    exported(records, uri, range(2))
    before = names(tmp_path)
    MlflowClient(uri).set_tag(tracked(uri)[0].run_id, tag, value)
    report = collect(uri, "smoke", None, out)
    assert (report.runs, report.predictions, len(report.problems)) == (1, 1, 1)
    assert f"its tag {tag} is not" in report.problems[0] and report.problems[0].isprintable()
    new = names(tmp_path) - before
    assert new and all(name.startswith("results") for name in new)


FORGED = st.sampled_from(
    [
        "echolm.fingerprint",
        "echolm.cell",
        "echolm.data",
        "echolm.predictions",
        "echolm.samples",
        "echolm.state",
        "echolm.commit",
        "echolm.synthetic",
        "echolm.parameters",
        "echolm.flops",
        "mlflow.runName",
    ]
)
VALUES = st.one_of(
    st.text(max_size=40).filter(lambda text: "\0" not in text and text.isprintable()),
    st.sampled_from(
        ["../../x", "/tmp/x", "\x1b]0;x\x07", "9" * 30, "-1", "0" * 64, "nan", "{}", "a" * 16]
    ),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tags=st.dictionaries(FORGED, VALUES, min_size=1, max_size=3))
def test_whatever_tags_say_only_the_folder_of_results_is_written(
    records: Any, uri: str, out: Path, tmp_path: Path, tags: Mapping[str, str]
) -> None:
    if not tracked(uri):
        exported(records, uri, range(2))
    run = tracked(uri)[0]
    kept = dict(run.tags)
    before = {name for name in names(tmp_path) if not name.startswith("results")}
    with closing(sqlite3.connect(str(sqlite_path(uri)))) as database, database:
        for key, value in tags.items():
            database.execute(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", (key, value, run.run_id)
            )
    try:
        report = collect(uri, "smoke", None, out)
        assert all(text.isprintable() for text in report.problems)
        assert {name for name in names(tmp_path) if not name.startswith("results")} == before
        for name in names(tmp_path) - before:
            assert Path(name).parts[:2] == ("results", "smoke") or name == "results"
    finally:
        with closing(sqlite3.connect(str(sqlite_path(uri)))) as database, database:
            database.execute("DELETE FROM tags WHERE run_uuid = ?", (run.run_id,))
            rows = [(key, value, run.run_id) for key, value in kept.items()]
            database.executemany("INSERT INTO tags VALUES (?, ?, ?)", rows)


def test_names_and_metrics_are_no_orders_for_a_terminal(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(2))
    client = MlflowClient(uri)
    run = tracked(uri)[0]
    client.update_run(run.run_id, name="\x1b]0;owned\x07 run")
    client.set_tag(run.run_id, "echolm.fingerprint", "x")
    (problem,) = collect(uri, "smoke", None, out).problems
    assert problem.isprintable() and "\\x1b]0;owned" in problem


def configs() -> dict[str, Any]:
    """The configurations of the runs that tests make, by their cells."""
    import hashlib
    import json

    known = {}
    for seed in range(4):
        config = {**CONFIG, "head": {"name": "gcn"}, "seed": seed}
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
        known[digest[:16]] = config
    return known


def test_a_run_that_says_it_is_of_another_cell_is_not_counted(
    records: Any, uri: str, out: Path
) -> None:
    """Also when it was collected before it was edited, and until its tag is right again."""
    made = exported(records, uri, range(3))
    cells = [record.identity()["cell"] for record in made]
    assert collect(uri, "smoke", set(cells), out, configs=configs).problems == []
    client = MlflowClient(uri)
    run = next(run for run in tracked(uri) if run.params["seed"] == "0")
    client.set_tag(run.run_id, "echolm.cell", cells[1])
    for _ in range(2):  # the second time from what was collected before
        report = collect(uri, "smoke", set(cells), out, configs=configs)
        assert report.runs == 3 and len(report.problems) == 1
        assert f"its tag echolm.cell says {cells[1]}" in report.problems[0]
        assert "seed = 0, not 1" in report.problems[0]
        assert f"mlflow runs delete --run-id {run.run_id}" in report.problems[0]
        sound = {row["run_id"]: row["sound"] for rows in newest_runs(out).values() for row in rows}
        assert [run_id for run_id, is_sound in sound.items() if not is_sound] == [run.run_id]
    client.set_tag(run.run_id, "echolm.cell", cells[0])
    assert collect(uri, "smoke", set(cells), out, configs=configs).problems == []
    assert all(row["sound"] for rows in newest_runs(out).values() for row in rows)


def test_the_command_for_such_a_run_settles_it(records: Any, uri: str, out: Path) -> None:
    made = exported(records, uri, range(2))
    cells = [record.identity()["cell"] for record in made]
    client = MlflowClient(uri)
    run = next(run for run in tracked(uri) if run.params["seed"] == "0")
    client.set_tag(run.run_id, "echolm.cell", cells[1])
    client.delete_run(run.run_id)  # what it says to type
    assert export([(record, "smoke") for record in made], uri).created == 1
    report = collect(uri, "smoke", set(cells), out, configs=configs)
    assert (report.runs, report.problems) == (2, [])


@pytest.mark.parametrize("other", [{"seed": 0.0}, {"later field": 1}])
def test_equal_numbers_and_new_fields_are_no_other_configuration(
    records: Any, uri: str, out: Path, other: dict[str, Any]
) -> None:
    (record,) = exported(records, uri, range(1))
    cell = record.identity()["cell"]
    known = {cell: {**CONFIG, **other}}
    assert collect(uri, "smoke", {cell}, out, configs=lambda: known).problems == []


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc",
        "/home/somebody/project",
        "file:///x/../../etc/{run}/artifacts",
        "file:///x/{run}/artifacts/..",
        "file:///x/other/artifacts",
    ],
)
def test_a_store_names_no_folder_that_is_none_of_a_run_s(
    records: Any, uri: str, out: Path, tmp_path: Path, place: str
) -> None:
    """Neither to read from nor to write to."""
    exported(records, uri, range(1))
    (run,) = tracked(uri)
    address = place.format(run=run.run_id)
    with pytest.raises(EchoLMError, match="no folder of an MLflow run"):
        refuse_folder(run.run_id, address)
    assert run_folder(Path("/w/mlflow/mlflow.db"), run.run_id, address) is None
    with closing(sqlite3.connect(str(sqlite_path(uri)))) as database, database:
        database.execute("UPDATE runs SET artifact_uri = ?", (address,))
    (problem,) = collect(uri, "smoke", None, out).problems
    assert "no folder of an MLflow run; nothing was read or written there" in problem


def test_numbers_of_the_cost_that_are_none_are_missing(records: Any, uri: str, out: Path) -> None:
    exported(records, uri, range(2))
    client = MlflowClient(uri)
    first, second = tracked(uri)
    client.set_tag(first.run_id, "echolm.parameters", "12")
    for tag, value in (("parameters", "1e9"), ("flops", "9" * 40), ("peak_memory", "-1")):
        client.set_tag(second.run_id, f"echolm.{tag}", value)
    collect(uri, "smoke", None, out)
    rows = {row["run_id"]: row for row in pq.read_table(out / "runs.parquet").to_pylist()}
    assert rows[first.run_id]["parameters"] == 12
    assert rows[second.run_id]["parameters"] is None and rows[second.run_id]["flops"] is None
    assert rows[second.run_id]["peak_memory"] is None and rows[second.run_id]["seconds"] == 2.0
