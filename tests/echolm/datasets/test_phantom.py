"""The phantom: the data set's layout, the ventricle's contours, volumes that follow from them."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import re
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echolm.datasets import DATASETS, scan_dataset
from echolm.datasets.phantom import generate as phantom_module
from echolm.datasets.phantom import image
from echolm.datasets.phantom.anatomy import disk_volume
from echolm.datasets.phantom.generate import generate_phantom, write_mjpeg
from echolm.errors import EchoLMError
from echolm.geometry import rasterise
from echolm.media.read import read_video

NAME = "echonet-dynamic"


@pytest.fixture(scope="module")
def phantom_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips of 112 pixels a side, as users generate them."""
    root = tmp_path_factory.mktemp("phantom") / "data"
    generate_phantom(root, videos=24, seed=0)
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def ends_of(path: Path) -> np.ndarray:
    """The segments' ends: rows x 4."""
    return np.array(
        [[float(row[name]) for name in ("X1", "Y1", "X2", "Y2")] for row in rows_of(path)]
    )


def volume(rows: list[list[float]]) -> float:
    """Method of disks in ml, written out: 20 disks of the chords' diameters on the long axis, 0.14
    cm a pixel."""
    x1, y1, x2, y2 = rows[0]
    height = math.hypot(x2 - x1, y2 - y1) * 0.14 / 20
    return sum(
        math.pi * (math.hypot(c - a, d - b) * 0.14 / 2) ** 2 * height for a, b, c, d in rows[1:]
    )


def test_layout_is_the_data_sets(phantom_root: Path) -> None:
    header, first = (phantom_root / "FileList.csv").read_text().splitlines()[:2]
    assert header == "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split"
    assert re.fullmatch(
        r"0X[0-9A-F]{16},[\d.]+,[\d.]+,[\d.]+,112,112,\d+,\d+,(TRAIN|VAL|TEST)", first
    )
    header, first = (phantom_root / "VolumeTracings.csv").read_text().splitlines()[:2]
    assert header == "FileName,X1,Y1,X2,Y2,Frame" and re.fullmatch(
        r"0X\w{16}\.avi(,[\d.]+){4},\d+", first
    )
    assert len(list((phantom_root / "Videos").glob("0X*.avi"))) == 24
    scan = scan_dataset(NAME, phantom_root)
    assert len(scan.items) == 24 and not scan.problems and not scan.fatal and scan.synthetic
    assert scan.splits == {"train": 14, "val": 5, "test": 5}


def test_volumes_are_disks_on_the_traced_chords_and_ef_follows(phantom_root: Path) -> None:
    traced: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows_of(phantom_root / "VolumeTracings.csv"):
        points = [float(row[name]) for name in ("X1", "Y1", "X2", "Y2")]
        traced[row["FileName"].removesuffix(".avi")][row["Frame"]].append(points)
    for row in rows_of(phantom_root / "FileList.csv"):
        esv, edv = sorted(volume(rows) for rows in traced[row["FileName"]].values())
        assert float(row["ESV"]) == pytest.approx(esv, rel=1e-9) and float(
            row["EDV"]
        ) == pytest.approx(edv, rel=1e-9)
        stored_esv, stored_edv = float(row["ESV"]), float(row["EDV"])
        assert float(row["EF"]) == (stored_edv - stored_esv) / stored_edv * 100


def test_disks_of_known_bodies() -> None:
    """A cylinder is exact; half an ellipsoid, by disks at half height, is within 0.2 %."""
    s = (np.arange(20) + 0.5) / 20
    for half, expected in ((np.ones(20), math.pi), (np.sqrt(1 - (1 - s) ** 2), 2 / 3 * math.pi)):
        chords = np.stack([56 - 15 * half, 10 + 60 * s, 56 + 15 * half, 10 + 60 * s], 1)
        rows = np.vstack([[56, 10, 56, 70], chords])
        assert disk_volume(rows, 0.1) == pytest.approx(expected * 1.5**2 * 6, rel=2e-3)


