"""``echolm collect`` and ``echolm tables``: from records to the numbers of a table."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from tracking_support import tracked

from echolm.cli.collect import collect
from echolm.cli.tables import tables
from echolm.errors import EchoLMError
from echolm.workspace import Workspace
from grid.definition.grid import load_grid
from grid.results.soundness import CheckedPredictions

COLUMNS = [{"metric": "dice", "slot": slot, "label": f"Dice {slot} (%)"} for slot in ("ED", "ES")]
TABLE = {"title": "Landmarks", "rows": ["head"], "columns": COLUMNS}


@pytest.fixture
def workspace(
    tmp_path: Path, template: Path, records_at: Any, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """Two heads, three seeds.

    The last seed of the second head is missing, and one run belongs to no grid.
    """
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = Workspace(tmp_path / "it's a wörkspace")
    (made.root / "mlflow").mkdir(parents=True)
    shutil.copyfile(template, made.root / "mlflow" / "mlflow.db")
    records = records_at(made.runs)
    cells = {}
    for head in ("gcn", "mlp"):
        for seed in range(3):
            attempt = records.start(head, seed)
            cell = attempt.record.identity()["cell"]
            cells[cell] = {"coordinates": {"head": head, "seed": str(seed)}, "tables": ["main"]}
            if (head, seed) == ("mlp", 2):
                attempt.release("failed", error="out of memory")
            else:
                records.publish(attempt)
    records("alone", 0)
    path = made.grids / "smoke" / "cells.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"grid": "smoke", "title": "Smoke", "cells": cells, "tables": {"main": TABLE}})
    )
    return made


@pytest.fixture
def run(workspace: Workspace) -> Callable[..., Result]:
    """A command on the workspace; its errors are raised."""

    def invoke(command: Any, *arguments: str) -> Result:
        result = CliRunner().invoke(command, arguments, obj=workspace, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    return invoke


def by_hand(workspace: Workspace, head: str, slot: str) -> tuple[float, float, float]:
    """Mean, ± over patients, ± over seeds from the records' own predictions."""
    means, stds = [], []
    for config in sorted(workspace.runs.glob("*/*/config.json")):
        settings = json.loads(config.read_text())["config"]
        found = list(config.parent.glob("attempts/1/predictions.parquet"))
        if settings["head"]["name"] == head and (config.parent / "summary.json").exists():
            rows = pq.read_table(found[0]).to_pylist()
            dice = np.array(
                [row["dice"] for row in rows if row["split"] == "test" and row["slot"] == slot]
            )
            means.append(dice.sum() / len(dice))
            stds.append(np.sqrt(((dice - means[-1]) ** 2).sum() / (len(dice) - 1)))
    over_seeds = np.sqrt(((np.array(means) - np.mean(means)) ** 2).sum() / (len(means) - 1))
    return float(np.mean(means)), float(np.mean(stds)), float(over_seeds)


def test_from_records_to_tables_that_outlive_records_and_database(
    workspace: Workspace, run: Any
) -> None:
    expected = {
        (head, slot): by_hand(workspace, head, slot)
        for head in ("gcn", "mlp")
        for slot in ("ED", "ES")
    }
    output = run(collect).output
    assert (
        "6 runs added, 0 completed, 0 there already" in output
        and "not complete: 1 failed" in output
    )
    assert "smoke: 5 runs, 5 new or changed, 5 new predictions" in output
    assert "single-runs: 1 run, 1 new or changed, 1 new predictions" in output
    shutil.rmtree(workspace.runs)
    shutil.rmtree(workspace.root / "mlflow")
    for kind, index in (("patients", 1), ("seeds", 2)):
        rows = csv.DictReader(
            io.StringIO(run(tables, "smoke", "--format", "csv", "--spread", kind).output)
        )
        for row in rows:
            numbers = expected[row["head"], row["column"].split()[1]]
            assert float(row["mean"]) == pytest.approx(numbers[0])
            assert float(row["spread"]) == pytest.approx(numbers[index])
    text = run(tables, "smoke", "--spread", "patients").output
    mean, spread, _ = expected["gcn", "ED"]
    assert f"{mean:.2f} ± {spread:.2f}" in text
    assert "2 of 3" in text and "`echolm launch smoke --on local --where head=mlp`" in text
    assert "All numbers are from synthetic data (phantom)." in text


