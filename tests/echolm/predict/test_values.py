"""What ``echolm predict`` says of values and classes: as the run's own evaluation, and in words."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from predict_support import CINE, CONSTANT, prepared

from echolm.cli import main
from echolm.errors import EchoLMError
from echolm.predict.values import ValuePrediction, ValuePredictor, predicts_values
from echolm.record import RunRecord
from echolm.stores.prepare_clips import prepare
from echolm.training.loop import fit
from echolm.workspace import Workspace

EDV = {"name": "regression", "target": "edv", "log": True}
LOW_EF = {"name": "classification", "target": "ef", "below": 55}
WINDOWS = {"name": "window", "period": 2, "windows": 3}
Type = Callable[..., Result]


def trained(workspace: Workspace, **changes: Any) -> RunRecord:
    """A complete run on whole videos, at a learning rate that makes it look at its clips."""
    plain: dict[str, Any] = {"data": "whole", "task": EDV, "head": "linear", "epochs": 1}
    run = prepared(workspace, **{**plain, "clip": "uniform", **changes})
    [outcome] = fit([run])
    assert outcome.state == "complete", outcome
    return run.record


@pytest.fixture(scope="module")
def whole(workspace: Workspace, tiny: Path) -> Workspace:
    """The workspace with a store of whole videos beside that from ED to ES."""
    store = workspace.store("whole")
    prepare("echonet-dynamic", tiny / "source", store, "all", workers=1, progress=False)
    return workspace


@pytest.fixture(scope="module")
def edv(whole: Workspace) -> RunRecord:
    return trained(whole)


@pytest.fixture(scope="module")
def low_ef(whole: Workspace) -> RunRecord:
    return trained(whole, task=LOW_EF)


@pytest.fixture
def predict(whole: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type ``echolm predict`` in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def typed(record: RunRecord, *words: object, status: int = 0) -> Result:
        arguments = ["-w", str(whole.root), "predict", str(record.path), *map(str, words)]
        done = CliRunner().invoke(main, arguments, prog_name="echolm")
        assert done.exit_code == status and isinstance(done.exception, SystemExit | None), (
            done.output,
            done.exception,
        )
        return done

    return typed


def stored(record: RunRecord, split: str = "test") -> dict[str, dict[str, Any]]:
    """The run's own predictions by sample."""
    rows = pq.read_table(record.file("predictions.parquet")).to_pylist()
    return {row["sample"]: row for row in rows if row["split"] == split}


def test_a_value_is_that_of_the_run_s_own_evaluation(
    edv: RunRecord, whole: Workspace, tiny: Path
) -> None:
    predictor = ValuePredictor(edv, whole)
    for sample, row in stored(edv).items():
        prediction = predictor(tiny / "source" / "Videos" / f"{sample}.avi")
        assert prediction.value == pytest.approx(row["prediction"][0], rel=1e-5)
        assert (prediction.target, prediction.unit, prediction.probabilities) == ("edv", "ml", {})
        assert len(prediction.frames) == 1 and len(prediction.frames[0]) == 16
        assert prediction.frames[0][0] == 0
        assert prediction.frames[0][-1] == prediction.frames_held - 1


def test_windows_are_averaged_as_in_the_final_evaluation(whole: Workspace, tiny: Path) -> None:
    record = trained(whole, clip=WINDOWS)
    predictor = ValuePredictor(record, whole)
    sample, row = next(iter(stored(record).items()))
    prediction = predictor(tiny / "source" / "Videos" / f"{sample}.avi")
    assert prediction.value == pytest.approx(row["prediction"][0], rel=1e-5)
    assert len(prediction.frames) == 3
    assert all(np.diff(numbers).min() == 2 for numbers in prediction.frames[:1])


def test_classes_are_those_of_the_run_s_own_evaluation(
    low_ef: RunRecord, whole: Workspace, tiny: Path
) -> None:
    predictor = ValuePredictor(low_ef, whole)
    sample, row = next(iter(stored(low_ef).items()))
    prediction = predictor(tiny / "source" / "Videos" / f"{sample}.avi")
    assert list(prediction.probabilities) == ["ef >= 55 %", "ef < 55 %"]
    assert prediction.probabilities["ef < 55 %"] == pytest.approx(row["score"][0], abs=1e-5)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    index = list(prediction.probabilities).index(prediction.most_likely)
    assert (prediction.value, float(index)) == (None, row["prediction"][0])


