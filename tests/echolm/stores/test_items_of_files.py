"""Items of several files, files of unknown length, resized frames, and what is left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_dataset import Toy, write_png, write_video

from echolm.errors import EchoLMError
from echolm.media.read import read_video
from echolm.stores import decode, shards
from echolm.stores.check_videos import check_dataset
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import _scaled, prepare

Listed = Callable[..., Path]


def make(toy: Toy, root: Path, clips: str = "all", name: str = "store", **options: Any) -> Any:
    options = {"workers": 1, "progress": False} | options
    return prepare(toy, root, root.parent / name, clips, **options)


def pictures(count: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """Smooth gray pictures."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, height // 8, width // 8))
    return coarse.astype(np.uint8).repeat(8, 1).repeat(8, 2)


def coloured(count: int) -> np.ndarray:
    """Pictures in colours, count x 32 x 48 x 3."""
    return np.stack([pictures(count, seed=seed) for seed in range(3)], axis=-1)


def item(sample: str, *files: str, **more: Any) -> dict[str, Any]:
    return {"sample": sample, "files": list(files), **more}


def problems(store: ClipStore) -> list[tuple[str, str, str]]:
    with open(store.path / "problems.csv", newline="") as file:
        return [(row["file"], row["sample"], row["reason"]) for row in csv.DictReader(file)]


@pytest.fixture
def study(toy: type[Toy], listed: Listed) -> Path:
    """A study of two pictures, a video of five frames and a third picture; and a video alone."""
    root = listed(
        item("a", "0.png", "1.png", "v.avi", "2.png"), item("b", "v.avi", values={"ef": 50})
    )
    for number, picture in enumerate(pictures(3, seed=1)):
        write_png(root / f"{number}.png", picture)
    write_video(root / "v.avi", pictures(5, seed=2))
    return root


def whole(root: Path) -> np.ndarray:
    files = ("0.png", "1.png", "v.avi", "2.png")
    return np.concatenate([read_video(root / name).frames for name in files])


@pytest.mark.parametrize("clips", ["all", "uniform-4", "uniform-16", "every-3", "first-32"])
def test_frames_of_several_files_follow_each_other(study: Path, clips: str) -> None:
    store = make(Toy(), study, clips)
    first = store.items[0]
    chosen = {"all": range(8), "uniform-4": [0, 2, 4, 7], "every-3": [0, 3, 6]}
    assert first.frames.tolist() == list(chosen.get(clips, range(8)))
    assert np.array_equal(store.read(0, first.frames), whole(study)[first.frames])
    assert np.array_equal(store.read(1, np.array([0])), read_video(study / "v.avi", [0]).frames)


def test_a_known_and_a_counted_length_give_the_same_store(study: Path, listed: Listed) -> None:
    counted = make(Toy(), study, "uniform-4")
    files = ("0.png", "1.png", "v.avi", "2.png")
    listed(item("a", *files, frame_count=8), item("b", "v.avi", values={"ef": 50}, frame_count=5))
    known = make(Toy(), study, "uniform-4", "known")
    assert known.fingerprint == counted.fingerprint
    assert known.items[1].frames.tolist() == counted.items[1].frames.tolist() == [0, 1, 2, 4]
    listed(item("a", *files, frame_count=9))
    with pytest.raises(EchoLMError, match="hold 8 frames; the dataset's tables say 9"):
        make(Toy(), study, "uniform-4", "wrong")


def test_a_frame_that_no_file_holds(study: Path, listed: Listed) -> None:
    listed(item("a", "0.png", "v.avi", values={"ed": 3, "es": 9}))
    with pytest.raises(EchoLMError, match=r"0.png: a: has no frame 6; it holds 6 frames"):
        make(Toy(), study, "ed-to-es-16")