def test_chords_run_from_apex_to_mitral_plane_across_the_axis(phantom_root: Path) -> None:
    for segments in ends_of(phantom_root / "VolumeTracings.csv").reshape(-1, 21, 4):
        axis = segments[0, 2:] - segments[0, :2]
        assert axis[1] > 0 and (segments[1:, 0] < segments[1:, 2]).all()
        assert np.abs((segments[1:, 2:] - segments[1:, :2]) @ axis).max() < 0.05
        middles = (segments[1:, :2] + segments[1:, 2:]) / 2 - segments[0, :2]
        assert np.allclose(middles @ axis / (axis @ axis), (np.arange(20) + 0.5) / 20, atol=1e-3)


def test_the_traced_cavity_is_dark_and_its_surround_bright(phantom_root: Path) -> None:
    contrast = []
    for item in scan_dataset(NAME, phantom_root).items:
        for phase in ("ed", "es"):
            frame = read_video(item.path, [item.values[phase]]).frames[0]
            points = item.values[f"landmarks_{phase}"].astype(float)
            wider = points.mean(0) + 1.3 * (points - points.mean(0))
            inside, around = (
                rasterise(contour[None], 112, 112)[0].astype(bool) for contour in (points, wider)
            )
            contrast.append(frame[around & ~inside].mean() / frame[inside].mean())
    assert min(contrast) > 1.2 and np.median(contrast) > 2


def test_patients_differ_so_that_the_mean_contour_is_wrong(phantom_root: Path) -> None:
    points = np.stack(
        [item.values["landmarks_ed"] for item in scan_dataset(NAME, phantom_root).items]
    )
    error = np.linalg.norm(points - points.mean(0), axis=-1).mean(-1)
    assert np.median(error) > 5 and points.min() > 0 and points.max() < 112


def test_clips_vary_as_the_real_ones_do(phantom_root: Path) -> None:
    items = scan_dataset(NAME, phantom_root).items
    gaps = [abs(item.values["es"] - item.values["ed"]) for item in items]
    assert min(gaps) < 15 < max(gaps) and {item.values["es_before_ed"] for item in items} == {
        False,
        True,
    }
    assert (
        all(28 <= item.frame_count <= 64 for item in items)
        and len({item.values["fps"] for item in items}) > 2
    )
    for item in items[:4]:
        assert len(read_video(item.path).frames) == item.frame_count


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        generate_phantom(tmp_path / name, videos=3, seed=seed)
    files = {
        name: {p.name: p.read_bytes() for p in (tmp_path / name).rglob("*.*")} for name in "abc"
    }
    assert files["a"] == files["b"] and len(files["a"]) == 6
    assert files["a"]["FileList.csv"] != files["c"]["FileList.csv"]


