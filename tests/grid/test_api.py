"""DataFrames for notebooks: the example runs, and its frames hold the numbers of the tables."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echolm.errors import EchoLMError
from echolm.record import RunRecord
from grid.api import Results

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook.py"
SEEDS = ("0", "1", "2")


def cell_of(name: str) -> str:
    """The id of a cell, as ``mlp0`` is called here: 16 hexadecimal digits."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A launched and collected grid of two heads and three seeds, written as its files."""
    random, runs, cells = np.random.default_rng(1), [], {}
    folder = tmp_path / "results" / "mine"
    (folder / "predictions").mkdir(parents=True)
    for head in ("mlp", "gcn"):
        for seed in SEEDS:
            cell = cell_of(f"{head}{seed}")
            cells[cell] = {
                "coordinates": {"encoder": "tiny-r3d", "head": head, "seed": seed},
                "tables": ["main"],
            }
            ids = [f"p{at}" for at in range(20)]
            same = {
                name: [text] * 20
                for name, text in (("split", "test"), ("target", "landmarks"), ("slot", "ED"))
            }
            table = pa.table(
                {"sample": ids, "patient": ids, **same, "dice": random.normal(90, 4, 20)}
            )
            fingerprint = cell.ljust(64, "0")
            pq.write_table(table, folder / "predictions" / f"{fingerprint[:16]}.parquet")
            runs.append(
                {
                    "run_id": f"run-{cell}",
                    "fingerprint": fingerprint,
                    "cell": cell,
                    "commit": "c0ffee",
                    "problem": None,
                    "synthetic": False,
                    "end": None,
                    "metrics.val/loss": random.uniform(),
                }
            )
    pq.write_table(pa.Table.from_pylist(runs), folder / "runs.parquet")
    columns = [{"metric": "dice", "slot": "ED", "label": "Dice"}]
    main = {
        "title": "Heads",
        "rows": ["encoder", "head"],
        "columns": columns,
        "figure": {"x": "slot", "y": "Dice"},
    }
    launched = {
        "grid": "mine",
        "title": "My grid",
        "cells": cells,
        "tables": {"main": main},
        "path": "mine.yaml",
    }
    (tmp_path / "grids" / "mine").mkdir(parents=True)
    (tmp_path / "grids" / "mine" / "cells.json").write_text(json.dumps(launched))
    return tmp_path


def test_the_frames_hold_the_numbers_of_the_tables(workspace: Path) -> None:
    here = Results(workspace)
    assert here.grids().set_index("grid").loc["mine", ["cells", "launched", "runs"]].tolist() == [
        6,
        True,
        6,
    ]
    runs = here.runs("mine")
    assert (
        sorted(runs["axis.head"].unique()) == ["gcn", "mlp"]
        and runs["metrics.val/loss"].between(0, 1).all()
    )
    tables = here.tables("mine")
    assert tables[["head", "column", "n_patients", "n_seeds"]].to_numpy().tolist() == [
        ["mlp", "Dice", 20, 3],
        ["gcn", "Dice", 20, 3],
    ]
    assert tables["mean"].tolist() == [np.mean(values) for values in tables["values"]]
    [pair] = here.comparisons("mine", "main", margin=5).to_dict("records")
    assert pair["difference"] == pytest.approx(tables["mean"][0] - tables["mean"][1])
    assert (
        pair["low"] < pair["difference"] < pair["high"]
        and pair["adjusted_p"] == pair["p"]
        and pair["crossed"]
    )
    assert (pair["first_diverged"], pair["second_diverged"], pair["synthetic"]) == ([], [], False)
    kinds = here.tables("mine", "main", "std-over-seeds")
    assert kinds["spread"].tolist() == pytest.approx(
        [np.std(values, ddof=1) for values in kinds["values"]]
    )


