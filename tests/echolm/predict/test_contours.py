"""Contours of a clip from a complete run: those of the evaluation, drawn where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from predict_support import CINE, CONSTANT, prepared

from echolm.cli import main
from echolm.datasets.phantom.generate import write_mjpeg
from echolm.errors import EchoLMError
from echolm.geometry import area, ejection_fraction, method_of_disks
from echolm.media.read import read_video
from echolm.media.video import square_crop
from echolm.predict import LINE, PANEL, ContourPrediction, ContourPredictor, draw
from echolm.record import RunRecord
from echolm.stores.clips import ClipStore
from echolm.tasks import TASKS, Task
from echolm.training.loop import fit
from echolm.workspace import Workspace


def stored(record: RunRecord) -> dict[tuple[str, str], np.ndarray]:
    """The stored contours by sample and slot."""
    rows = pq.read_table(record.file("predictions.parquet")).to_pylist()
    return {(row["sample"], row["slot"]): np.reshape(row["prediction"], (40, 2)) for row in rows}


@pytest.mark.parametrize(
    "changes",
    [{}, {"encoder": "tiny-mvit", "trainable": "k1", "head": "gcn"}, {"trainable": "all"}],
    ids=str,
)
def test_contours_are_those_of_the_evaluation(
    changes: dict[str, Any], workspace: Workspace, tiny: Path
) -> None:
    """On the original videos, for every sample of val and test, to 1e-3 pixels of the 112 grid."""
    run = prepared(workspace, **changes)
    fit([run])
    predict, expected = ContourPredictor(run.record, workspace), stored(run.record)
    store = ClipStore.open(tiny / "store")
    for item in store.items:
        if item.split != "train":
            prediction = predict(
                tiny / "source" / "Videos" / f"{item.sample}.avi",
                item.values["ed"],
                item.values["es"],
            )
            contours = (prediction.contours + 0.5) * 112 / item.width - 0.5
            for slot, contour in zip(("ED", "ES"), contours, strict=True):
                np.testing.assert_allclose(contour, expected[item.sample, slot], atol=1e-3)


def test_a_prediction_holds_its_frames_and_the_ejection_fraction_of_its_contours(
    predictor: ContourPredictor, tiny: Path
) -> None:
    item = ClipStore.open(tiny / "store").items[0]
    video = tiny / "source" / "Videos" / f"{item.sample}.avi"
    prediction = predictor(video, item.values["ed"], item.values["es"])
    np.testing.assert_array_equal(
        prediction.frames, read_video(video, [item.values["ed"], item.values["es"]]).frames
    )
    assert prediction.numbers == (item.values["ed"], item.values["es"])
    assert prediction.ejection_fraction == pytest.approx(
        float(ejection_fraction(*method_of_disks(prediction.contours)))
    )


def test_a_real_echo_cine(predictor: ContourPredictor, tmp_path: Path) -> None:
    """Apical four-chamber DICOM, 30 frames of 240 x 320.

    It gives the centred square, its contours inside, a picture.
    """
    prediction = predictor(CINE, 0, 12)
    np.testing.assert_array_equal(prediction.frames, square_crop(read_video(CINE, [0, 12]).frames))
    assert prediction.contours.shape == (2, 40, 2) and np.isfinite(prediction.contours).all()
    draw(prediction).save(tmp_path / "contours.png")
    picture = Image.open(tmp_path / "contours.png")
    assert picture.size == (2 * PANEL + 8, PANEL) == (904, 448)
    if os.environ.get("ECHOLM_KEEP_PICTURE"):
        picture.save(os.environ["ECHOLM_KEEP_PICTURE"])


def test_the_same_frame_twice_and_es_before_ed(predictor: ContourPredictor) -> None:
    assert np.isfinite(predictor(CINE, 4, 4).contours).all()
    assert predictor(CINE, 12, 3).numbers == (12, 3)


@pytest.mark.parametrize("size", [112, 240])
def test_a_contour_is_drawn_where_it_is(size: int) -> None:
    """Points in pixels of the frame, at pixel centres, in both panels."""
    rng = np.random.default_rng(0)
    contours = rng.uniform(0.3 * size, 0.8 * size, (2, 40, 2))
    frames = rng.integers(0, 100, (2, size, size), np.uint8)
    picture = np.asarray(draw(ContourPrediction(contours, frames, (3, 9), 55.0)))
    for panel, contour in enumerate(contours):
        x, y = ((contour + 0.5) * PANEL / size - 0.5).round().astype(int).T
        assert (picture[y, x + panel * (PANEL + 8)] == LINE).all()


def test_a_frame_is_drawn_upright_and_to_scale() -> None:
    frames = np.zeros((2, 112, 112), np.uint8)
    frames[0, 56:, :56] = 200
    contours = np.full((2, 40, 2), 100.0)
    picture = np.asarray(draw(ContourPrediction(contours, frames, (0, 1), 0.0)))[..., 0]
    assert picture[300:420, 20:200].min() > 190
    assert picture[60:200, 20:200].max() < 10
    assert picture[300:380, 240:330].max() < 10


@pytest.mark.parametrize(
    ("ed", "es", "message"),
    [(0, 30, "no frame 30; it holds 30 frames"), (-1, 3, "counted from 0"), (99, 0, "no frame 99")],
)
def test_frames_that_are_not_there(
    ed: int, es: int, message: str, predictor: ContourPredictor
) -> None:
    with pytest.raises(EchoLMError, match=message):
        predictor(CINE, ed, es)


def test_frames_beyond_the_end_of_a_video(predictor: ContourPredictor, tiny: Path) -> None:
    video = next((tiny / "source" / "Videos").iterdir())
    with pytest.raises(EchoLMError, match=f"{video.name}: has no frame 10000"):
        predictor(video, 0, 10_000)


def test_files_that_are_no_clips(predictor: ContourPredictor, tmp_path: Path) -> None:
    for name, content in (
        ("note.txt", b"dear colleague"),
        ("empty.avi", b""),
        ("cut.dcm", CINE.read_bytes()[:5000]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EchoLMError, match=name):
            predictor(tmp_path / name, 0, 5)
    with pytest.raises(EchoLMError, match="missing.avi: cannot be read: No such file"):
        predictor(tmp_path / "missing.avi", 0, 5)
    with pytest.raises(EchoLMError, match="cannot be read: Is a directory"):
        predictor(tmp_path, 0, 5)


def test_a_run_that_is_not_complete(workspace: Workspace) -> None:
    run = prepared(workspace, epochs=50)
    fit([run], on_epoch=lambda *_: "pruned")
    with pytest.raises(
        EchoLMError, match="the run is pruned, not complete; it has no best.safetensors"
    ):
        ContourPredictor(run.record, workspace)


def test_a_run_of_another_task_is_refused_before_its_weights_are_looked_for(
    workspace: Workspace, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``echolm predict`` with one line."""

    class Volume(Task):
        name: Literal["volume"] = "volume"

        def outputs(self) -> tuple[int, ...]:
            return (1,)

    TASKS.parse("landmarks")  # the registry is filled at its first look-up
    monkeypatch.setitem(TASKS._classes, "volume", Volume)
    identity = record.identity()
    other = RunRecord(tmp_path / "other")
    other.create({**identity, "config": {**identity["config"], "task": "volume"}})
    with pytest.raises(EchoLMError, match="other: a run of task volume; valid: .* landmarks$"):
        ContourPredictor(other, workspace)
    arguments = ["-w", str(workspace.root), "predict", str(other.path), str(CINE)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"Error: {other.path}: a run of task volume; valid: a run of task landmarks"
    ]