def test_collecting_again_and_one_grid_alone(run: Any) -> None:
    run(collect)
    assert "0 runs added, 0 completed, 6 there already" in run(collect).output
    report = json.loads(run(collect, "smoke", "--json").stdout)
    assert report["exported"]["unchanged"] == 5 and list(report["collected"]) == ["smoke"]
    assert (
        report["collected"]["smoke"]["runs"] == 5 and report["collected"]["smoke"]["problems"] == []
    )


def artifacts(workspace: Workspace) -> list[Path]:
    return sorted((workspace.root / "mlflow" / "artifacts").rglob("predictions.parquet"))


def test_a_lost_artifact_comes_back_from_its_record(run: Any, workspace: Workspace) -> None:
    run(collect)
    shutil.rmtree(workspace.results("smoke"))
    for path in artifacts(workspace):
        path.write_bytes(b"damaged")
    output = run(collect, "smoke").output
    assert (
        "the store's predictions of 5 runs were missing or damaged: "
        "put there again from the records" in output
    )
    assert "problem" not in output and "put there" not in run(collect, "smoke").output


def test_a_lost_artifact_without_its_record(run: Any, workspace: Workspace) -> None:
    """Status 1, and the table says what the matter is instead of advising to collect for ever."""
    run(collect)
    shutil.rmtree(workspace.results("smoke"))
    shutil.rmtree(workspace.runs)
    artifacts(workspace)[-1].unlink()
    result = CliRunner().invoke(collect, ["smoke"], obj=workspace, catch_exceptions=False)
    assert result.exit_code == 1 and result.stderr.count("problem: run ") == 1
    problem = next(
        row["problem"]
        for row in pq.read_table(workspace.results("smoke") / "runs.parquet").to_pylist()
        if row["problem"]
    )
    text = run(tables, "smoke").output
    assert f"the predictions were not collected: {problem}" in text and "No such file" in problem
    assert "echolm collect smoke`" not in text.split(problem)[1].split("\n")[0]
    assert json.loads(CliRunner().invoke(collect, ["smoke", "--json"], obj=workspace).stdout)[
        "collected"
    ]["smoke"]["problems"]


def test_another_tracking_store(run: Any, workspace: Workspace, uri: str) -> None:
    assert uri in run(collect, "smoke", "--tracking-uri", uri).output
    assert not (workspace.root / "mlflow" / "artifacts").exists()


def test_a_cell_that_joins_a_grid_later(run: Any, workspace: Workspace) -> None:
    run(collect)
    path = workspace.grids / "smoke" / "cells.json"
    content = json.loads(path.read_text())
    alone = next(p.name for p in workspace.runs.iterdir() if p.name not in content["cells"])
    content["cells"][alone] = {"coordinates": {"head": "alone", "seed": "0"}, "tables": ["main"]}
    path.write_text(json.dumps(content))
    assert "smoke: 6 runs" in run(collect).output
    assert "| alone |" in run(tables, "smoke").output


def test_tables_as_json_and_into_a_file(run: Any, tmp_path: Path) -> None:
    run(collect, "smoke")
    data = json.loads(run(tables, "smoke", "--json").output)
    assert [row["labels"]["head"] for row in data["tables"][0]["rows"]] == ["gcn", "mlp"]
    target = tmp_path / "new folder" / "table.md"
    run(tables, "smoke", "--table", "main", "--out", str(target))
    assert target.read_text() == run(tables, "smoke").output


def test_errors_say_what_to_type(run: Any, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="type: echolm collect smoke"):
        run(tables, "smoke")
    with pytest.raises(
        EchoLMError,
        match="'smoek' was never launched, nor did it come with EchoLM; did you mean 'smoke'",
    ):
        run(collect, "smoek")
    run(collect, "smoke")
    with pytest.raises(EchoLMError, match="no table 'x'; valid: main"):
        run(tables, "smoke", "--table", "x")
    with pytest.raises(EchoLMError, match="nothing to collect; type: echolm launch"):
        CliRunner().invoke(collect, [], obj=Workspace(tmp_path / "empty"), catch_exceptions=False)