def test_a_seed_far_behind_stands_beside_its_comparison(workspace: Path) -> None:
    path = workspace / "results" / "mine" / "predictions" / f"{cell_of('gcn1')}.parquet"
    table = pq.read_table(path)
    pq.write_table(
        table.set_column(
            table.column_names.index("dice"), "dice", pa.array(np.linspace(5, 15, 20))
        ),
        path,
    )
    [pair] = Results(workspace).comparisons("mine", "main").to_dict("records")
    assert (pair["first"], pair["first_far_behind"], pair["second_far_behind"]) == (
        "tiny-r3d, mlp",
        [],
        ["1"],
    )
    assert (pair["first_diverged"], pair["second_diverged"]) == ([], [])


def test_records_at_hand_tell_why_runs_are_missing_and_where_logs_are(workspace: Path) -> None:
    """A training whose loss was not finite is diverged. Commands name the workspace."""
    path = workspace / "results" / "mine" / "runs.parquet"
    runs = pq.read_table(path)
    pq.write_table(
        runs.filter(
            pa.array(
                [cell not in map(cell_of, ("gcn1", "gcn2")) for cell in runs["cell"].to_pylist()]
            )
        ),
        path,
    )
    for name, events in {
        "gcn1": [{"event": "failed", "class": "diverged"}],
        "gcn2": [{"event": "failed", "class": "error"}],
        "mlp0": [],
    }.items():
        cell = cell_of(name)
        record = RunRecord.at(workspace / "runs", cell, cell.ljust(64, "0"))
        record.create({"cell": cell, "fingerprint": cell.ljust(64, "0")})
        record.attempt_path(1).mkdir()
        (record.attempt_path(1) / "events.jsonl").write_text(
            "".join(f"{json.dumps(event)}\n" for event in events)
        )
        (record.attempt_path(1) / "log.txt").write_text("begun")
    mlp, gcn = Results(workspace).tables("mine", spread="seeds").to_dict("records")
    assert (
        list(mlp["logs"]) == [f"runs/{cell_of('mlp0')}/{cell_of('mlp0')}/attempts/1/log.txt"]
        and mlp["kind"] == "std-over-seeds"
    )
    assert (list(gcn["missing_seeds"]), list(gcn["diverged_seeds"]), gcn["bold"]) == (
        ["1", "2"],
        ["1"],
        False,
    )
    typed = f"echolm --workspace {workspace}"
    assert gcn["command"] == "; ".join(
        f"{typed} {word} mine.yaml --where encoder=tiny-r3d --where head=gcn"
        for word in ("status", "retry")
    )


def test_every_prediction_with_its_cell_seed_and_labels(workspace: Path) -> None:
    here = Results(workspace)
    predictions = here.predictions("mine")
    assert len(predictions) == 6 * 20
    assert predictions.attrs["units"] == {"dice": "%"}
    lines = predictions[["cell", "seed", "axis.head", "axis.seed"]].drop_duplicates()
    assert sorted(map(tuple, lines.to_numpy().tolist())) == sorted(
        (cell_of(f"{head}{seed}"), int(seed), head, seed)
        for head in ("gcn", "mlp")
        for seed in SEEDS
    )
    assert set(predictions["split"]) == {"test"} and set(predictions["slot"]) == {"ED"}
    for fingerprint, part in predictions.groupby("fingerprint"):
        stored = pq.read_table(
            workspace / "results" / "mine" / "predictions" / f"{fingerprint[:16]}.parquet"
        )
        for name in stored.column_names:
            assert part[name].tolist() == stored[name].to_pylist()
    means = predictions.groupby("axis.head")["dice"].mean()
    tables = here.tables("mine").set_index("head")["mean"]
    assert means.to_dict() == pytest.approx(tables.to_dict())
    some = here.predictions("mine", ["sample", "dice"])
    assert list(some)[:4] == ["run_id", "fingerprint", "cell", "seed"]
    assert list(some)[-2:] == ["sample", "dice"]
    assert some["dice"].tolist() == predictions["dice"].tolist()