def test_frames_are_chosen_from_those_that_the_store_would_hold(
    whole: Workspace, tiny: Path
) -> None:
    """A run on single frames sees the first one of a video."""
    store = whole.store("stills")
    prepare("echonet-dynamic", tiny / "source", store, "image", workers=1, progress=False)
    record = trained(whole, data="stills")
    sample, row = next(iter(stored(record).items()))
    prediction = ValuePredictor(record, whole)(tiny / "source" / "Videos" / f"{sample}.avi")
    assert set(prediction.frames[0]) == {0}
    assert prediction.value == pytest.approx(row["prediction"][0], rel=1e-5)


def test_one_file(predict: Type, edv: RunRecord, whole: Workspace) -> None:
    predictor = ValuePredictor(edv, whole)
    prediction = predictor(CINE)
    lines = predict(edv, CINE).stdout.splitlines()
    assert lines == [
        f"{CINE}: edv {prediction.value:.1f} ml",
        "from a clip of 16 frames; the file holds 30",
        f"run {predictor.run}: {predictor.trained_on.sentence}",
    ]
    assert "SYNTHETIC" in lines[2]
    plain = json.loads(predict(edv, CINE, "--json").stdout)
    assert plain["value"] == pytest.approx(prediction.value)
    assert (plain["unit"], plain["class"], plain["probabilities"]) == ("ml", None, {})
    assert plain["trained_on"]["synthetic"] is True and plain["trained_on"]["clips"] == "all"
    assert plain["frames"] == [list(prediction.frames[0])] and os.listdir() == []


def test_one_file_by_classes(predict: Type, low_ef: RunRecord) -> None:
    line = predict(low_ef, CINE).stdout.splitlines()[0]
    plain = json.loads(predict(low_ef, CINE, "--json").stdout)
    shares = [f"{name} {100 * share:.0f} %" for name, share in plain["probabilities"].items()]
    assert line == f"{CINE}: ef: {plain['class']} ({', '.join(shares)})"
    assert (plain["value"], plain["target"]) == (None, "ef")


