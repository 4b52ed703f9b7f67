"""Videos of other codecs: the gray is the luma plane, in 0-255, whatever the colours are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_support import write_codec

from echolm.media.any_codec import gray
from echolm.media.read import read_video

LIMITED, FULL = 1, 2
"""FFmpeg's numbers of the ranges of luma."""


def frame_of(luma: np.ndarray, kind: str, colour_range: int = 0) -> av.VideoFrame:
    """A picture of this luma plane whose chroma is noise."""
    rng = np.random.default_rng(5)
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], kind)
    frame.color_range = colour_range
    for number, plane in enumerate(frame.planes):
        rows = rng.integers(0, 256, (plane.height, plane.line_size), np.uint8)
        if number == 0:
            rows[:, : luma.shape[1]] = luma
        plane.update(rows.tobytes())
    return frame


@pytest.fixture
def luma() -> np.ndarray:
    """Every level, and some at random: 6 x 128."""
    levels = np.arange(256, dtype=np.uint8).reshape(2, 128)
    return np.vstack([levels, np.random.default_rng(6).integers(0, 256, (4, 128), np.uint8)])


@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p", "yuv444p", "nv12"])
@pytest.mark.parametrize("colour_range", [0, LIMITED])
def test_luma_of_16_to_235_is_brought_to_0_to_255(
    luma: np.ndarray, kind: str, colour_range: int
) -> None:
    """By the definition, and as FFmpeg's scaler does."""
    frame = frame_of(luma, kind, colour_range)
    expected = np.clip(np.floor((luma.astype(float) - 16) * 255 / 219 + 0.5), 0, 255)
    assert np.array_equal(gray(frame), expected)
    assert np.array_equal(gray(frame), frame.reformat(format="gray").to_ndarray())


@pytest.mark.parametrize(
    ("kind", "colour_range"),
    [("yuv420p", FULL), ("yuv444p", FULL), ("yuvj420p", 0), ("yuvj422p", FULL), ("gray", 0)],
)
def test_luma_of_0_to_255_is_taken_as_it_is(luma: np.ndarray, kind: str, colour_range: int) -> None:
    assert np.array_equal(gray(frame_of(luma, kind, colour_range)), luma)


def test_pictures_without_a_plane_of_luma_are_converted() -> None:
    colours = np.random.default_rng(7).integers(0, 256, (8, 10, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(colours, format="rgb24")
    expected = colours @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray(frame) - expected).max() <= 2
    deep = frame_of(np.full((4, 32), 128, np.uint8), "yuv420p10le")
    assert gray(deep).shape == (4, 32) and gray(deep).dtype == np.uint8


def test_a_lossless_video_gives_its_luma_in_the_order_of_showing(
    tmp_path: Path, luma: np.ndarray
) -> None:
    pictures = np.stack([np.roll(luma, 7 * time, axis=1) for time in range(6)])
    with av.open(str(tmp_path / "x.mkv"), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=Fraction(25))
        stream.height, stream.width = luma.shape
        stream.pix_fmt = "yuv444p"
        stream.codec_context.color_range = FULL
        for picture in pictures:
            container.mux(stream.encode(frame_of(picture, "yuv444p", FULL)))
        container.mux(stream.encode(None))
    video = read_video(tmp_path / "x.mkv", any_codec=True)
    assert np.array_equal(video.frames, pictures)
    assert np.array_equal(
        read_video(tmp_path / "x.mkv", [4, 1], any_codec=True).frames, pictures[[4, 1]]
    )


def test_frames_of_h264_come_in_the_order_of_showing(tmp_path: Path) -> None:
    """The file has pictures that are stored after others that are shown later."""
    y, x = np.mgrid[:48, :64]
    pictures = [
        60 + 20 * time + 15 * np.sin((x + 5 * time) / 6) * np.cos(y / 5) for time in range(9)
    ]
    options = {"crf": "4", "x264-params": "bframes=3:b-adapt=0"}
    write = write_codec("libx264", "yuv420p", "mp4", options)
    write(tmp_path / "x.mp4", np.array(pictures).astype(np.uint8))
    with av.open(str(tmp_path / "x.mp4")) as container:
        order = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert order != sorted(order)
    means = read_video(tmp_path / "x.mp4", any_codec=True).frames.mean((1, 2))
    assert (np.diff(means) > 10).all()