def test_truth_and_prediction_are_arrays_beside_tasks_without_a_column(workspace: Path) -> None:
    folder = workspace / "results" / "mine" / "predictions"
    path = folder / f"{cell_of('gcn1')}.parquet"
    table = pq.read_table(path)
    points = [[float(number)] * 160 for number in range(20)]
    pq.write_table(table.append_column("truth", pa.array(points)), path)
    predictions = Results(workspace).predictions("mine")
    truth = predictions[predictions["cell"] == cell_of("gcn1")]["truth"].tolist()
    assert np.array(truth).tolist() == points
    assert predictions[predictions["cell"] != cell_of("gcn1")]["truth"].isna().all()


def test_predictions_that_are_not_there_are_told(workspace: Path) -> None:
    results = workspace / "results" / "mine"
    names = [f"{head}{seed}" for head in ("mlp", "gcn") for seed in SEEDS]
    paths = [results / "predictions" / f"{cell_of(name)}.parquet" for name in names]
    for path in paths[:2]:
        path.unlink()
    with pytest.raises(EchoLMError) as error:
        Results(workspace).predictions("mine")
    assert str(error.value) == (
        f"{paths[0]}: is not there (2 of 6 files of predictions are missing); "
        f"type: echolm --workspace {workspace} collect mine"
    )
    with pytest.raises(EchoLMError, match="has no column dicee; it has sample, patient"):
        paths[0].write_bytes(paths[2].read_bytes())
        paths[1].write_bytes(paths[2].read_bytes())
        Results(workspace).predictions("mine", ["dicee"])
    paths[0].write_bytes(b"PAR1")
    with pytest.raises(EchoLMError, match="cannot be read .* delete it and type: echolm collect"):
        Results(workspace).predictions("mine")


def test_predictions_that_were_changed_after_they_were_collected_are_told(workspace: Path) -> None:
    results = workspace / "results" / "mine"
    runs = pq.read_table(results / "runs.parquet")
    files = [results / "predictions" / f"{cell}.parquet" for cell in runs["cell"].to_pylist()]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    runs = runs.append_column("predictions", pa.array(digests))
    pq.write_table(runs, results / "runs.parquet")
    assert len(Results(workspace).predictions("mine")) == 6 * 20
    files[2].write_bytes(files[3].read_bytes())
    with pytest.raises(EchoLMError, match="was changed after it was collected"):
        Results(workspace).predictions("mine")


def test_a_grid_of_runs_without_predictions_has_no_lines(workspace: Path) -> None:
    path = workspace / "results" / "mine" / "runs.parquet"
    runs = pq.read_table(path)
    none = pa.nulls(len(runs), pa.string())
    for table in (runs.append_column("predictions", none), runs.slice(0, 0)):
        pq.write_table(table, path)
        predictions = Results(workspace).predictions("mine")
        assert len(predictions) == 0 and predictions.attrs["units"] == {}
        assert {"cell", "seed", "axis.head", "split", "sample", "truth", "prediction"} <= set(
            predictions
        )


def test_what_is_not_there_says_what_to_type(workspace: Path) -> None:
    here = Results(workspace)
    with pytest.raises(EchoLMError, match="grid mine has no table 'mian'; did you mean 'main'"):
        here.tables("mine", "mian")
    with pytest.raises(EchoLMError, match="type: echolm --workspace .* launch demo"):
        here.runs("demo")


def test_the_example_runs(workspace: Path) -> None:
    done: Any = subprocess.run(
        [sys.executable, str(EXAMPLE), str(workspace), "mine"],
        capture_output=True,
        text=True,
        cwd=EXAMPLE.parents[1],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words, message in (
        (
            [str(workspace / "nowhere"), "demo"],
            "nowhere: is no workspace in which a grid was launched",
        ),
        ([str(workspace), "mien"], "'mien'"),
        (["x"], "type: python"),
    ):
        wrong = subprocess.run(
            [sys.executable, str(EXAMPLE), *words],
            capture_output=True,
            text=True,
            cwd=EXAMPLE.parents[1],
            check=False,
        )
        assert (
            wrong.returncode == 1
            and not wrong.stdout
            and len(wrong.stderr.splitlines()) == 1
            and message in wrong.stderr
        ), wrong
    assert (
        "6 runs" in done.stdout
        and "1 comparisons" in done.stdout
        and "characters of SVG" in done.stdout
    )
