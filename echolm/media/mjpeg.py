"""Motion JPEG videos (AVI), decoded by PyAV.

The gray value of a frame is its luma plane Y as the decoder gives it, with no colour conversion:
the frames of EchoNet-Dynamic are gray, and the published loader's RGB values differ from Y by at
most 2 levels in R and B.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.colour import check_picture, looked_at
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

DECODER = "pyav-luma"
"""What decoded the frames. It is part of a data fingerprint."""
CHANNEL_RULE = "Y"
"""How one channel was made of three: the luma plane. Part of a data fingerprint."""
MJPEG = "mjpeg"
"""FFmpeg's name of the codec."""
LUMA_FIRST = ("yuvj420p", "yuvj422p", "yuvj444p", "gray")
"""Pixel formats whose first plane is full-range 8-bit luma."""
EXPLODE = {"err_detect": "explode"}
"""Options of a decoder that reports damage instead of concealing it."""


def read_mjpeg(
    path: Path, frames: Sequence[int] | None = None, reading: Reading = AS_GRAY
) -> Video:
    """Read an MJPEG video, the frames in the order of ``frames`` (0-based, None for all).

    Only the wanted frames are decoded: every MJPEG packet is a key frame. But the file is looked
    through to its end. A file that lacks frames is refused whatever is wanted of it, since it
    cannot be known which ones it lacks.

    Raises:
        Skipped: its pictures have colour, and such files are left out by choice.
        EchoLMError: not a video, another codec, damaged or truncated, frames of zero length, colour
            that it may not have, or it lacks a wanted frame.
    """
    with open_container(path) as container:
        stream = video_stream(path, container)
        _check_codec(path, container, stream)
        return read_stream(path, container, stream, frames, reading)


def count_mjpeg(path: Path) -> int:
    """Count the frames of an MJPEG video without decoding them.

    Raises:
        EchoLMError: not an MJPEG video, damaged or truncated, or frames of zero length.
    """
    with open_container(path) as container:
        stream = video_stream(path, container)
        _check_codec(path, container, stream)
        return sum(1 for _ in frame_packets(path, container, stream))


def is_mjpeg(stream: av.VideoStream) -> bool:
    """Return whether a stream is MJPEG with a luma plane."""
    context = stream.codec_context
    if not context:  # a codec that this FFmpeg has no decoder for
        return False
    return context.name == MJPEG and context.pix_fmt in LUMA_FIRST


def read_stream(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    frames: Sequence[int] | None,
    reading: Reading = AS_GRAY,
) -> Video:
    """Read an opened MJPEG stream as ``read_mjpeg`` does."""
    decoded = {}
    looked = looked_at(frames)
    _report_damage(stream)
    for number, packet in _packets(path, container, stream, frames):
        picture = _decode(path, stream, packet, number)
        if looked is None or number in looked:
            check_picture(path, number, picture, reading)
        decoded[number] = _luma(picture)
    rate = stream.average_rate
    numbers = list(decoded)
    if frames is not None:
        numbers = [int(number) for number in frames]
    if not numbers:
        raise EchoLMError(f"{path}: holds no frames")
    pixels = stack(path, decoded, numbers)
    return Video(
        frames=pixels, fps=float(rate) if rate else None, numbers=np.array(numbers, np.int64)
    )


def index_packets(path: Path, frames: Sequence[int]) -> np.ndarray:
    """Find where the packets of ``frames`` lie in an MJPEG video.

    Returns:
        Position in bytes, length in bytes and CRC-32 of each packet: len(frames) x 3, int64.

    Raises:
        EchoLMError: not an MJPEG video, or it lacks a wanted frame.
    """
    places = {}
    with open_container(path) as container:
        stream = video_stream(path, container)
        _check_codec(path, container, stream)
        for number, packet in _packets(path, container, stream, frames):
            places[number] = (packet.pos, packet.size, zlib.crc32(bytes(packet)))
    return np.array([places[number] for number in frames], np.int64)


