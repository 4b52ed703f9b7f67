"""Read a file of any format that EchoLM knows: what it is decides, not what it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.media.any_codec import read_any_codec
from echolm.media.dicom import count_dicom, is_dicom, read_dicom
from echolm.media.image import is_image, read_image
from echolm.media.mhd import count_mhd, is_mhd, read_mhd
from echolm.media.mjpeg import count_mjpeg, read_mjpeg
from echolm.media.nifti import count_nifti, is_nifti, read_nifti
from echolm.media.reading import AS_GRAY, Reading, Skipped
from echolm.media.video import Video

Reader = Callable[[Path, Sequence[int] | None, Reading], Video]
"""Returns frames of a file by number (None: all)."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: what it is called.
        recognise: returns whether a file is of this format, from its content.
        read: reads frames. It raises EchoLMError for what it cannot read, and Skipped for a file in
            colour that is left out by choice.
        read_any_codec: likewise, for a kind of file that may be of many codecs. None: as ``read``.
        count: counts the frames of a file without decoding them. None: all are decoded. It may
            raise EchoLMError for what cannot be read.
        unstated: how a file is read where nobody says it.
        indexable: whether single frames can be read by ``mjpeg.index_packets`` and
            ``read_packets``.
    """

    name: str
    recognise: Callable[[Path], bool]
    read: Reader
    read_any_codec: Reader | None = None
    count: Callable[[Path], int] | None = None
    unstated: Reading = AS_GRAY
    indexable: bool = False


def of_gray(read: Callable[[Path, Sequence[int] | None], Video]) -> Reader:
    """Make a reader of one for a kind of file that holds gray alone, so that nothing is chosen."""

    def read_gray(path: Path, frames: Sequence[int] | None, reading: Reading) -> Video:
        return read(path, frames)

    return read_gray


def _read_image(path: Path, frames: Sequence[int] | None, reading: Reading) -> Video:
    """Read a still picture by what is done with colour."""
    if reading.colour == "gray":
        return read_image(path, frames, colour="gray")
    try:
        return read_image(path, frames)
    except EchoLMError:
        if reading.colour != "skip":
            raise
        read_image(path, frames, colour="gray")  # what is wrong beside its colour is told
    raise Skipped(f"{path}: a picture in colour, skipped: colour=skip")


FORMATS = (
    Format("DICOM", is_dicom, read_dicom, count=count_dicom),
    Format(
        "still image",
        is_image,
        _read_image,
        count=lambda path: 1,
        unstated=Reading(colour="refuse"),
    ),
    Format("NIfTI", is_nifti, of_gray(read_nifti), count=count_nifti),
    Format("MetaImage", is_mhd, of_gray(read_mhd), count=count_mhd),
    # FFmpeg knows hundreds of containers and says itself what it cannot open: it comes last.
    Format(
        "MJPEG video",
        lambda path: True,
        read_mjpeg,
        read_any_codec,
        count=count_mjpeg,
        indexable=True,
    ),
)
"""The formats in the order in which they are tried: the first that recognises a file reads it."""


def format_of(path: Path) -> Format:
    """Return the format of a file.

    Raises:
        OSError: the file cannot be read.
    """
    return next(format for format in FORMATS if format.recognise(path))


def read_video(
    path: Path,
    frames: Sequence[int] | None = None,
    any_codec: bool = False,
    reading: Reading | None = None,
) -> Video:
    """Read the frames of a video, a DICOM cine loop or a still image.

    Args:
        path: the file.
        frames: numbers of the frames, counted from 0, in the order in which they are returned.
            None: all frames. Of an MJPEG video or a DICOM file only these are decoded.
        any_codec: read videos of every codec that FFmpeg decodes. Most datasets do not: what a
            store holds must not depend on how FFmpeg rebuilds pictures from others.
        reading: what is done with still images, colour and codecs. None: still images in colour
            are refused, and everything else is read, as gray.

    Raises:
        Skipped: a still image or a file in colour, which are left out by choice.
        EchoLMError: no known format, another codec, a damaged or truncated file, colour that it may
            not have, or a file that lacks a wanted frame.
    """
    path = Path(path)
    if frames is not None and (len(frames) == 0 or min(frames) < 0):
        raise EchoLMError(
            f"{path}: frames {list(frames)} asked for; valid: at least one, counted from 0"
        )
    if reading is not None and reading.stills == "skip":
        count_frames(path, reading)
    try:
        format = format_of(path)
        if reading is None:
            reading = replace(format.unstated, any_codec=any_codec)
        return _reader(format, reading)(path, frames, reading)
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error


def count_frames(path: Path, reading: Reading) -> int:
    """Count the frames of a file.

    Raises:
        Skipped: a still image, or a file in colour, which are left out by choice.
        EchoLMError: no known format, another codec, or a damaged or truncated file.
    """
    path = Path(path)
    try:
        count = _count(path, format_of(path), reading)
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    if count == 1 and reading.stills == "skip":
        raise Skipped(f"{path}: a still image, skipped: stills=skip")
    return count


def _count(path: Path, format: Format, reading: Reading) -> int:
    reader = _reader(format, reading)
    if format.count is not None and reader is format.read:
        return format.count(path)
    if format.count is not None:
        with suppress(EchoLMError):  # it may be of the codec that can be counted
            return format.count(path)
    # A packet of another codec is not always a picture, so only decoding tells.
    return len(reader(path, None, reading).frames)


def _reader(format: Format, reading: Reading) -> Reader:
    """Return the function that reads a file of this format."""
    if reading.any_codec and format.read_any_codec is not None:
        return format.read_any_codec
    return format.read