@pytest.mark.parametrize("frames", [1, 7, 1000])
def test_the_picture_does_not_depend_on_how_many_frames_are_rendered_at_once(
    frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate_phantom(tmp_path / "few", videos=3, seed=3)
    monkeypatch.setattr(image, "FRAMES_AT_ONCE", frames)
    generate_phantom(tmp_path / "other", videos=3, seed=3)
    videos = [*(tmp_path / "few" / "Videos").iterdir()]
    assert len(videos) == 3
    for video in videos:
        assert video.read_bytes() == (tmp_path / "other" / "Videos" / video.name).read_bytes()


def test_the_dataset_makes_the_same_phantom(tmp_path: Path) -> None:
    generate_phantom(tmp_path / "a", videos=2, seed=7, clips_per_patient=2)
    DATASETS.parse(NAME).generate_phantom(tmp_path / "b", 2, 7, clips_per_patient=2)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_clips_of_a_patient_share_the_heart_and_the_split(tmp_path: Path) -> None:
    generate_phantom(tmp_path / "data", videos=7, clips_per_patient=2)
    rows = rows_of(tmp_path / "data" / "FileList.csv")
    assert list(rows[0])[-1] == "Patient" and [row["Patient"] for row in rows[:3]] == [
        "P00000",
        "P00000",
        "P00001",
    ]
    scan = scan_dataset(NAME, tmp_path / "data")
    assert not scan.fatal and len({item.patient for item in scan.items}) == 4
    assert sum(scan.splits.values()) == 7 and min(scan.splits.values()) >= 1
    assert float(rows[0]["EF"]) == pytest.approx(float(rows[1]["EF"]), abs=0.1)


def test_tracing_noise_moves_chord_ends_only(tmp_path: Path) -> None:
    generate_phantom(tmp_path / "clean", videos=1)
    generate_phantom(tmp_path / "noisy", videos=1, tracing_noise=0.5)
    clean, noisy = (ends_of(tmp_path / name / "VolumeTracings.csv") for name in ("clean", "noisy"))
    moved = noisy - clean
    assert not moved[[0, 21]].any() and 0.3 < moved[1:21].std() < 0.7
    assert json.loads((tmp_path / "noisy" / "phantom.json").read_text())["tracing_noise"] == 0.5


def test_what_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        generate_phantom(tmp_path, videos=1)
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        generate_phantom(tmp_path / "file", videos=1)
    with pytest.raises(EchoLMError, match="videos is 0; valid: 1 or more"):
        generate_phantom(tmp_path / "x", videos=0)
    with pytest.raises(EchoLMError, match="size is 111; valid: even numbers"):
        generate_phantom(tmp_path / "x", size=111)
    with pytest.raises(EchoLMError, match="cannot be written"):
        generate_phantom(tmp_path / "file" / "x", videos=1)


def killed(root: Path, videos: int, number: int) -> None:
    """Make a phantom in a process that is gone before it writes its ``number``-th file."""

    def before(call: Callable[..., None]) -> Callable[..., None]:
        def counted(*values: object) -> None:
            if next(counter) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            call(*values)

        return counted

    counter = itertools.count(1)
    if (child := os.fork()) == 0:
        for name in ("write_mjpeg", "write_atomic"):
            setattr(phantom_module, name, before(getattr(phantom_module, name)))
        generate_phantom(root, videos=videos)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_killed_phantom_is_made_by_the_same_arguments(tmp_path: Path) -> None:
    """Wherever it is killed: what it leaves is no data set, and marked as synthetic once there is a
    video."""
    generate_phantom(tmp_path / "whole", videos=2)
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        generate_phantom(tmp_path / "whole", videos=2)
    for number in range(2, 6):
        root = tmp_path / str(number)
        killed(root, 2, number)
        assert "phantom.json" in content(root) and "FileList.csv" not in content(root)
        with pytest.raises(
            EchoLMError,
            match=r"unfinished phantom of other settings \(seed: 0; asked for: 1\); type the same",
        ):
            generate_phantom(root, videos=2, seed=1)
        generate_phantom(root, videos=2)
        assert content(root) == content(tmp_path / "whole")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that are written. The third one is interrupted, half-way, once."""
    names: list[str] = []

    def write(path: Path, frames: np.ndarray, fps: float) -> None:
        names.append(path.name)
        if len(names) == 3:
            write_mjpeg(path, frames[:3], fps)
            raise KeyboardInterrupt
        write_mjpeg(path, frames, fps)

    monkeypatch.setattr(phantom_module, "write_mjpeg", write)
    return names


def test_an_interrupted_phantom_is_continued(tmp_path: Path, written: list[str]) -> None:
    settings: dict[str, Any] = {"videos": 4, "clips_per_patient": 2, "tracing_noise": 0.3}
    root = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt):
        generate_phantom(root, **settings)
    generate_phantom(root, **settings)
    assert len(written) == 5 and written[2] == written[3]
    generate_phantom(tmp_path / "whole", **settings)
    assert content(root) == content(tmp_path / "whole")


@pytest.mark.parametrize("damage", [b"", b"not a line\n", b'{"number": 1, "lis'])
def test_clips_that_were_lost_after_a_stop_are_drawn_again(
    tmp_path: Path, written: list[str], damage: bytes
) -> None:
    """A power cut takes back what was not flushed: a video, or the end of the list of clips."""
    root = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt):
        generate_phantom(root, videos=3)
    lost = root / "Videos" / written[0]
    lost.write_bytes(lost.read_bytes()[:-100])
    journal = root / "unfinished.jsonl"
    journal.write_bytes(journal.read_bytes() + damage)
    generate_phantom(root, videos=3)
    assert written[3:] == [written[0], written[2]]
    generate_phantom(tmp_path / "whole", videos=3)
    assert content(root) == content(tmp_path / "whole")


def test_a_phantom_of_the_same_settings_that_is_whole_is_left_alone(tmp_path: Path) -> None:
    generate_phantom(tmp_path / "whole", videos=1)
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        generate_phantom(tmp_path / "whole", videos=1)
