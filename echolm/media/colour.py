"""Whether a picture has colour, by how far its chroma is from gray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.reading import Reading, Skipped

if TYPE_CHECKING:
    import av

NEUTRAL = 128
"""Cb and Cr of gray."""
STRONG = 16
"""Levels by which Cb or Cr of a coloured pixel differs from gray. Lossy pictures of gray differ by
a few."""
SHARE = 0.02
"""The largest share of coloured pixels of a gray picture. The line of an ECG and the marks that a
scanner draws are less, the flow of a colour Doppler is more."""


def has_colour(cb: np.ndarray, cr: np.ndarray) -> bool:
    """Return whether a picture has colour, by its two chroma planes (uint8, of any one size)."""
    if _is_weak(cb) and _is_weak(cr):
        return False
    strong = _is_strong(cb) | _is_strong(cr)
    return float(strong.mean()) > SHARE


def _is_weak(chroma: np.ndarray) -> bool:
    """Return whether no pixel is coloured, which is quick to see."""
    return bool(chroma.min() >= NEUTRAL - STRONG and chroma.max() <= NEUTRAL + STRONG)


def _is_strong(chroma: np.ndarray) -> np.ndarray:
    # unsigned, so that what lies below the range wraps to a large number
    distance: np.ndarray = chroma - np.uint8(NEUTRAL - STRONG)
    return distance > 2 * STRONG


def refuse_colour(path: Path, number: int, reading: Reading) -> None:
    """Raise the error of a file whose frame ``number`` has colour.

    Raises:
        Skipped: the file is left out by choice.
        EchoLMError: the file may not have colour.
    """
    if reading.colour == "skip":
        raise Skipped(f"{path}: pictures in colour, skipped: colour=skip")
    raise EchoLMError(
        f"{path}: frame {number} is in colour; choose what is done: --set colour=gray or "
        "colour=skip where the dataset has that choice, or convert it: "
        "ffmpeg -i IN -vf format=gray -c:v mjpeg -q:v 2 -pix_fmt yuvj420p OUT.avi"
    )


def looked_at(frames: Sequence[int] | None) -> set[int] | None:
    """Return which of the wanted frames are looked at for colour: first, middle and last.

    None: all, of a file whose frames are all wanted.
    """
    if frames is None:
        return None
    numbers = sorted(set(frames))
    return {numbers[0], numbers[len(numbers) // 2], numbers[-1]}


def check_picture(path: Path, number: int, picture: av.VideoFrame, reading: Reading) -> None:
    """Raise an error when a decoded picture has colour and may not have it.

    Raises:
        Skipped: the file is left out by choice.
        EchoLMError: the file may not have colour.
    """
    if reading.colour == "gray" or picture.format.name.startswith("gray"):
        return
    if not picture.format.name.startswith("yuv"):
        picture = picture.reformat(format="yuvj444p")
    if has_colour(_plane(picture, 1), _plane(picture, 2)):
        refuse_colour(path, number, reading)


def _plane(picture: av.VideoFrame, index: int) -> np.ndarray:
    """Return one plane of 8-bit pixels, a view."""
    plane = picture.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
