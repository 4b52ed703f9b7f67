"""One store of EchoNet-Dynamic serves EF, of all videos, and landmarks, of those that have them.

A store that was made when only videos with landmarks counted is still one of the same files.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from echolm.datasets.echonet_dynamic import EchoNetDynamic
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare

NAME = "echonet-dynamic"
UNTRACED = ("0XA1", "0XB3")
WRONG_COUNT = "0XB6"


def make(root: Path, out: Path, **options: Any) -> ClipStore:
    return prepare(NAME, root, out, workers=1, progress=False, **options)


@pytest.fixture
def ten(dataset: Any) -> Any:
    """10 videos: two have no tracings, one has a frame of 20 rows."""
    for number in range(6):
        dataset.add(f"0XB{number + 1}", ("TRAIN", "VAL", "TEST")[number % 3], frames=12)
    lacking = set(dataset_rows(dataset, WRONG_COUNT)[:1])
    kept = []
    for number, row in enumerate(dataset.tracings):
        sample = row["FileName"].removesuffix(".avi")
        if sample not in UNTRACED and number not in lacking:
            kept.append(row)
    dataset.tracings = kept
    return dataset


def dataset_rows(dataset: Any, sample: str) -> list[int]:
    """The numbers of the tracing rows of a sample."""
    rows = enumerate(dataset.tracings)
    return [number for number, row in rows if row["FileName"] == f"{sample}.avi"]


def test_a_store_of_whole_videos_has_ten_items_and_landmarks_of_seven(
    ten: Any, tmp_path: Path
) -> None:
    store = make(ten.write(), tmp_path / "store", clips="all")
    assert len(store.items) == store.info["values"]["ef"] == 10
    with_landmarks = [item for item in store.items if item.values["landmarks_ed"] is not None]
    assert len(with_landmarks) == store.info["values"]["landmarks_es"] == 7
    without = [item for item in store.items if item.values["ed"] is None]
    assert [item.sample for item in without] == ["0XA1", "0XB3", "0XB6"]
    assert [item.values["ef"] for item in without] == [60.0] * 3


def test_a_store_of_landmark_clips_is_that_of_the_seven_alone(ten: Any, tmp_path: Path) -> None:
    """So its fingerprint, and the runs on it, are those of the versions without optional values."""
    store = make(ten.write(), tmp_path / "store")
    assert len(store.items) == 7
    with open(store.path / "problems.csv", newline="") as file:
        problems = list(csv.DictReader(file))
    assert [(row["file"], row["row"], row["sample"]) for row in problems] == [
        ("FileList.csv", "2", "0XA1"),
        ("FileList.csv", "8", "0XB3"),
        ("VolumeTracings.csv", str(dataset_rows(ten, WRONG_COUNT)[0] + 2), WRONG_COUNT),
    ]
    for row, reason in zip(problems, ("has 0 (none)", "has 0 (none)", "20 rows"), strict=True):
        assert reason in row["reason"] and "has no value ed, es, which clip rule" in row["reason"]
    left_out = {*UNTRACED, WRONG_COUNT}
    ten.files = [row for row in ten.files if row["FileName"] not in left_out]
    alone = make(ten.write(), tmp_path / "alone")
    assert alone.fingerprint == store.fingerprint


@pytest.mark.parametrize("clips", ["ed-to-es-16", "all"])
def test_a_store_of_the_former_rule_is_of_the_same_files(
    ten: Any, tmp_path: Path, clips: str
) -> None:
    root = ten.write()
    store = make(root, tmp_path / "store", clips=clips)
    info = json.loads((store.path / "store.json").read_text())
    [former] = EchoNetDynamic().scan(root).former_identities
    written = json.dumps(info | {"source": former})
    (store.path / "store.json").write_text(written)
    again = make(root, tmp_path / "store", clips=clips)
    assert again.fingerprint == store.fingerprint
    assert (store.path / "store.json").read_text() == written
    ten.files[0]["EF"] = 60.5
    with pytest.raises(EchoLMError, match="store: was made from other files"):
        make(ten.write(), tmp_path / "store", clips=clips)


def test_an_unfinished_store_of_the_former_rule_is_not_continued(ten: Any, tmp_path: Path) -> None:
    """Its parts hold other items."""
    root = ten.write()
    video = root / "Videos" / "0XA2.avi"
    content = video.read_bytes()
    video.write_bytes(bytes(len(content)))
    with pytest.raises(EchoLMError, match="1 of 10 videos do not decode"):
        make(root, tmp_path / "store", clips="all")
    video.write_bytes(content)
    plan = tmp_path / "store" / "partial" / "plan.json"
    [former] = EchoNetDynamic().scan(root).former_identities
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"source": former}))
    with pytest.raises(EchoLMError, match="store: was made from other files"):
        make(root, tmp_path / "store", clips="all")


def test_a_twin_that_is_not_stored_does_not_hinder(ten: Any, tmp_path: Path) -> None:
    """A landmark store learns nothing from an untraced video of train that equals one of test."""
    videos = ten.root / "Videos"
    (videos / "0XA1.avi").write_bytes((videos / "0XA3.avi").read_bytes())
    assert make(ten.write(), tmp_path / "store").info["equal_clips"] == 0
    with pytest.raises(EchoLMError, match="its file is byte for byte that of 0XA1 in split train"):
        make(ten.root, tmp_path / "other", clips="all")
