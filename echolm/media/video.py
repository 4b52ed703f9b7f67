"""What every decoder returns and checks, containers that FFmpeg opens, and the square crop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echolm.errors import EchoLMError
from echolm.text import counted

if TYPE_CHECKING:
    import av

AVI = "avi"
"""FFmpeg's name of the container."""
LISTED = 5
"""Gaps that an error names."""


@dataclass(frozen=True, eq=False)
class Video:
    """Decoded frames.

    Attributes:
        frames: T x H x W, uint8.
        fps: frames per second, None when the file does not say.
        numbers: the number of each frame in the file, (T,), counted from 0.
    """

    frames: np.ndarray
    fps: float | None
    numbers: np.ndarray


def check_wanted(path: Path, numbers: Sequence[int], count: int) -> None:
    """Raise EchoLMError unless all frame ``numbers`` are in 0..count - 1."""
    if not count:
        raise EchoLMError(f"{path}: holds no frames")
    for number in numbers:
        if not 0 <= number < count:
            raise EchoLMError(
                f"{path}: has no frame {number}; it holds {count} frames (0 to {count - 1})"
            )


def stack(path: Path, decoded: Mapping[int, np.ndarray], numbers: Sequence[int]) -> np.ndarray:
    """Stack the frames ``numbers`` into one array, T x H x W.

    Raises:
        EchoLMError: they are not of one size.
    """
    first = numbers[0]
    for number in numbers:
        if decoded[number].shape != decoded[first].shape:
            raise EchoLMError(
                f"{path}: frame {number} is of another size than frame {first}: damaged, "
                "or pieced together"
            )
    return np.stack([decoded[number] for number in numbers])


def crop_box(height: int, width: int) -> tuple[int, int, int]:
    """Return (top, left, side) of the largest centred square of a frame, in pixels."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def square_crop(frames: np.ndarray) -> np.ndarray:
    """Crop T x H x W frames to the centred square: T x S x S with S = min(H, W), a view."""
    top, left, side = crop_box(*frames.shape[1:])
    return frames[:, top : top + side, left : left + side]


@contextmanager
def open_container(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file as FFmpeg's container. With ``file:`` no name is taken for an address.

    An AVI is read from its beginning to its end, as a stream in which nobody can jump. Its chunks
    follow one another and say how long they are, so its index decides nothing. The index may be
    damaged, or lack what the file holds.
    """
    import av

    options = {}
    try:
        if _is_avi(path):
            options["seekable"] = "0"
        with av.open(f"file:{path}", metadata_errors="replace", options=options) as container:
            yield container
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    except av.error.FFmpegError as error:
        raise EchoLMError(f"{path}: not a video, or its header is damaged or truncated") from error


def video_stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """Return the first video stream of a container. EchoLMError: it holds none."""
    if not container.streams.video:
        raise EchoLMError(f"{path}: holds no video stream")
    return container.streams.video[0]


def frame_packets(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.Packet[av.VideoStream]]:
    """Yield the packets of a stream that hold something, and check that none is missing.

    FFmpeg ends a stream with empty packets. They are left out.

    Raises:
        EchoLMError: at the end of the stream, when it had fewer packets than its header announces,
            or when an AVI has frames of zero length. Such a frame stands for the picture before.
            Players repeat that picture and other readers skip the frame, so that numbers of frames
            after it mean two things.
    """
    is_avi = container.format.name == AVI
    announced = _announced(container, stream)
    count = 0
    gaps: list[range] = []
    previous = None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        count += 1
        if is_avi and packet.dts is not None:  # of an AVI it counts frames, with the empty ones
            if previous is not None and packet.dts > previous + 1:
                gaps.append(range(previous + 1, packet.dts))
            previous = packet.dts
        yield packet
    if gaps:
        dropped = counted(sum(len(gap) for gap in gaps), "frame")
        raise EchoLMError(
            f"{path}: {dropped} of zero length ({_listed(gaps)}): dropped "
            "by the recorder, repeated by players, skipped by others, so that numbers of frames "
            "are ambiguous. Write out the repeated pictures: "
            "ffmpeg -i IN -fps_mode cfr -c:v mjpeg -q:v 2 -pix_fmt yuvj420p OUT.avi"
        )
    if count < announced:
        uncounted = " (those of zero length do not count)" if is_avi else ""
        raise EchoLMError(
            f"{path}: damaged or truncated: holds {count} of the {announced} frames "
            f"its header announces{uncounted}"
        )


def _listed(gaps: list[range]) -> str:
    """Write the first gaps as numbers of frames: ``4-5, 9``."""
    words = []
    for gap in gaps[:LISTED]:
        words.append(str(gap[0]) if len(gap) == 1 else f"{gap[0]}-{gap[-1]}")
    if len(gaps) > LISTED:
        words.append("...")
    return ", ".join(words)


def _announced(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """Return how many packets a stream announces. 0: it does not say.

    An MP4 announces all that was recorded, and an edit list may leave some of it out. FFmpeg's
    index of it has what is left.
    """
    if "mp4" in container.format.name.split(","):
        return len(getattr(stream, "index_entries", ()))  # an older PyAV has none
    return stream.frames


def _is_avi(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(12)
    return head.startswith(b"RIFF") and head[8:] == b"AVI "