def test_csv_of_several_tables_names_the_table_in_each_line(run: Any, workspace: Workspace) -> None:
    path = workspace.grids / "smoke" / "cells.json"
    content = json.loads(path.read_text())
    content["tables"]["second"] = TABLE
    path.write_text(json.dumps(content))
    run(collect, "smoke")
    rows = list(csv.DictReader(io.StringIO(run(tables, "smoke", "--format", "csv").output)))
    assert {row["table"] for row in rows} == {"main"}, "no cell feeds the second"
    assert run(tables, "smoke").output.count("**Landmarks**") == 2


def test_a_grid_without_a_finished_run(run: Any, workspace: Workspace) -> None:
    shutil.rmtree(workspace.runs)
    assert "smoke: 0 runs" in run(collect, "smoke").output
    assert "No run was collected yet." in run(tables, "smoke").output


def test_commands_for_a_grid_on_slurm_name_it(run: Any, workspace: Workspace) -> None:
    """Typed on a login node, the bare command would train there."""
    run(collect, "smoke")
    assert "type: `echolm retry smoke --where head=mlp`" in run(tables, "smoke").output
    (workspace.grids / "smoke" / "jobs").mkdir()
    assert "type: `echolm retry smoke --on slurm --where head=mlp`" in run(tables, "smoke").output


def test_the_tables_of_a_grid_that_was_never_launched(
    run: Any, workspace: Workspace, tmp_path: Path
) -> None:
    before = sorted(workspace.root.rglob("*"))
    text = run(tables, "nldl2026").output
    assert text.count("No run was collected yet.") == 6 and "91.42 ± 3.82" in text
    assert "type: `echolm launch nldl2026 --on local --where table=table-3`" in text
    assert len(text.splitlines()) < 300 and sorted(workspace.root.rglob("*")) == before
    definition = tmp_path / "own.yaml"
    cell = {"data": "d", "task": "landmarks", "encoder": "tiny-r3d", "trainable": "k0"}
    definition.write_text(
        json.dumps({"base": cell, "axes": {"head": ["mlp", "gcn"]}, "tables": {"main": TABLE}})
    )
    rows = list(csv.DictReader(io.StringIO(run(tables, str(definition), "--format", "csv").output)))
    assert [(row["head"], row["mean"], row["missing_seeds"]) for row in rows] == [
        (h, "", "-") for h in ("mlp", "mlp", "gcn", "gcn")
    ]
    with pytest.raises(
        EchoLMError,
        match="'smoek' was never launched, nor did it come with EchoLM; did you mean 'smoke'",
    ):
        run(tables, "smoek")


def test_a_launched_grid_by_the_path_of_its_file(run: Any, tmp_path: Path) -> None:
    assert run(collect, str(tmp_path / "smoke.yaml")).output.count("smoke: 5 runs") == 1
    assert run(tables, str(tmp_path / "smoke.yaml")).output == run(tables, "smoke").output


def all_tables(run: Any, grid: str) -> list[dict[str, str]]:
    """Every line of every table, without what only records know.

    That is: logs, and what a missing run waits for.
    """
    kinds = ("patients", "seeds", "crossed-95")
    lines = [
        line
        for kind in kinds
        for line in csv.DictReader(
            io.StringIO(run(tables, grid, "--format", "csv", "--spread", kind).output)
        )
    ]
    return [
        {name: text for name, text in line.items() if name not in ("logs", "command")}
        for line in lines
    ]


def without_records(workspace: Workspace) -> None:
    """Only the tracking store is left, and which cells the grid has."""
    shutil.rmtree(workspace.runs)
    shutil.rmtree(workspace.root / "results")


def test_tables_from_mlflow_alone(workspace: Workspace, run: Any) -> None:
    run(collect)
    before = all_tables(run, "smoke")
    without_records(workspace)
    assert "smoke: 5 runs, 5 new or changed, 5 new predictions" in run(collect, "smoke").output
    assert all_tables(run, "smoke") == before


