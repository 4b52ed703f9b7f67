"""The still pictures of a study are predicted as one item, as the run saw them."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from predict_support import CINE, prepared

from echolm.cli import main
from echolm.datasets.phantom.tmed2 import generate_phantom
from echolm.datasets.tmed2_layout import LABELED
from echolm.predict.pictures import items_of, joined_by_default
from echolm.record import RunRecord
from echolm.stores.prepare_clips import prepare
from echolm.training.loop import fit
from echolm.workspace import Workspace

SEVERITY = {
    "name": "classification",
    "target": "severity",
    "classes": [
        {"name": "none", "labels": ["no_AS"]},
        {"name": "some", "labels": ["early_AS", "significant_AS"]},
    ],
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TMED-2 in small: 15 studies of 1 to 40 pictures."""
    root = tmp_path_factory.mktemp("tmed") / "studies"
    generate_phantom(root, 15, seed=0)
    return root


@pytest.fixture(scope="module")
def severity(workspace: Workspace, studies: Path) -> RunRecord:
    """A run of classification on whole studies."""
    store = workspace.store("studies")
    prepare("tmed-2", studies, store, "uniform-16", workers=1, progress=False, size=32)
    run = prepared(
        workspace, data="studies", task=SEVERITY, head="linear", epochs=1, clip="uniform"
    )
    [outcome] = fit([run])
    assert outcome.state == "complete", outcome
    return run.record


def predict(workspace: Workspace, record: RunRecord, *words: object, status: int = 0) -> Result:
    arguments = ["-w", str(workspace.root), "predict", str(record.path), *map(str, words)]
    done = CliRunner().invoke(main, arguments, prog_name="echolm")
    assert done.exit_code == status, (done.output, done.exception)
    return done


def rows_of(table: Path) -> dict[str, dict[str, str]]:
    with open(table / "predictions.csv", encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_a_study_is_one_row_and_its_classes_are_those_of_the_evaluation(
    workspace: Workspace, severity: RunRecord, studies: Path, tmp_path: Path
) -> None:
    done = predict(workspace, severity, studies, "--out", tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 15
    pictures = sum(int(row["files"]) for row in rows.values())
    assert pictures == len(list((studies / LABELED).iterdir()))
    assert f"{pictures} still pictures are 15 items: those of a study are one" in done.stdout
    assert "--pictures file and --pictures folder take them otherwise" in done.stdout
    assert not any("heart beat" in row["warning"] for row in rows.values())
    stored = pq.read_table(severity.file("predictions.parquet")).to_pylist()
    assert len(stored) >= 3
    for row in stored:
        told = rows[f"{LABELED}/{row['sample']}"]
        # The store holds pictures of 32 pixels, and a file is read at its own size.
        assert float(told["probability of some"]) == pytest.approx(row["score"][0], abs=0.02)
    again = predict(workspace, severity, studies, "--out", tmp_path / "out")
    assert "15 already there" in again.stdout


def test_pictures_by_themselves_and_by_folder(
    workspace: Workspace, severity: RunRecord, studies: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "some"
    names = sorted(path.name for path in (studies / LABELED).iterdir())[:5]
    for part in ("a", "b"):
        (folder / part).mkdir(parents=True)
        for name in names:
            shutil.copy(studies / LABELED / name, folder / part / name)
    shutil.copy(CINE, folder / "a" / "cine.dcm")
    out = tmp_path / "out"
    told = json.loads(
        predict(workspace, severity, folder, "--out", out, "--pictures", "file", "--json").stdout
    )
    assert told["pictures"] == "file"
    assert {row["file"]: row["files"] for row in told["files"]} == {
        **{f"{part}/{name}": 1 for part in "ab" for name in names},
        "a/cine.dcm": 1,
    }
    done = predict(workspace, severity, folder, "--out", out, "--pictures", "folder")
    rows = rows_of(out)
    assert {name: row["files"] for name, row in rows.items()} == {
        "a": "5",
        "b": "5",
        "a/cine.dcm": "1",
    }, "rows of the same pictures in other ways are gone"
    assert "10 still pictures are 2 items: those of a folder are one\n" in done.stdout
    assert "3 clips: 2 predicted, 1 already there" in done.stdout
    first = next(iter(sorted((folder / "b").iterdir())))
    Image.new("L", (50, 60)).save(first)
    done = predict(workspace, severity, folder, "--out", out, "--pictures", "folder", status=1)
    assert "valid: pictures of one size in an item" in rows_of(out)["b"]["problem"]


def test_one_picture_of_a_study_is_said_to_be_one(
    workspace: Workspace, severity: RunRecord, studies: Path
) -> None:
    picture = next(iter(sorted((studies / LABELED).iterdir())))
    done = predict(workspace, severity, picture)
    assert "one picture, and tmed-2 has studies of many: give the folder" in done.stderr
    done = predict(workspace, severity, picture, "--pictures", "study", status=2)
    assert "--pictures is for a folder" in done.stderr


def test_pictures_of_a_run_of_contours_are_refused(
    workspace: Workspace, record: RunRecord, tmp_path: Path
) -> None:
    done = predict(workspace, record, tmp_path, "--pictures", "study", status=2)
    assert "the run draws contours" in done.stderr


def test_pictures_of_a_study_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [f"10s1_{number}.png" for number in range(12)]
    files = [tmp_path / "x" / name for name in [*names, "10s2_0.png", "cover.png", "10s1_3.avi"]]
    random.Random(0).shuffle(files)
    found = {item.name: [file.name for file in item.files] for item in items(files, tmp_path)}
    assert found == {
        "x/10s1": names,
        "x/10s1_3.avi": ["10s1_3.avi"],
        "x/10s2": ["10s2_0.png"],
        "x/cover.png": ["cover.png"],
    }
    assert len(items_of(files, tmp_path, "file")) == len(files)
    [folder, video] = items_of(files, tmp_path, "folder")
    assert (folder.name, len(folder.files), video.name) == ("x", 14, "x/10s1_3.avi")


def items(files: list[Path], root: Path) -> list[Any]:
    return items_of(files, root, "study")


def test_what_is_one_item_follows_the_data_of_the_run() -> None:
    assert joined_by_default("tmed-2") == "study"
    assert {joined_by_default(name) for name in ("folder", "mimic-iv-echo", "gone", None)} == {
        "file"
    }
