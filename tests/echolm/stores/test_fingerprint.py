"""The data fingerprint: what it must not depend on, and what it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echolm.datasets import scan_dataset
from echolm.datasets.phantom.generate import write_mjpeg
from echolm.media.read import read_video
from echolm.stores.prepare_clips import prepare
from echolm.stores.writer import StoredItem, fingerprint

NAME = "echonet-dynamic"


def prepared(dataset: Any, out: Path, **options: Any) -> str:
    return prepare(NAME, dataset.write(), out, workers=1, progress=False, **options).fingerprint


def test_neither_workers_nor_paths_matter(phantom_root: Path, tmp_path: Path) -> None:
    one = prepare(NAME, phantom_root, tmp_path / "one", workers=1, progress=False)
    two = prepare(
        NAME, phantom_root, tmp_path / "zwei 'mal' \"hier\" ünï $x", workers=2, progress=False
    )
    assert one.fingerprint == two.fingerprint
    assert (one.path / "frames.bin").read_bytes() == (two.path / "frames.bin").read_bytes()


def test_the_order_of_rows_does_not_matter(dataset: Any, tmp_path: Path) -> None:
    first = prepared(dataset, tmp_path / "a")
    dataset.files.reverse()
    assert prepared(dataset, tmp_path / "b") == first


def change_split(dataset: Any) -> None:
    dataset.files[3]["Split"] = "VAL"


def change_patient(dataset: Any) -> None:
    dataset.file_columns.append("Patient")
    for row in dataset.files:
        row["Patient"] = "p" + row["FileName"]


def change_landmark(dataset: Any) -> None:
    dataset.tracings[5]["X1"] += 0.001


def change_target(dataset: Any) -> None:
    dataset.files[0]["EF"] = 60.5


def change_pixels(dataset: Any) -> None:
    path = dataset.root / "Videos" / "0XA1.avi"
    frames = read_video(path).frames
    frames[2, 50:54, 50:54] ^= 128
    write_mjpeg(path, frames, 50)


@pytest.mark.parametrize(
    "change", [change_split, change_patient, change_landmark, change_target, change_pixels]
)
def test_every_content_matters(dataset: Any, tmp_path: Path, change: Any) -> None:
    first = prepared(dataset, tmp_path / "a")
    change(dataset)
    assert prepared(dataset, tmp_path / "b") != first


def test_the_stored_frames_matter(dataset: Any, tmp_path: Path) -> None:
    assert prepared(dataset, tmp_path / "a") != prepared(dataset, tmp_path / "b", clips="all")


def test_one_pixel_one_landmark_one_frame_number(dataset: Any) -> None:
    """Each field of an item changes the fingerprint; the order of items and the path of a video do
    not."""
    items = [
        StoredItem(source, np.array([2, 9]), 112, 112, f"{number}" * 64)
        for number, source in enumerate(scan_dataset(NAME, dataset.write()).items)
    ]
    first = fingerprint(items, "d", "c")
    assert fingerprint(items[::-1], "d", "c") == first
    moved = replace(items[0], source=replace(items[0].source, path=Path("/elsewhere")))
    assert fingerprint([moved, *items[1:]], "d", "c") == first
    points = items[0].source.values["landmarks_ed"].copy()
    points[39, 1] = np.nextafter(points[39, 1], np.float32(np.inf))
    values = items[0].source.values | {"landmarks_ed": points}
    changed = [
        replace(items[0], sha256="f" * 64),
        replace(items[0], frames=np.array([2, 8])),
        replace(items[0], height=56, width=224),
        *(
            replace(items[0], source=replace(items[0].source, **change))
            for change in (
                {"split": "test"},
                {"patient": "x"},
                {"study": "x"},
                {"sample": "x"},
                {"values": values},
            )
        ),
    ]
    prints = [fingerprint([item, *items[1:]], "d", "c") for item in changed]
    prints += [fingerprint(items, "e", "c"), fingerprint(items, "d", "e"), first]
    assert len(set(prints)) == len(prints)