def test_sizes_that_differ_between_files_need_a_size(study: Path, listed: Listed) -> None:
    write_png(study / "1.png", pictures(1, 64, 48, seed=3)[0])
    with pytest.raises(EchoLMError) as caught:
        make(Toy(), study)
    line = str(caught.value).splitlines()[0]
    assert line.startswith("0.png: a: it and the item's other files are of several sizes")
    assert line.endswith("(48 x 32, 48 x 64); make them one: --size N")
    store = make(Toy(), study, size=24, name="sized")
    assert (store.items[0].height, store.items[0].width, store.info["size"]) == (24, 24, 24)
    expected = cv2.resize(read_video(study / "1.png").frames[0], (24, 24), None, 0, 0, 3)
    read = store.read(0, np.array([1]))[0]
    assert np.abs(read.astype(int) - expected).max() <= 1  # 3: cv2.INTER_AREA
    listed(item("a", "0.png", "1.png", values={"landmarks_ed": [[1, 2]]}))
    with pytest.raises(EchoLMError, match="its landmarks fit no picture of both"):
        make(Toy(), study, size=24, name="points")


@given(
    points=st.lists(st.tuples(*[st.floats(-20, 700, width=32)] * 2), min_size=1, max_size=9),
    old=st.tuples(st.integers(1, 800), st.integers(1, 800)),
    new=st.integers(1, 400),
)
def test_a_landmark_stays_where_it_is_in_the_picture(
    points: list[tuple[float, float]], old: tuple[int, int], new: int
) -> None:
    before = np.array(points, np.float32)
    scaled = _scaled({"landmarks_ed": before, "ef": 50}, (new / old[0], new / old[1]))
    after = scaled["landmarks_ed"]
    assert after.dtype == np.float32 and scaled["ef"] == 50
    relative = (before.astype(float) + 0.5) / old
    assert np.allclose((after.astype(float) + 0.5) / new, relative, rtol=1e-5, atol=1e-5)


def test_resized_frames_keep_landmarks_on_what_they_mark(study: Path, listed: Listed) -> None:
    """A bright square of 8 x 8 pixels, whose centre is marked, of a picture that is no square."""
    picture = np.zeros((32, 48), np.uint8)
    picture[8:16, 24:32] = 240
    write_png(study / "0.png", picture)
    values = {"landmarks_ed": [[27.5, 11.5]], "landmarks_es": None}
    listed(item("a", "0.png", values=values))
    for size in (16, 24, 64):
        store = make(Toy(), study, "image", f"at {size}", size=size)
        frame = store.read(0, np.array([0]))[0].astype(float)
        centre = [(frame.sum(axis) * np.arange(size)).sum() / frame.sum() for axis in (0, 1)]
        assert np.allclose(store.items[0].values["landmarks_ed"][0], centre, atol=0.1)
        assert store.items[0].values["landmarks_es"] is None
    sizes = [make(Toy(), study, "image", f"at {size}", size=size) for size in (16, 24)]
    plain = make(Toy(), study, "image", "plain")
    assert len({store.fingerprint for store in (*sizes, plain)}) == 3
    assert "size" not in plain.info
    with pytest.raises(EchoLMError, match=r"was made at another size \(16; asked for: none\)"):
        make(Toy(), study, "image", "at 16")


