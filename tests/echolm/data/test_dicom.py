"""DICOM cine loops: pydicom's own echocardiogram, and files that are not cine loops."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from echolm.data.video import read_video, resize_area, square_crop
from echolm.errors import EchoLMError

CINE = Path(str(get_testdata_file("examples_ybr_color.dcm")))


def test_a_real_echo_cine_decodes_and_crops() -> None:
    video = read_video(CINE)
    assert video.frames.shape == (30, 240, 320) and video.frames.dtype == np.uint8
    assert video.fps == pytest.approx(30, abs=0.01) and video.frames.std() > 10
    assert resize_area(square_crop(video.frames), 112).shape == (30, 112, 112)


def test_gray_is_the_stored_luma_not_the_rgb_round_trip() -> None:
    rgb = pydicom.dcmread(CINE).pixel_array[[3]]
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_video(CINE, [3]).frames - luma).mean() < 0.5


def test_wanted_frames_come_in_the_order_asked_for() -> None:
    video = read_video(CINE, [29, 0, 7, 7])
    assert np.array_equal(video.frames, read_video(CINE).frames[[29, 0, 7, 7]])


def test_a_missing_frame_is_named() -> None:
    with pytest.raises(EchoLMError, match="has no frame 30; it holds 30 frames"):
        read_video(CINE, [30])


def test_rgb_and_monochrome_files(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(CINE)
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3), np.uint8)
    for kind, stored in (("RGB", frames), ("MONOCHROME2", frames[..., 0])):
        dataset.set_pixel_data(stored, kind, 8)
        dataset.save_as(tmp_path / kind)
    assert np.array_equal(read_video(tmp_path / "MONOCHROME2").frames, frames[..., 0])
    expected = 0.299 * frames[..., 0] + 0.587 * frames[..., 1] + 0.114 * frames[..., 2]
    assert np.abs(read_video(tmp_path / "RGB").frames - expected).max() <= 0.5001


def test_what_is_no_cine_loop_says_so(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(CINE)
    path = tmp_path / "x.dcm"
    path.write_bytes(CINE.read_bytes()[:20_000])
    with pytest.raises(EchoLMError, match="x.dcm"):
        read_video(path)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.save_as(path)
    with pytest.raises(EchoLMError, match="PALETTE COLOR with 8 bits; valid"):
        read_video(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(EchoLMError, match="holds no pixels"):
        read_video(path)


def changed(path: Path, **fields: object) -> Path:
    """The cine with other fields; their text is written as it is."""
    dataset = pydicom.dcmread(CINE)
    for name, value in fields.items():
        placeholder = "7" * len(str(value))
        setattr(dataset, name, placeholder)
        dataset.save_as(path)
        path.write_bytes(path.read_bytes().replace(placeholder.encode(), str(value).encode(), 1))
        dataset = pydicom.dcmread(path)
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [None, [0]])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("100000000000", "NumberOfFrames is 100000000000, but its pixels, [0-9]+ bytes, cannot be so many frames"),
        ("0000", "NumberOfFrames is '0000'; valid: whole numbers from 1"),
        ("-300", "NumberOfFrames is '-300'; valid: whole numbers from 1"),
        ("many", "NumberOfFrames is"),
    ],
)
def test_an_impossible_number_of_frames_is_named(tmp_path: Path, given: str, says: str, frames: list[int] | None) -> None:
    with pytest.raises(EchoLMError, match=f"x.dcm: its field {says}"):
        read_video(changed(tmp_path / "x.dcm", NumberOfFrames=given), frames)


def test_pixels_that_are_not_compressed_bound_the_frames_exactly(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(CINE)
    dataset.set_pixel_data(np.zeros((2, 8, 10), np.uint8), "MONOCHROME2", 8)
    dataset.NumberOfFrames = 3
    dataset.save_as(tmp_path / "x.dcm")
    with pytest.raises(EchoLMError, match="NumberOfFrames is 3, but its pixels, 160 bytes, cannot be so many frames"):
        read_video(tmp_path / "x.dcm")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", ["-3333", "quick", "00000"])
def test_a_frame_rate_that_is_none_is_not_given(tmp_path: Path, rate: str) -> None:
    assert read_video(changed(tmp_path / "x.dcm", FrameTime=rate), [0]).fps is None


@pytest.mark.filterwarnings("error")
def test_a_damaged_file_is_one_line_or_frames(tmp_path: Path) -> None:
    content, draw, read = CINE.read_bytes(), random.Random(0), 0
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 6)):
            damaged[draw.randrange(132, 2400)] = draw.randrange(256)
        (tmp_path / "x.dcm").write_bytes(damaged[: draw.choice([2400, 20_000, None])])
        try:
            read += len(read_video(tmp_path / "x.dcm", [0, 2]).frames)
        except EchoLMError as error:
            assert "x.dcm: " in str(error) and "\n" not in str(error)
    assert read
