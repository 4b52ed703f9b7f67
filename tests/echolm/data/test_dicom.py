"""DICOM cine loops: pydicom's own echocardiogram, and files that are not cine loops."""

from __future__ import annotations

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