def test_a_grid_that_was_launched_elsewhere(workspace: Workspace, run: Any, tmp_path: Path) -> None:
    """Another workspace with the same store: the grid's file says which cells there are."""
    definition = tmp_path / "own.yaml"
    base = {"data": "phantom", "task": "landmarks", "encoder": "tiny-r3d", "trainable": "k0"}
    base |= {"epochs": 3, "batch_size": 4}  # as the records have it: a run says what it is of
    definition.write_text(
        json.dumps({"base": base, "axes": {"head": ["mlp", "gcn"]}, "tables": {"main": TABLE}})
    )
    elsewhere = Workspace(tmp_path / "elsewhere")
    uri = workspace.tracking_uri
    with pytest.raises(
        EchoLMError,
        match="own was never launched in .*elsewhere, and sqlite.* has no finished run of it; "
        "type: echolm launch .*own.yaml",
    ):
        CliRunner().invoke(
            collect, [str(definition), "--tracking-uri", uri], obj=elsewhere, catch_exceptions=False
        )
    assert not elsewhere.root.exists(), "and nothing is written"
    run(collect)
    client = MlflowClient(uri)
    seed_0 = [run for run in tracked(uri) if run.params["seed"] == "0"]
    heads = {run.params["head.name"]: run.run_id for run in seed_0}
    for cell in load_grid(str(definition)).cells:
        run_id = heads[cell.coordinates["head"]]
        client.set_tag(run_id, "echolm.grid.own", "true")
        client.set_tag(run_id, "echolm.cell", cell.id)
    done = CliRunner().invoke(
        collect, [str(definition), "--tracking-uri", uri], obj=elsewhere, catch_exceptions=False
    )
    assert "own: 2 runs, 2 new or changed, 2 new predictions" in done.output
    text = (
        CliRunner()
        .invoke(
            tables, [str(definition), "--spread", "patients"], obj=elsewhere, catch_exceptions=False
        )
        .output
    )
    assert text.count("±") >= 4 and "No run was collected yet." not in text


def changed(workspace: Workspace, change: Callable[[pa.Table], pa.Table]) -> list[Path]:
    """Change all collected predictions of the grid, and return them."""
    paths = sorted(workspace.results("smoke").glob("predictions/*.parquet"))
    for path in paths:
        pq.write_table(change(pq.read_table(path)), path)
    return paths


def perfect(table: pa.Table) -> pa.Table:
    """Every Dice is 99."""
    dice = pa.array([99.0] * len(table))
    return table.set_column(table.column_names.index("dice"), "dice", dice)


def test_predictions_that_were_changed_are_told_and_not_averaged(
    workspace: Workspace, run: Any
) -> None:
    """In tables, and by what they say to type they are right again."""
    run(collect)
    before = all_tables(run, "smoke")
    text = run(tables, "smoke").output
    paths = changed(workspace, perfect)
    output = run(tables, "smoke").output
    assert "99.00" not in output and "±" not in output.split("\n\n")[1]
    assert f"{paths[0]}: was changed after it was collected" in output
    assert "type: echolm collect smoke" in output
    assert "5 files of predictions had been changed" in run(collect, "smoke").output
    assert run(tables, "smoke").output == text and all_tables(run, "smoke") == before


def test_one_changed_file_leaves_the_other_seeds(workspace: Workspace, run: Any) -> None:
    run(collect)
    path = min(workspace.results("smoke").glob("predictions/*.parquet"))
    pq.write_table(perfect(pq.read_table(path)), path)
    text = run(tables, "smoke", "--spread", "patients").output
    assert "99.00" not in text and text.count("was changed after it was collected") == 1
    assert "±" in text


