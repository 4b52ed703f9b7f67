"""Resize gray pictures by the mean of the area that each new pixel covers.

Along each side a new pixel is a weighted sum of old ones, so a picture is resized by two products
with sparse matrices. Downscaled, a weight is the part of the new pixel that an old one covers.
Upscaled, the two nearest old pixels are mixed (bilinear).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from echolm.errors import EchoLMError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SIZES = 64
"""Pairs of sizes whose weights are kept."""


def resize_area(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize gray pictures. The proportions of the sides may change.

    Downscaling equals OpenCV's INTER_AREA to one gray level.

    Args:
        frames: T x H x W uint8.
        height: of the new pictures, in pixels.
        width: of the new pictures, in pixels.

    Returns:
        T x height x width uint8.

    Raises:
        EchoLMError: a side is below 1.
    """
    if height < 1 or width < 1:
        raise EchoLMError(f"pictures of {width} x {height} pixels; valid: sides from 1")
    if frames.shape[1:] == (height, width):
        return frames
    down = _weights(frames.shape[1], height)
    across = _weights(frames.shape[2], width)
    resized = np.empty((len(frames), height, width), np.uint8)
    for number, frame in enumerate(frames):
        rows = down @ frame.astype(np.float32)
        columns = across @ np.ascontiguousarray(rows.T)
        resized[number] = np.rint(columns.T)  # of values 0 to 255: the weights are at most 1
    return resized


@lru_cache(SIZES)
def _weights(old: int, new: int) -> csr_array:
    """Return how much of each old pixel a new one holds, along one side: new x old."""
    from scipy.sparse import csr_array

    if new < old:
        rows, columns, values = _cover(old, new)
    else:
        rows, columns, values = _mix(old, new)
    weights = csr_array((values.astype(np.float32), (rows, columns)), shape=(new, old))
    weights.sum_duplicates()
    return weights


def _cover(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return new pixels, old pixels, and the part of the new one that the old one covers.

    A pixel's edges are at whole multiples of its side. Sides are cut where an edge of either lies.
    """
    edges = np.unique(np.concatenate([np.arange(old + 1) * new, np.arange(new + 1) * old]))
    starts = edges[:-1]
    return starts // old, starts // new, np.diff(edges) / old


def _mix(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return new pixels, old pixels, and the weights of the two nearest of these."""
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    places = np.clip(centres, 0, old - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, old - 1)
    share = places - before
    numbers = np.arange(new)
    return (
        np.concatenate([numbers, numbers]),
        np.concatenate([before, after]),
        np.concatenate([1 - share, share]),
    )
