"""What is done with stills, colour and codecs, file by file, and how frames are counted."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from echolm.errors import EchoLMError
from echolm.media.colour import NEUTRAL, SHARE, STRONG, has_colour
from echolm.media.read import count_frames, read_video
from echolm.media.reading import Reading, Skipped

PICTURES = np.full((4, 32, 32, 3), (200, 80, 40), np.uint8)


def video(path: Path, codec: str) -> Path:
    """Four pictures of one colour."""
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    with av.open(str(path), "w", format="avi" if codec == "mjpeg" else "mp4") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, pixels
        for frame in PICTURES:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format=pixels)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["mjpeg", "h264"])
def test_colour_of_videos(tmp_path: Path, codec: str) -> None:
    path = video(tmp_path / "v", codec)
    unstated = read_video(path, any_codec=True).frames
    gray = read_video(path, reading=Reading(colour="gray", any_codec=True)).frames
    assert np.array_equal(unstated, gray)
    with pytest.raises(EchoLMError, match="v: frame 2 is in colour; choose .*--set colour=gray"):
        read_video(path, [2], reading=Reading(colour="refuse", any_codec=True))
    with pytest.raises(Skipped, match="v: pictures in colour, skipped: colour=skip"):
        read_video(path, reading=Reading(colour="skip", any_codec=True))


def test_pictures_are_refused_in_colour_where_nobody_says(tmp_path: Path) -> None:
    Image.fromarray(PICTURES[0]).save(tmp_path / "p.png")
    for reading in (None, Reading(colour="refuse")):
        with pytest.raises(EchoLMError) as caught:
            read_video(tmp_path / "p.png", reading=reading)
        assert not isinstance(caught.value, Skipped)
    with pytest.raises(Skipped, match="a picture in colour, skipped"):
        read_video(tmp_path / "p.png", reading=Reading(colour="skip"))
    luma = 0.299 * 200 + 0.587 * 80 + 0.114 * 40
    read = read_video(tmp_path / "p.png", reading=Reading(colour="gray")).frames
    assert read.shape == (1, 32, 32) and (read == round(luma)).all()


def test_frames_are_counted(tmp_path: Path) -> None:
    Image.fromarray(PICTURES[0, ..., 0]).save(tmp_path / "p.png")
    video(tmp_path / "mjpeg", "mjpeg")
    video(tmp_path / "h264", "h264")
    any_codec = Reading(colour="gray", any_codec=True)
    for name, count in (("p.png", 1), ("mjpeg", 4), ("h264", 4)):
        assert count_frames(tmp_path / name, any_codec) == count
    assert count_frames(tmp_path / "mjpeg", Reading()) == 4
    with pytest.raises(EchoLMError, match="is h264"):
        count_frames(tmp_path / "h264", Reading())
    with pytest.raises(Skipped, match="p.png: a still image, skipped: stills=skip"):
        count_frames(tmp_path / "p.png", Reading(stills="skip"))
    with pytest.raises(Skipped, match="a still image"):
        read_video(tmp_path / "p.png", reading=Reading(stills="skip"))
    with pytest.raises(EchoLMError, match="nowhere: cannot be read"):
        count_frames(tmp_path / "nowhere", Reading())


def test_what_is_colour() -> None:
    plane = np.full((50, 50), NEUTRAL, np.uint8)
    assert not has_colour(plane, plane)
    for level in (NEUTRAL - STRONG - 1, NEUTRAL + STRONG + 1, 0, 255):
        other = plane.copy()
        other.flat[: int(SHARE * plane.size)] = level
        assert not has_colour(other, plane)  # a line or a mark
        other.flat[: int(SHARE * plane.size) + 1] = level
        assert has_colour(other, plane) and has_colour(plane, other)
    for level in (NEUTRAL - STRONG, NEUTRAL + STRONG):
        assert not has_colour(np.full_like(plane, level), plane)
