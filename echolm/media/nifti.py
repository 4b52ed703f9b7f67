"""NIfTI files (one file, gzipped or not) by nibabel, which is imported when one is met.

nibabel gives arrays in the order (x, y, frame), x to the right. Pictures here are (frame, y, x):
the array is transposed. So rows run downward in the picture, as SimpleITK's ``GetArrayFromImage``
has them. The orientation in space that a header may state is not applied: a flip would say nothing
of a beam's direction.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from echolm.errors import EchoLMError
from echolm.media.raster import Raster, check_bytes, raster_video
from echolm.media.video import Video

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

GZIP = b"\x1f\x8b"
HEADER_1, HEADER_2 = 348, 540
"""Bytes of the headers of NIfTI-1 and NIfTI-2, which they begin with."""
MAGIC_1, MAGIC_2 = b"n+1\0", b"n+2\0\r\n\x1a\n"
"""Of a file that holds header and pixels."""


def is_nifti(path: Path) -> bool:
    """Return whether a file is NIfTI-1 or NIfTI-2 in one file, gzipped or not."""
    return _version(_head(path)) > 0


def read_nifti(path: Path, frames: Sequence[int] | None = None) -> Video:
    """Read a NIfTI file as a video, the frames in the order of ``frames`` (0-based, None for all).

    Scaled values (``scl_slope``, ``scl_inter``) are scaled first. How values become gray levels
    says ``raster.gray_levels``. Pixels that are not square stay as they are (``raster``). The rate
    of frames is not read: ultrasound files state it beside the file.

    Raises:
        EchoLMError: it is damaged or truncated, has more than one axis of frames or pixels that are
            no gray levels, or lacks a wanted frame.
    """
    return raster_video(path, read_nifti_raster(path), frames)


def read_nifti_raster(path: Path) -> Raster:
    """Read the numbers of a NIfTI file.

    Raises:
        EchoLMError: it cannot be read, is no NIfTI file, is damaged or truncated, has more than one
            axis of frames, or pixels that are no numbers.
    """
    with _opened(path) as (file, header):
        return _read(path, file, header)


def count_nifti(path: Path) -> int:
    """Count the frames of a NIfTI file, of which the header alone is read.

    Raises:
        EchoLMError: it cannot be read, is no NIfTI file, has a damaged header or more than one axis
            of frames.
    """
    with _opened(path) as (_, header):
        return _sizes(path, header)[2]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Nifti1Header]]:
    """Open a file and read its header. What the block raises is told as damage of the file."""
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    try:
        version = _version(_head(path))
        if not version:
            raise EchoLMError(f"{path}: is no NIfTI file, or its header is damaged")
        kind = Nifti1Header if version == 1 else Nifti2Header
        with _content(path) as file:
            # nibabel's own check prints what it mends
            yield file, kind.from_fileobj(file, check=False)
    except EchoLMError:
        raise
    except OSError as error:
        if error.errno:  # gzip and nibabel raise OSError without a number for damage
            raise EchoLMError(f"{path}: cannot be read: {error.strerror}") from error
        raise _damaged(path, error) from error
    except Exception as error:  # damaged headers raise all kinds
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> EchoLMError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return EchoLMError(f"{path}: the NIfTI file is damaged or truncated: {reason}")


def _head(path: Path) -> bytes:
    """Return the first bytes of a file's content. Of damaged gzip there are none."""
    with open(path, "rb") as file:
        head = file.read(HEADER_2)
    if not head.startswith(GZIP):
        return head
    try:
        with gzip.open(path) as content:
            return content.read(HEADER_1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return b""


def _version(head: bytes) -> int:
    """Return 1 or 2 of a file that begins with a header of NIfTI-1 or NIfTI-2, else 0."""
    sizes = (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    if HEADER_1 in sizes and head[HEADER_1 - 4 : HEADER_1] == MAGIC_1:
        return 1
    if HEADER_2 in sizes and head[4:12] == MAGIC_2:
        return 2
    return 0


@contextmanager
def _content(path: Path) -> Iterator[BinaryIO]:
    """Open a file, and what is in it if it is gzipped."""
    with open(path, "rb") as file:
        is_gzipped = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if not is_gzipped:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as content:
            yield content  # type: ignore[misc]


def _read(path: Path, file: BinaryIO, header: Nifti1Header) -> Raster:
    """Read the values of an open file."""
    from nibabel.arrayproxy import ArrayProxy

    width, height, count = _sizes(path, header)
    stored = header.get_data_dtype()
    if stored.kind not in "uif":
        raise EchoLMError(
            f"{path}: has pixels of type {_type_name(header)}; valid: numbers (gray). Convert it"
        )
    check_bytes(path, width * height * count, stored.itemsize)
    values: NDArray[Any] = np.asanyarray(ArrayProxy(file, header, mmap=False))
    pictures = values.reshape((width, height, count), order="F").T
    return Raster(values=np.ascontiguousarray(pictures), spacing=_spacing(header))


def _sizes(path: Path, header: Nifti1Header) -> tuple[int, int, int]:
    """Return width, height and number of frames.

    Raises:
        EchoLMError: there is another axis beside them.
    """
    shape = [int(size) for size in header.get_data_shape()]
    frames = [size for size in shape[2:] if size != 1]
    if len(shape) < 2 or min(shape) < 1 or len(frames) > 1:
        sizes = " x ".join(str(size) for size in shape) or "nothing"
        raise EchoLMError(
            f"{path}: is of {sizes}; valid: width x height, or width x height x frames"
        )
    return shape[0], shape[1], frames[0] if frames else 1


def _type_name(header: Nifti1Header) -> str:
    return str(header.get_value_label("datatype"))


def _spacing(header: Nifti1Header) -> tuple[float, float] | None:
    """Return (height, width) of a pixel in mm, None when the header states none."""
    width, height = (abs(float(size)) for size in header["pixdim"][1:3])
    if not (math.isfinite(width * height) and width * height > 0):
        return None
    return height, width
