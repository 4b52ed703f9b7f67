"""Decoding to 8-bit gray: MJPEG videos (AVI) with PyAV, DICOM cine loops with pydicom; cropping and resizing.

The gray value of an MJPEG frame is its luma plane Y as the decoder gives it, with no colour conversion: the frames of
EchoNet-Dynamic are gray, and the published loader's RGB values differ from Y by at most 2 levels in R and B.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.errors import EchoLMError

if TYPE_CHECKING:
    import av

DECODER = "pyav-luma"
"""What decoded the frames; part of a data fingerprint."""
CHANNEL_RULE = "Y"
"""How one channel was made of three: the luma plane. Part of a data fingerprint."""
LUMA_FIRST = ("yuvj420p", "yuvj422p", "yuvj444p", "gray")
"""Pixel formats whose first plane is full-range 8-bit luma."""
EXPLODE = {"err_detect": "explode"}
"""Options of a decoder that reports damage instead of concealing it."""


@dataclass(frozen=True, eq=False)
class Video:
    """Decoded frames: T x H x W uint8, frames per second (None when the file does not say), and frame numbers (T,)."""

    frames: np.ndarray
    fps: float | None
    numbers: np.ndarray


def read_video(path: Path, frames: Sequence[int] | None = None) -> Video:
    """The frames of an MJPEG video or a DICOM cine loop, in the order of ``frames`` (0-based; None: all).

    Only the wanted frames are decoded. EchoLMError: not a video, another codec, a damaged or truncated file,
    a wanted frame that the file does not have.
    """
    from echolm.data.dicom import is_dicom, read_dicom

    path = Path(path)
    if frames is not None and (len(frames) == 0 or min(frames) < 0):
        raise EchoLMError(f"{path}: frames {list(frames)} asked for; valid: at least one, counted from 0")
    try:
        return read_dicom(path, frames) if is_dicom(path) else _read_mjpeg(path, frames)
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_wanted(path: Path, wanted: Sequence[int], count: int) -> None:
    """EchoLMError unless all ``wanted`` frame numbers are in 0..count - 1."""
    if not count:
        raise EchoLMError(f"{path}: holds no frames")
    outside = [number for number in wanted if not 0 <= number < count]
    if outside:
        raise EchoLMError(f"{path}: has no frame {outside[0]}; it holds {count} frames (0 to {count - 1})")


def stack(path: Path, decoded: Mapping[int, np.ndarray], numbers: Sequence[int]) -> np.ndarray:
    """The frames ``numbers`` as one array, T x H x W; EchoLMError unless they are of one size."""
    if odd := [number for number in numbers if decoded[number].shape != decoded[numbers[0]].shape]:
        raise EchoLMError(f"{path}: frame {odd[0]} is of another size than frame {numbers[0]}: damaged, or pieced together")
    return np.stack([decoded[number] for number in numbers])


def crop_box(height: int, width: int) -> tuple[int, int, int]:
    """(top, left, side) of the largest centred square of a frame, in pixels."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def square_crop(frames: np.ndarray) -> np.ndarray:
    """The centred square of T x H x W frames: T x S x S with S = min(H, W), a view."""
    top, left, side = crop_box(*frames.shape[1:])
    return frames[:, top : top + side, left : left + side]


def resize_area(frames: np.ndarray, size: int) -> np.ndarray:
    """T x H x W uint8 -> T x size x size uint8: each new pixel is the mean over the area it covers.

    Pixel-centre convention: (x, y) of the old frame is ((x + 0.5) * size / W - 0.5, (y + 0.5) * size / H - 0.5).
    """
    rows, columns = (_area_weights(count, size) for count in frames.shape[1:])
    resized: np.ndarray = np.rint(rows @ frames.astype(np.float32) @ columns.T).astype(np.uint8)
    return resized


def _area_weights(count: int, size: int) -> np.ndarray:
    """size x count: which share of each new pixel lies on each old pixel; rows sum to 1."""
    edges = np.arange(size + 1) * (count / size)
    old = np.arange(count)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    weights: np.ndarray = (np.clip(overlap, 0, None) * (size / count)).astype(np.float32)
    return weights


def index_packets(path: Path, frames: Sequence[int]) -> np.ndarray:
    """Position in bytes, length in bytes and CRC-32 of the MJPEG packets of ``frames``: len(frames) x 3 int64.

    EchoLMError: not an MJPEG video, or a wanted frame that it does not have.
    """
    with _opened(path) as container:
        packets = _packets(path, container, _stream(path, container), set(frames))
        found = {number: (packet.pos, packet.size, zlib.crc32(bytes(packet))) for number, packet in packets}
    return np.array([found[number] for number in frames], np.int64)


