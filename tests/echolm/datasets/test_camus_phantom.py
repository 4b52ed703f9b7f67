"""The phantom of CAMUS: its volumes are known, and a stopped call continues to the same files."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest

from echolm.datasets import DATASETS
from echolm.datasets.phantom.camus import generate_camus
from echolm.errors import EchoLMError
from echolm.media.read import read_video


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight half sequences of four patients."""
    root = tmp_path_factory.mktemp("camus") / "phantom"
    DATASETS.parse("camus").generate_phantom(root, items=8, seed=0)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_masks_give_the_true_volumes(phantom: Path) -> None:
    scan = DATASETS.parse("camus").scan(phantom)
    assert scan.problems == [] and scan.fatal == [] and scan.synthetic
    assert scan.splits == {"train": 4, "val": 2, "test": 2}
    with open(phantom / "truth.csv", newline="") as file:
        truth = {row["patient"]: row for row in csv.DictReader(file)}
    for item in scan.items:
        row = truth[item.patient]
        assert item.values["edv"] == pytest.approx(float(row["edv"]), rel=0.02)
        assert item.values["esv"] == pytest.approx(float(row["esv"]), rel=0.02)
        assert item.values["ef"] == pytest.approx(float(row["ef"]), abs=1)
        assert item.values["ef_released"] == pytest.approx(float(row["ef"]), abs=0.051)


def test_all_frames_are_there_and_show_what_the_masks_say(phantom: Path) -> None:
    for item in DATASETS.parse("camus").scan(phantom).items:
        video = read_video(item.path)
        assert video.frames.shape == (item.frame_count, 224, 112)
        assert {item.values["ed"], item.values["es"]} == {0, item.frame_count - 1}
        folder = item.path.parent
        picture = read_video(folder / f"{item.sample}_ED.nii.gz").frames[0]
        assert np.array_equal(picture, video.frames[item.values["ed"]])
        labels = np.asarray(nibabel.load(folder / f"{item.sample}_ED_gt.nii.gz").dataobj).T
        assert set(np.unique(labels)) == {0, 1, 2, 3}
        assert picture[labels == 2].mean() > 1.5 * picture[labels == 1].mean()


def test_a_stopped_call_is_continued_to_the_same_files(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echolm.datasets.phantom import camus

    written = 0
    write = camus.write_atomic

    def stop(path: Path, content: bytes) -> None:
        nonlocal written
        written += 1
        if written > 20:
            raise KeyboardInterrupt
        write(path, content)

    root = tmp_path / "phantom"
    monkeypatch.setattr(camus, "write_atomic", stop)
    with pytest.raises(KeyboardInterrupt):
        generate_camus(root, items=8, seed=0)
    monkeypatch.setattr(camus, "write_atomic", write)
    with pytest.raises(EchoLMError, match="holds an unfinished phantom of other settings"):
        generate_camus(root, items=8, seed=1)
    generate_camus(root, items=8, seed=0)
    assert contents(root) == contents(phantom)
    with pytest.raises(EchoLMError, match="is not an empty folder; choose a new one"):
        generate_camus(root, items=8, seed=0)


@pytest.mark.parametrize(("items", "clips", "reason"), [
    (7, 1, "phantom: 7 half sequences; valid: even numbers, since a patient has two"),
    (0, 1, "phantom: 0 half sequences; valid: even numbers"),
    (8, 3, "phantom: clips per patient is 3; valid: 2, one a view"),
])  # fmt: skip
def test_numbers_that_are_not_valid_are_told(
    tmp_path: Path, items: int, clips: int, reason: str
) -> None:
    with pytest.raises(EchoLMError, match=reason):
        generate_camus(tmp_path / "phantom", items, clips_per_patient=clips)
    assert not (tmp_path / "phantom").exists()
