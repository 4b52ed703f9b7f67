"""Videos of every codec that FFmpeg decodes, such as H.264 in MP4, by PyAV.

MJPEG is left to ``mjpeg.py``. Of the others the gray value is the luma plane. Where it is stored in
16-235, as most videos are, it is brought to 0-255: black is 16, white 235, rounded to the nearest
level. That is what FFmpeg's scaler does too, here by a table, so that a store does not depend on
the scaler's code for a processor. Of pictures without a plane of 8-bit luma (R, G, B, a palette,
more bits) the scaler makes the gray.

Pictures are numbered as they are shown, and every picture up to the last wanted one is decoded,
since most are stored as a difference to others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.colour import check_picture, looked_at
from echolm.media.mjpeg import EXPLODE, is_mjpeg, read_stream
from echolm.media.reading import AS_GRAY, Reading
from echolm.media.video import (
    Video,
    check_wanted,
    frame_packets,
    open_container,
    stack,
    video_stream,
)

if TYPE_CHECKING:
    import av

LUMA_PLANE = ("yuv420p", "yuv422p", "yuv444p", "nv12", "nv21")
"""Pixel formats whose first plane is 8-bit luma, in 16-235 unless the picture says otherwise."""
FULL_RANGE_LUMA = ("yuvj420p", "yuvj422p", "yuvj444p", "gray")
"""Pixel formats whose first plane is 8-bit luma in 0-255."""
FULL_RANGE = 2
"""How a picture says that its luma is in 0-255 (FFmpeg's AVCOL_RANGE_JPEG)."""
BLACK, WHITE = 16, 235
"""Levels of luma in the other range."""


def read_any_codec(
    path: Path, frames: Sequence[int] | None = None, reading: Reading = AS_GRAY
) -> Video:
    """Read a video, the frames in the order of ``frames`` (0-based, None for all).

    Raises:
        Skipped: its pictures have colour, and such files are left out by choice.
        EchoLMError: not a video, a codec that FFmpeg cannot decode, damaged or truncated, colour
            that it may not have, or it lacks a wanted frame.
    """
    with open_container(path) as container:
        stream = video_stream(path, container)
        if is_mjpeg(stream):
            return read_stream(path, container, stream, frames, reading)
        if not stream.codec_context:
            raise EchoLMError(f"{path}: is of a codec that FFmpeg cannot decode")
        return _read_others(path, container, stream, frames, reading)


def _read_others(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    frames: Sequence[int] | None,
    reading: Reading,
) -> Video:
    """Decode from the beginning up to the last wanted frame."""
    wanted = None if frames is None else set(frames)
    last = None if wanted is None else max(wanted)
    looked = looked_at(frames)
    decoded = {}
    count = 0
    for number, picture in enumerate(_pictures(path, container, stream, last)):
        count = number + 1
        if wanted is None or number in wanted:
            if looked is None or number in looked:
                check_picture(path, number, picture, reading)
            decoded[number] = gray(picture)
    rate = stream.average_rate
    if wanted is not None:
        check_wanted(path, sorted(wanted), count)
    if not decoded:
        raise EchoLMError(f"{path}: holds no frames")

    numbers = list(decoded)
    if frames is not None:
        numbers = [int(number) for number in frames]
    pixels = stack(path, decoded, numbers)
    return Video(
        frames=pixels, fps=float(rate) if rate else None, numbers=np.array(numbers, np.int64)
    )


def gray(picture: av.VideoFrame) -> np.ndarray:
    """Return the gray values of a decoded picture in 0-255: H x W uint8."""
    kind = picture.format.name
    if kind not in LUMA_PLANE + FULL_RANGE_LUMA:
        return picture.reformat(format="gray").to_ndarray()
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    luma = rows[:, : plane.width]
    if kind in FULL_RANGE_LUMA or picture.color_range == FULL_RANGE:
        return luma.copy()
    widened: np.ndarray = _full_range()[luma]
    return widened


@cache
def _full_range() -> np.ndarray:
    """Return the level in 0-255 of each level of luma in 16-235, (256,) uint8."""
    levels = (np.arange(256) - BLACK) * 255 / (WHITE - BLACK)
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def _pictures(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, last: int | None
) -> Iterator[av.VideoFrame]:
    """Yield the pictures of a stream up to number ``last`` (None: all).

    The file is looked through to its end. A packet that does not decode is damage, not a picture
    less: those after it would have other numbers.
    """
    import av

    stream.codec_context.options = EXPLODE
    count = 0
    try:
        for packet in frame_packets(path, container, stream):
            if last is not None and count > last:
                continue
            for picture in stream.decode(packet):
                _check_whole(path, packet, picture, count)
                count += 1
                yield picture
        if last is None or count <= last:
            for picture in stream.decode(None):  # what the decoder still holds
                _check_whole(path, None, picture, count)
                count += 1
                yield picture
    except av.error.FFmpegError as error:
        raise EchoLMError(f"{path}: is damaged or truncated near frame {count}") from error


def _check_whole(
    path: Path, packet: av.Packet[av.VideoStream] | None, picture: av.VideoFrame, number: int
) -> None:
    """Raise EchoLMError for a picture that the decoder made of damaged data."""
    if picture.is_corrupt or (packet is not None and packet.is_corrupt):
        raise EchoLMError(f"{path}: is damaged or truncated near frame {number}")
