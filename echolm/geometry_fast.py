"""The rasteriser of ``echolm.geometry`` compiled with numba.

It has the same arithmetic, one polygon at a time. Importing this module needs numba and compiles
for about a second. The code stays in memory, once a process: a cache on disk would have to be
writable for every worker, and one shared by hosts can hand code to a processor it was not made for.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

RIGHT, LEFT = 1, 2
"""Bits of a pixel: whether an odd number of edges crosses its row to the right, and to the left."""
_VERTEX = 1e-12


@numba.njit("void(f8, f8, f8, f8, u1[:, ::1])")
def _cross(x0: float, y0: float, x1: float, y1: float, mask: Bytes) -> None:
    """Flip, in each row of the edge, the bits of the first pixel from which the parities change."""
    height, width = mask.shape
    low, high = min(y0, y1), max(y0, y1)
    if low == high:
        return
    first = int(max(np.ceil(low), 0))
    last = int(min(np.floor(high), height - 1))
    for row in range(first, last + 1):
        a = y0 - row
        b = y1 - row
        crossing = (x0 * b - x1 * a) / (b - a)
        column = np.rint(min(max(crossing, -1.0), float(width)))
        side = ((x0 - column) * b - (x1 - column) * a) / (b - a)
        right = int(column) + (side > 0)
        left = int(column) + (side >= 0)
        if row < high and right < width:
            mask[row, max(right, 0)] ^= RIGHT
        if row > low and left < width:
            mask[row, max(left, 0)] ^= LEFT


@numba.njit("void(u1[:, ::1])")
def _sum_parities(mask: Bytes) -> None:
    """Turn flipped bits into 1 where either parity is odd."""
    for row in range(mask.shape[0]):
        parities = np.uint8(0)
        for column in range(mask.shape[1]):
            parities ^= mask[row, column]
            mask[row, column] = parities != 0


@numba.njit("void(f8[:, ::1], u1[:, ::1])")
def _fill_one(points: Floats, mask: Bytes) -> None:
    """Fill the polygon (P, 2) into the zeroed mask (height, width)."""
    height, width = mask.shape
    for edge in range(len(points)):
        _cross(points[edge, 0], points[edge, 1], points[edge - 1, 0], points[edge - 1, 1], mask)
    _sum_parities(mask)
    for x, y in points:
        column = np.rint(x)
        row = np.rint(y)
        on_centre = abs(x - column) < _VERTEX and abs(y - row) < _VERTEX
        if on_centre and 0 <= column < width and 0 <= row < height:
            mask[int(row), int(column)] = 1


@numba.njit("void(f8[:, :, ::1], u1[:, :, ::1])")
def fill(points: Floats, masks: Bytes) -> None:
    """Fill polygons (N, P, 2) into zeroed masks (N, height, width).

    Points are finite and within 1e6 pixels.
    """
    for number in range(len(points)):
        _fill_one(points[number], masks[number])


@numba.njit("UniTuple(i8, 3)(u1[:, ::1], u1[:, ::1])")
def _counts(first: Bytes, second: Bytes) -> tuple[int, int, int]:
    """Count the pixels in both, in the first, in the second."""
    both = 0
    one = 0
    other = 0
    for row in range(first.shape[0]):
        for column in range(first.shape[1]):
            both += first[row, column] & second[row, column]
            one += first[row, column]
            other += second[row, column]
    return both, one, other


@numba.njit("i8[:, ::1](f8[:, :, ::1], f8[:, :, ::1], i8)")
def overlap(first: Floats, second: Floats, size: int) -> NDArray[np.int64]:
    """Count the pixels of pairs of such polygons on a grid of size x size.

    Returns:
        (N, 3): intersection, area of ``first``, area of ``second``.
    """
    counts = np.empty((len(first), 3), np.int64)
    masks = np.empty((2, size, size), np.uint8)
    for number in range(len(first)):
        masks[:] = 0
        _fill_one(first[number], masks[0])
        _fill_one(second[number], masks[1])
        counts[number, 0], counts[number, 1], counts[number, 2] = _counts(masks[0], masks[1])
    return counts