def read_packets(path: Path, packets: np.ndarray, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The frames ``numbers`` of a video of H x W pixels (``size``), from their packets (T, 3) as ``index_packets`` found
    them: T x H x W uint8.

    They are what ``read_video`` gives, without reading what lies before them. EchoLMError: the file cannot be read, or
    its bytes are no longer those of the index.
    """
    import av

    decoder = av.VideoCodecContext.create("mjpeg", "r")
    decoder.thread_type, decoder.options = "NONE", EXPLODE
    frames = np.empty((len(packets), *size), np.uint8)
    try:
        with open(path, "rb", buffering=0) as file:
            for place, ((position, length, checksum), number) in enumerate(zip(packets.tolist(), numbers, strict=True)):
                content = os.pread(file.fileno(), length, position)
                if zlib.crc32(content) != checksum:
                    raise EchoLMError(f"{path}: has changed since it was indexed (frame {number})")
                frames[place] = _luma(path, decoder, av.Packet(content), number)
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    return frames


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """The file as FFmpeg's container. With ``file:`` no name is taken for an address."""
    import av

    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            yield container
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    except av.error.FFmpegError as error:
        raise EchoLMError(f"{path}: not a video, or its header is damaged or truncated") from error


def _read_mjpeg(path: Path, frames: Sequence[int] | None) -> Video:
    with _opened(path) as container:
        stream = _stream(path, container)
        decoded = dict(_decode(path, container, stream, None if frames is None else set(frames)))
        rate = stream.average_rate
    numbers = list(decoded) if frames is None else [int(number) for number in frames]
    if not numbers:
        raise EchoLMError(f"{path}: holds no frames")
    return Video(stack(path, decoded, numbers), float(rate) if rate else None, np.array(numbers, np.int64))


def _stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """The file's MJPEG stream, set to report damage instead of concealing it."""
    if not container.streams.video:
        raise EchoLMError(f"{path}: holds no video stream")
    stream = container.streams.video[0]
    context = stream.codec_context  # None: a codec that this FFmpeg has no decoder for
    codec, pixels = (context.name, context.pix_fmt) if context else ("of an unknown codec", None)
    if pixels is None and not any(packet.size for packet in container.demux(stream)):
        announced = f"truncated: holds 0 of the {stream.frames} frames its header announces"
        raise EchoLMError(f"{path}: {announced if stream.frames else 'holds no frames'}")
    if codec == "mjpeg" and pixels is None:
        raise EchoLMError(f"{path}: its first frames are damaged or truncated")
    if codec != "mjpeg" or pixels not in LUMA_FIRST:
        raise EchoLMError(
            f"{path}: is {codec}{f' ({pixels})' if pixels else ''}; valid: MJPEG with 8-bit luma, or DICOM. "
            "Convert it: ffmpeg -i IN -c:v mjpeg -q:v 2 -pix_fmt yuvj420p OUT.avi"
        )
    stream.thread_type = "NONE"
    stream.codec_context.options = EXPLODE
    return stream


def _decode(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, wanted: set[int] | None
) -> Iterator[tuple[int, np.ndarray]]:
    """(number, H x W) of the wanted frames. Every MJPEG packet is a key frame: the others are not decoded."""
    for number, packet in _packets(path, container, stream, wanted):
        yield number, _luma(path, stream, packet, number)


def _packets(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, wanted: set[int] | None
) -> Iterator[tuple[int, av.Packet[av.VideoStream]]]:
    """(number, packet) of the wanted frames."""
    last = None if wanted is None else max(wanted)
    number = 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if wanted is None or number in wanted:
            yield number, packet
        number += 1
        if number - 1 == last:
            break
    if wanted is None and number < stream.frames:
        raise EchoLMError(f"{path}: truncated: holds {number} of the {stream.frames} frames its header announces")
    if wanted is not None:
        check_wanted(path, sorted(wanted), number)


def _luma(
    path: Path, decoder: av.VideoStream | av.VideoCodecContext, packet: av.Packet[Any], number: int
) -> np.ndarray:
    """H x W, a view of the decoder's picture."""
    import av

    try:
        pictures = [] if packet.is_corrupt else decoder.decode(packet)
    except av.error.FFmpegError:
        pictures = []
    if len(pictures) != 1 or pictures[0].format.name not in LUMA_FIRST:
        raise EchoLMError(f"{path}: frame {number} is damaged or truncated")
    plane = pictures[0].planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    luma: np.ndarray = rows[:, : plane.width]
    return luma