def read_packets(
    path: Path, packets: np.ndarray, numbers: Sequence[int], size: tuple[int, int]
) -> np.ndarray:
    """Decode frames from their packets, without reading what lies before them.

    Args:
        path: the video.
        packets: T x 3, as ``index_packets`` returned them.
        numbers: the frames' numbers, for errors.
        size: height and width of the video in pixels.

    Returns:
        T x H x W uint8, what ``read_mjpeg`` gives.

    Raises:
        EchoLMError: the file cannot be read, its bytes are no longer those of the index, or a frame
            is of another size.
    """
    import av

    decoder = av.VideoCodecContext.create("mjpeg", "r")
    decoder.thread_type = "NONE"
    decoder.options = EXPLODE
    frames = np.empty((len(packets), *size), np.uint8)
    rows = zip(packets.tolist(), numbers, strict=True)
    try:
        with open(path, "rb", buffering=0) as file:
            for index, ((position, length, checksum), number) in enumerate(rows):
                content = os.pread(file.fileno(), length, position)
                if zlib.crc32(content) != checksum:
                    raise EchoLMError(f"{path}: has changed since it was indexed (frame {number})")
                luma = _luma(_decode(path, decoder, av.Packet(content), number))
                if luma.shape != size:
                    # such as one of the two fields of an interlaced frame
                    raise EchoLMError(
                        f"{path}: frame {number}, decoded alone, is of another size than the video"
                    )
                frames[index] = luma
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    return frames


def _report_damage(stream: av.VideoStream) -> None:
    """Set a stream to report damage instead of concealing it."""
    stream.thread_type = "NONE"
    stream.codec_context.options = EXPLODE


def _check_codec(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream
) -> None:
    """Raise EchoLMError unless the stream is MJPEG with a luma plane."""
    codec, pixels = "of an unknown codec", None
    context = stream.codec_context
    if context:  # None: a codec that this FFmpeg has no decoder for
        codec, pixels = context.name, context.pix_fmt
    if pixels is None and not any(packet.size for packet in container.demux(stream)):
        if not stream.frames:
            raise EchoLMError(f"{path}: holds no frames")
        raise EchoLMError(
            f"{path}: damaged or truncated: holds 0 of the {stream.frames} frames "
            "its header announces"
        )
    if codec == MJPEG and pixels is None:
        raise EchoLMError(f"{path}: its first frames are damaged or truncated")
    if not is_mjpeg(stream):
        described = f"{codec} ({pixels})" if pixels else codec
        raise EchoLMError(
            f"{path}: is {described}; valid: MJPEG with 8-bit luma, or DICOM. "
            "Convert it: ffmpeg -i IN -c:v mjpeg -q:v 2 -pix_fmt yuvj420p OUT.avi"
        )


def _packets(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    frames: Sequence[int] | None,
) -> Iterator[tuple[int, av.Packet[av.VideoStream]]]:
    """Yield number and packet of ``frames`` (None: all), ascending. Check that all are there."""
    wanted = None if frames is None else set(frames)
    count = 0
    for number, packet in enumerate(frame_packets(path, container, stream)):
        count = number + 1
        if wanted is None or number in wanted:
            yield number, packet
    if wanted is not None:
        check_wanted(path, sorted(wanted), count)


def _decode(
    path: Path, decoder: av.VideoStream | av.VideoCodecContext, packet: av.Packet[Any], number: int
) -> av.VideoFrame:
    """Decode one packet to its picture."""
    import av

    pictures = []
    if not packet.is_corrupt:
        try:
            pictures = decoder.decode(packet)
        except av.error.FFmpegError:
            pictures = []
    if len(pictures) != 1 or pictures[0].format.name not in LUMA_FIRST:
        raise EchoLMError(f"{path}: frame {number} is damaged or truncated")
    return pictures[0]


def _luma(picture: av.VideoFrame) -> np.ndarray:
    """Return the luma plane of a picture: H x W, a view."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    luma: np.ndarray = rows[:, : plane.width]
    return luma