def test_coordinates_are_not_read_where_they_are_not_needed(
    workspace: Workspace, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckedPredictions, "is_sound", lambda *arguments: True)
    run(collect)
    before = all_tables(run, "smoke")
    for path in workspace.results("smoke").glob("predictions/*.parquet"):
        content = bytearray(path.read_bytes())
        group = pq.read_metadata(path).row_group(0)
        for column in (group.column(number) for number in range(group.num_columns)):
            if column.path_in_schema.split(".")[0] in ("truth", "prediction", "score"):
                start = column.dictionary_page_offset or column.data_page_offset
                content[start : start + column.total_compressed_size] = (
                    b"\xff" * column.total_compressed_size
                )
        path.write_bytes(content)
        with pytest.raises((OSError, pa.ArrowException)):
            pq.read_table(path)
    assert "problem" not in run(collect).output
    assert all_tables(run, "smoke") == before


def test_a_record_that_was_copied_to_another_cell_is_told_and_what_it_says_ends_it(
    workspace: Workspace, run: Any
) -> None:
    """Collected before and after: it is no run of that cell, whatever its folder is called."""
    run(collect)
    cells = json.loads((workspace.grids / "smoke" / "cells.json").read_text())["cells"]
    missing = [id for id in cells if not list(workspace.runs.glob(f"{id}/*/summary.json"))]
    whole = next(id for id in cells if id not in missing)
    target = workspace.runs / missing[0]
    shutil.rmtree(target)
    shutil.copytree(workspace.runs / whole, target)
    (copied,) = target.iterdir()
    for _ in range(2):
        result = CliRunner().invoke(collect, ["smoke"], obj=workspace, catch_exceptions=False)
        assert result.exit_code == 1
        assert f"problem: {copied}: is a copy of the record of cell {whole}" in result.stderr
        assert f"mv {copied}".split()[0] in result.stderr
    command = result.stderr.split("such as by: ")[1].split(" , and then")[0]
    assert command == f"mv {shlex.quote(str(copied))} /tmp/"
    shutil.rmtree(copied)
    assert "smoke: 5 runs" in run(collect, "smoke").output


def test_copies_of_folders_are_nobody_s_runs(workspace: Workspace, run: Any) -> None:
    """``cp -a CELL CELL.bak`` beside the original, and before anything was collected."""
    for path in sorted(workspace.runs.iterdir())[:2]:
        shutil.copytree(path, path.with_name(path.name + ".bak"))
    output = run(collect).output
    assert "smoke: 5 runs" in output and "single-runs: 1 run," in output


def test_the_printed_page_shows_the_runs(workspace: Workspace, run: Any) -> None:
    output = run(collect).output
    experiment = MlflowClient(workspace.tracking_uri).get_experiment_by_name("smoke")
    assert experiment is not None
    page = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs"
    assert f"smoke's runs: {page}?workflowType=machine_learning\n" in output
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_other_projects_in_the_database_are_left_alone(workspace: Workspace, run: Any) -> None:
    client = MlflowClient(workspace.tracking_uri)
    experiment = client.create_experiment("theirs")
    for number in range(3):
        theirs = client.create_run(
            experiment, run_name=f"theirs {number}", tags={"project": "another"}
        )
        client.log_param(theirs.info.run_id, "lr", number)
        client.log_metric(theirs.info.run_id, "loss", number)
    client.set_terminated(theirs.info.run_id)

    def everything() -> list[Any]:
        with closing(sqlite3.connect(workspace.root / "mlflow" / "mlflow.db")) as database:
            (own,) = database.execute(
                "SELECT count(*) FROM tags WHERE key = 'echolm.fingerprint'"
            ).fetchone()
            queries = [
                f"SELECT * FROM {table} WHERE run_uuid IN "
                f"(SELECT run_uuid FROM runs WHERE experiment_id = {experiment}) ORDER BY 1, 2, 3"
                for table in ("runs", "params", "metrics", "latest_metrics", "tags")
            ]
            return [own > 0, *(database.execute(query).fetchall() for query in queries)]

    before = everything()
    output = run(collect).output
    assert "theirs" not in output and "left out" not in output
    assert everything() == [True, *before[1:]]
    rows = pq.read_table(workspace.results("smoke") / "runs.parquet").to_pylist()
    assert len(rows) == 5 and "theirs" not in {row["experiment"] for row in rows}