def test_the_labels_fit_the_picture_before_it_is_resized(study: Path, listed: Listed) -> None:
    listed(item("a", "v.avi", sizes=[[32, 32]]))
    with pytest.raises(EchoLMError, match="is 48 x 32 pixels; its labels are for 32 x 32"):
        make(Toy(), study, size=32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 24, "index_only": True}, "--index-only with --size: frames that stay"),
        ({"size": 0}, "--size 0: valid: 1 to 4096"),
        ({"size": 4097}, "--size 4097: valid: 1 to 4096"),
        ({"index_only": True}, "0.png: a: its frames cannot be read by index; store them"),
    ],
)
def test_what_does_not_go_together(study: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(EchoLMError, match=message):
        make(Toy(), study, **options)


def test_an_index_of_a_video_of_unknown_length(study: Path, listed: Listed) -> None:
    listed(item("b", "v.avi"))
    stored, indexed = make(Toy(), study), make(Toy(), study, name="i", index_only=True)
    assert stored.fingerprint == indexed.fingerprint
    assert np.array_equal(indexed.read(0, np.arange(5)), stored.read(0, np.arange(5)))


@pytest.fixture
def kinds(toy: type[Toy], listed: Listed) -> Path:
    """Gray and coloured pictures and videos, each an item called after its file."""
    names = ("colour.avi", "colour.mp4", "colour.png", "gray.avi", "gray.mp4", "gray.png")
    root = listed(*(item(name, name) for name in names))
    for name, frames in (("gray", pictures(3)), ("colour", coloured(3))):
        write_png(root / f"{name}.png", frames[0])
        write_video(root / f"{name}.avi", frames)
        write_video(root / f"{name}.mp4", frames, "h264")
    return root


def test_stills_and_colour_are_left_out_by_choice(kinds: Path) -> None:
    store = make(Toy(stills="skip", colour="skip", any_codec=True), kinds)
    assert [item.sample for item in store.items] == ["gray.avi", "gray.mp4"]
    assert problems(store) == [
        ("colour.avi", "colour.avi", "pictures in colour, skipped: colour=skip"),
        ("colour.mp4", "colour.mp4", "pictures in colour, skipped: colour=skip"),
        ("colour.png", "colour.png", "a still image, skipped: stills=skip"),
        ("gray.png", "gray.png", "a still image, skipped: stills=skip"),
    ]
    chosen = {"stills": "skip", "colour": "skip", "any_codec": True}
    assert store.info["dataset"] == store.info["reading"] == chosen
    assert store.info["problems"] == 4


def test_a_picture_in_colour_is_left_out_by_choice(kinds: Path) -> None:
    store = make(Toy(colour="skip", any_codec=True), kinds, "image")
    assert problems(store)[2][2] == "a picture in colour, skipped: colour=skip"
    assert [item.sample for item in store.items] == ["gray.avi", "gray.mp4", "gray.png"]


def test_colour_is_read_as_its_luma(kinds: Path) -> None:
    store = make(Toy(colour="gray", any_codec=True), kinds, "image")
    expected = cv2.cvtColor(coloured(3)[0], cv2.COLOR_RGB2GRAY).astype(int)
    for row, name in enumerate(("avi", "mp4", "png")):
        read = store.read(row, np.array([0]))[0].astype(int)
        assert np.abs(read - expected).mean() < (1 if name == "png" else 6), name


def test_colour_and_other_codecs_are_refused_by_default(kinds: Path) -> None:
    with pytest.raises(EchoLMError) as caught:
        make(Toy(), kinds, "image")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("colour.avi: colour.avi: frame 0 is in colour; choose what is done")
    assert "is h264 (yuv420p); valid: MJPEG" in lines[1] and "is h264" in lines[3]
    assert "colour.png: is PNG" in lines[2] or "is a picture in colours" in lines[2]
    assert "4 of 6 items do not decode" in lines[4]
    store = make(Toy(), kinds, "image", skip_unreadable=True)
    assert [item.sample for item in store.items] == ["gray.avi", "gray.png"]
    assert "dataset" not in store.info and store.info["reading"] == {"colour": "refuse"}


def test_other_codecs_are_not_indexed(kinds: Path, listed: Listed) -> None:
    listed(item("gray.mp4", "gray.mp4"))
    with pytest.raises(EchoLMError, match="gray.mp4: its frames cannot be read by index; store"):
        make(Toy(any_codec=True), kinds, index_only=True)


def test_nothing_is_left(kinds: Path, listed: Listed) -> None:
    listed(item("gray.png", "gray.png"), item("gray2", "gray.png"))
    with pytest.raises(
        EchoLMError, match="no item can be stored; the first of 2: gray.png: gray.png: a still"
    ):
        make(Toy(stills="skip"), kinds)
    assert not (kinds.parent / "store" / "store.json").exists()


def test_a_check_tells_what_is_left_out(kinds: Path, listed: Listed) -> None:
    chosen = Toy(stills="skip", colour="skip", any_codec=True)
    scan = check_dataset(chosen, kinds, progress=False)
    assert [item.sample for item in scan.items] == ["gray.avi", "gray.mp4"]
    assert not scan.problems
    assert [skipped.reason for skipped in scan.skipped] == [
        *["pictures in colour, skipped: colour=skip"] * 2,
        *["a still image, skipped: stills=skip"] * 2,
    ]
    (kinds / "bad.png").write_bytes((kinds / "gray.png").read_bytes()[:60])
    listed(
        item("a", "gray.png", "bad.png"),
        item("b", "gray.avi", "gray.png"),
        item("c", "gray.png", split="val"),
    )
    scan = check_dataset(Toy(), kinds, progress=False)
    assert [(problem.file, problem.sample) for problem in scan.problems] == [
        ("bad.png", "a"),
        ("gray.png", "c"),
    ]
    assert "byte for byte that of b in split train" in scan.problems[1].reason


def refuse(*arguments: Any, **named: Any) -> Any:
    raise AssertionError("a file is read")


def test_a_second_preparation_reads_nothing(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"clips": "uniform-4", "size": 24}
    first = make(Toy(fold=1), study, **options)
    monkeypatch.setattr(decode, "read_video", refuse)
    monkeypatch.setattr(decode, "count_frames", refuse)
    monkeypatch.setattr("echolm.stores.prepare_clips.equal_files", refuse)
    second = make(Toy(fold=1), study, **options)
    assert second.fingerprint == first.fingerprint and second.info == first.info


def test_a_stopped_preparation_continues_with_counts_sizes_and_what_was_left_out(
    kinds: Path, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "PART", 2)
    chosen = Toy(stills="skip", colour="skip", any_codec=True)
    whole = make(chosen, kinds, "every-2", "whole", size=24)
    content = (kinds / "gray.mp4").read_bytes()
    (kinds / "gray.mp4").write_bytes(bytes(len(content)))
    with pytest.raises(EchoLMError, match="1 of 2 items do not decode"):
        make(chosen, kinds, "every-2", size=24)
    (kinds / "gray.mp4").write_bytes(content)
    counted = decode.count_frames
    names = []

    def count(path: Path, reading: Any) -> int:
        names.append(path.name)
        return counted(path, reading)

    monkeypatch.setattr(decode, "count_frames", count)
    store = make(chosen, kinds, "every-2", size=24)
    assert names == ["gray.mp4", "gray.png"]  # the last part alone
    assert store.fingerprint == whole.fingerprint
    assert store.items[0].frames.tolist() == [0, 2] and problems(store) == problems(whole)
    assert (store.path / "frames.bin").read_bytes() == (whole.path / "frames.bin").read_bytes()


def test_other_choices_are_told(study: Path) -> None:
    store = make(Toy(fold=2), study, name="two")
    assert store.info["dataset"] == {"fold": 2}
    plain = make(Toy(), study, name="plain")
    assert plain.fingerprint == store.fingerprint and "dataset" not in plain.info
    for chosen, out, message in (
        (Toy(), "two", "(fold=2; asked for: none)"),
        (Toy(fold=3), "two", "(fold=2; asked for: fold=3)"),
        (Toy(fold=3), "plain", "(none; asked for: fold=3)"),
    ):
        with pytest.raises(EchoLMError) as caught:
            make(chosen, study, name=out)
        assert f"{out}: was made with other choices {message}; choose another" in str(caught.value)


def test_a_store_of_choices_says_how_to_make_it_again(study: Path) -> None:
    store = make(Toy(stills="keep", colour="gray", fold=4), study, "image", size=24)
    with pytest.raises(EchoLMError) as caught:
        store.read(0, np.array([1]))
    assert "data prepare toy PATH --set fold=4 --set colour=gray --clips all" in str(caught.value)
    (store.path / "frames.bin").write_bytes(bytes((store.path / "frames.bin").stat().st_size))
    with pytest.raises(EchoLMError, match="--set colour=gray --clips image --size 24 --name store"):
        ClipStore.open(store.path)


def test_an_older_plan_continues(study: Path) -> None:
    """A plan of before there were choices and sizes says nothing of them."""
    store = make(Toy(), study)
    info = json.loads((store.path / "store.json").read_text())
    assert not {"dataset", "size"} & info.keys()
    assert make(Toy(), study).fingerprint == store.fingerprint