def table(folder: str = "predictions") -> list[dict[str, str]]:
    with open(Path(folder, "predictions.csv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder(predict: Type, edv: RunRecord, clips: Path) -> None:
    """A row a file. Typed again, only a file that could not be read, or is new, is looked at."""
    names = sorted(os.listdir(clips))
    (clips / names[1]).write_bytes(b"no video")
    done = predict(edv, clips, status=1)
    assert done.stdout.splitlines()[0].startswith(
        "predictions/predictions.csv: 4 clips: 3 predicted, 1 failed"
    )
    assert done.stdout.splitlines()[1].startswith("edv in ml: ")
    assert done.stderr.splitlines()[0].startswith(f"{clips / names[1]}: not a video")
    rows = table()
    assert [row["file"] for row in rows] == names and list(rows[0])[:5] == [
        "file",
        "target",
        "value",
        "unit",
        "class",
    ]
    assert rows[1]["problem"] and not rows[1]["value"]
    assert float(rows[0]["value"]) > 0 and rows[0]["unit"] == "ml" and rows[0]["passes"] == "1"
    assert "SYNTHETIC" in rows[0]["trained_on"]

    os.remove(clips / names[1])
    again = predict(edv, clips)
    assert "3 clips: 3 already there" in again.stdout
    shutil.copy(clips / names[0], clips / names[1])
    assert "4 clips: 3 already there, 1 predicted" in predict(edv, clips).stdout
    plain = json.loads(predict(edv, clips, "--overwrite", "--json").stdout)
    assert plain["counts"] == {"predicted": 4}
    assert [row["file"] for row in plain["files"]] == names


def test_a_folder_by_classes(predict: Type, low_ef: RunRecord, clips: Path) -> None:
    first = predict(low_ef, clips, "--out", "found").stdout
    assert "found/predictions.csv: 4 clips: 4 predicted" in first and "\nef: ef " in first
    for row in table("found"):
        shares = {
            name: float(row[f"probability of {name}"]) for name in ("ef >= 55 %", "ef < 55 %")
        }
        assert row["class"] == max(shares, key=lambda name: shares[name])
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert "4 already there" in predict(low_ef, clips, "--out", "found").stdout


def test_the_table_of_another_run_is_not_overwritten(
    predict: Type, edv: RunRecord, low_ef: RunRecord, clips: Path
) -> None:
    predict(edv, clips)
    assert "holds predictions of run" in predict(low_ef, clips, status=1).stderr
    predict(low_ef, clips, "--overwrite")


def test_a_picture_is_a_clip_of_one_frame(predict: Type, edv: RunRecord, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("L", (64, 64)).save(folder / "still.png")
    (folder / "notes.txt").write_text("")
    done = predict(edv, folder)
    assert "1 clip: 1 predicted; 1 other file skipped; 1 with a warning" in done.stdout
    assert "no ultrasound sector" in table()[0]["warning"]


def test_a_run_from_ed_to_es_needs_both_frames(
    predict: Type, whole: Workspace, tiny: Path, clips: Path
) -> None:
    record = trained(whole, data="tiny", clip="ed-to-es", **{"task": LOW_EF})
    tracings = tiny / "source" / "VolumeTracings.csv"
    clip = sorted(clips.iterdir())[0]
    assert "type --ed and --es" in predict(record, clip, status=1).stderr
    assert "has no frame 999" in predict(record, clip, "--ed", 0, "--es", 999, status=1).stderr
    assert "add --tracings" in predict(record, clips, status=2).stderr
    assert "4 clips: 4 predicted" in predict(record, clips, "--tracings", tracings).stdout
    by_sample = {**stored(record), **stored(record, "val")}
    for row in table():
        expected = by_sample.get(row["file"].removesuffix(".avi"))
        if expected:
            share = float(row["probability of ef < 55 %"])
            assert share == pytest.approx(expected["score"][0], abs=1e-4)
    assert predict(record, clip, "--tracings", tracings).stdout.startswith(f"{clip}: ef: ")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["CINE", "--ed", "3"], "sees the whole file (clip uniform), and needs neither frame"),
        (["CINE", "--out", "x.png"], "--out is for a folder"),
        (["CINE", "--video", "x.gif"], "--video draws contours"),
    ],
)
def test_options_of_contours_are_refused(
    words: list[str], part: str, predict: Type, edv: RunRecord
) -> None:
    words = [str(CINE) if word == "CINE" else word for word in words]
    assert part in " ".join(predict(edv, *words, status=2).stderr.split())
    assert os.listdir() == []


def prediction(**changes: Any) -> ValuePrediction:
    plain: dict[str, Any] = {
        "target": "ef",
        "value": 60.0,
        "unit": "%",
        "probabilities": {},
        "frames": (tuple(range(16)),),
        "frames_held": 60,
        "fps": 50.0,
        "has_sector": True,
    }
    return ValuePrediction(**{**plain, **changes})


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({}, ""),
        ({"value": 91.0}, "EF is 91.0 %"),
        ({"value": -2.0}, "EF is -2.0 %"),
        ({"value": float("inf")}, "EF is not a finite number"),
        ({"target": "edv", "unit": "ml", "value": -3.0}, "EDV is -3.0 ml"),
        ({"has_sector": False}, "no ultrasound sector"),
        ({"frames_held": 12}, "the file shows 0.24 s, less than a heart beat"),
        ({"frames_held": 1, "frames": ((0,) * 16,)}, ""),
        ({"value": None, "probabilities": {"a": 0.5, "b": 0.5}}, ""),
    ],
    ids=str,
)
def test_warnings(changes: dict[str, Any], warning: str) -> None:
    text = prediction(**changes).warning
    assert text.startswith(warning) and bool(text) == bool(warning)


def test_a_landmark_run_is_no_run_of_values(record: RunRecord, workspace: Workspace) -> None:
    assert not predicts_values(record)
    with pytest.raises(EchoLMError, match="valid: a run of task regression or classification"):
        ValuePredictor(record, workspace)


def test_the_constant_of_a_run_without_an_encoder(whole: Workspace) -> None:
    """It ignores its clip, and a prediction of it is the constant."""
    record = trained(whole, **CONSTANT)
    constants = {row["prediction"][0] for row in stored(record).values()}
    assert len(constants) == 1
    assert ValuePredictor(record, whole)(CINE).value == pytest.approx(constants.pop())