def test_a_run_whose_first_weights_have_changed(workspace: Workspace, tmp_path: Path) -> None:
    """Its frozen stages come from them: other weights would give other contours without a word."""
    from echolm.training.trunk import first_network

    paths = [tmp_path / "one.pt", tmp_path / "two.pt"]
    for seed, path in enumerate(paths):
        network = first_network(prepared(workspace, seed=seed), torch.device("cpu"))
        torch.save(network.state_dict(), path)
    run = prepared(workspace, weights=f"file:{paths[0]}", epochs=1)
    fit([run])
    ContourPredictor(run.record, workspace)
    os.replace(paths[1], paths[0])
    with pytest.raises(EchoLMError, match="one.pt, have changed"):
        ContourPredictor(run.record, workspace)


def test_estimated_phases_are_predicted_as_if_they_were_given(
    predictor: ContourPredictor, videos: list[Path]
) -> None:
    for path in [*videos[:3], CINE]:
        prediction = predictor(path)
        assert prediction.estimate and prediction.numbers == (
            prediction.estimate.ed,
            prediction.estimate.es,
        )
        again = predictor(path, *prediction.numbers)
        assert again.estimate is None
        np.testing.assert_allclose(prediction.contours, again.contours, atol=1e-3)
        np.testing.assert_array_equal(prediction.frames, again.frames)
        assert prediction.areas == pytest.approx(area(again.contours).tolist(), abs=0.1)


