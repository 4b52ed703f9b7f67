"""Pictures as arrays of numbers, as research formats (NIfTI, MetaImage) hold them.

Such a file may hold numbers of any type, and pixels that are not square. The pictures are read as
they are stored, one value a pixel: of a file with pixels of 0.308 x 0.154 mm (width x height) a
circle is twice as high as it is wide. Networks then see it stretched, and a resize to a square
stretches it once more. Whoever measures on the pictures uses ``spacing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echolm.errors import EchoLMError
from echolm.media.video import Video, check_wanted

WHITE = 255
"""The largest gray level."""
MOST_BYTES = 2**31
"""Bytes of the pixels of a file. A header that announces more is damaged, or of no ultrasound."""


@dataclass(frozen=True, eq=False)
class Raster:
    """The numbers of a file.

    Attributes:
        values: T x H x W, of the type that the file has.
        spacing: (height, width) of a pixel in mm, None when the file does not say.
    """

    values: NDArray[Any]
    spacing: tuple[float, float] | None


def raster_video(path: Path, raster: Raster, frames: Sequence[int] | None) -> Video:
    """Return frames of a raster as gray pictures. How fast they follow is not known.

    Args:
        path: the file, for errors.
        raster: what it holds.
        frames: numbers of the frames, in the order in which they are returned. None: all.

    Raises:
        EchoLMError: pixels that are no gray levels, or a frame that is not there.
    """
    count = len(raster.values)
    numbers = list(range(count))
    if frames is not None:
        numbers = [int(number) for number in frames]
    check_wanted(path, numbers, count)
    gray = gray_levels(path, raster.values)
    return Video(frames=gray[numbers], fps=None, numbers=np.array(numbers, np.int64))


def gray_levels(path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values as 8-bit gray, each rounded to the nearest level (halves to the even one).

    Nothing is stretched. What 255 means would otherwise depend on the brightest pixel of a file.
    All values of a file are looked at, also of frames that nobody asked for.

    Raises:
        EchoLMError: a value is not in 0-255 or no number, or all are fractions in 0-1.
    """
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())  # NaN where a value is NaN
    convert = "Write them as 8-bit gray levels"
    if not (np.isfinite(low) and np.isfinite(high)):
        raise EchoLMError(f"{path}: has pixels that are no finite numbers. {convert}")
    if low < 0 or high > WHITE:
        raise EchoLMError(
            f"{path}: has pixel values from {low:g} to {high:g}; valid: gray levels from 0 to "
            f"{WHITE}. {convert}"
        )
    if values.dtype.kind == "f" and 0 < high <= 1:
        raise EchoLMError(
            f"{path}: has pixel values from {low:g} to {high:g}, which would all be black; valid: "
            f"gray levels from 0 to {WHITE}. Multiply them by {WHITE}"
        )
    return np.rint(values).astype(np.uint8)


def check_bytes(path: Path, count: int, bytes_each: int) -> None:
    """Raise EchoLMError when a header announces more pixels than a file of pictures holds.

    Args:
        path: the file.
        count: how many values it announces.
        bytes_each: bytes of a value.
    """
    if count * bytes_each > MOST_BYTES:
        raise EchoLMError(
            f"{path}: its header announces {count:,} values of {bytes_each} bytes; valid: up to "
            f"{MOST_BYTES / 2**30:g} GiB. Its header is damaged, or it is no ultrasound clip"
        )