def test_one_phase_is_estimated_where_the_other_is_given(predictor: ContourPredictor) -> None:
    late, early = predictor(CINE, ed=4), predictor(CINE, es=20)
    assert late.numbers[0] == 4 and late.estimate and late.estimate.estimated == ("ES",)
    assert early.numbers[1] == 20 and early.estimate and early.estimate.estimated == ("ED",)
    with pytest.raises(
        EchoLMError, match="examples_ybr_color.dcm: has no frame 30; it holds 30 frames"
    ):
        predictor(CINE, ed=30)


def test_a_clip_s_contours_do_not_depend_on_what_is_predicted_beside_it(
    predictor: ContourPredictor, videos: list[Path]
) -> None:
    """More clips than fit into a batch, from the whole file or from its frames alone."""
    cine = predictor.read(videos[0])
    pairs = [(first, last) for first in (0, 7, 21) for last in (3, 7, 15, 22)]
    together = predictor.contours(cine, pairs)
    assert together.shape == (12, 2, 40, 2)
    for pair, contours in zip(pairs, together, strict=True):
        np.testing.assert_allclose(predictor(videos[0], *pair).contours, contours, atol=1e-3)


@pytest.mark.parametrize("count", [2, 3, 33])
def test_files_of_few_frames(
    count: int, predictor: ContourPredictor, videos: list[Path], tmp_path: Path
) -> None:
    write_mjpeg(
        tmp_path / "short.avi", np.tile(read_video(videos[0]).frames, (2, 1, 1))[5 : 5 + count], 50
    )
    prediction = predictor(tmp_path / "short.avi")
    assert len({*prediction.numbers}) == 2 and max(prediction.numbers) < count


def test_a_file_of_one_frame_has_no_phases(
    predictor: ContourPredictor, videos: list[Path], tmp_path: Path
) -> None:
    write_mjpeg(tmp_path / "still.avi", read_video(videos[0]).frames[:1], 50)
    with pytest.raises(EchoLMError, match="still.avi: holds 1 frame"):
        predictor(tmp_path / "still.avi")
    assert np.isfinite(predictor(tmp_path / "still.avi", 0, 0).contours).all()


def test_a_run_that_does_not_look_at_the_frames_estimates_no_phases(
    workspace: Workspace, videos: list[Path]
) -> None:
    run = prepared(workspace, **CONSTANT)
    fit([run])
    predict = ContourPredictor(run.record, workspace)
    with pytest.raises(
        EchoLMError,
        match=f"{videos[0].name}: the contours of this run do not depend on the frames"
        ".* type --ed and --es",
    ):
        predict(videos[0])
    assert predict(videos[0], 3, 9).numbers == (3, 9)


def test_estimated_phases_are_named_in_the_picture(predictor: ContourPredictor) -> None:
    one = predictor(CINE, 4, 16)
    two = predictor(CINE, ed=4)
    pictures = [
        np.asarray(draw(ContourPrediction(two.contours, two.frames, two.numbers, 50.0, estimate)))
        for estimate in (None, two.estimate)
    ]
    assert one.estimate is None
    differ = (pictures[0] != pictures[1]).any((0, 2))
    assert not differ[:PANEL].any() and differ[PANEL + 8 :].any(), "ED was given, ES was not"


def test_a_note_is_written_below_ed_alone(predictor: ContourPredictor) -> None:
    """As the one of a network that was trained on synthetic data."""
    assert predictor.trained_on.note == "network trained on synthetic data"
    prediction = predictor(CINE, 4, 16)
    without, noted = (
        np.asarray(draw(prediction, note)) for note in ("", predictor.trained_on.note)
    )
    rows, columns = np.nonzero((without != noted).any(-1))
    assert PANEL - 40 < rows.min() and columns.max() < PANEL
