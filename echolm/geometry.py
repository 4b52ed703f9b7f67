"""Geometry of left-ventricular contours: tracings, area, volume, masks, Dice, keypoint error.

Points are (x, y) in pixels, and the integer coordinate is the centre of a pixel. A contour has P
ordered points and is closed from the last to the first. Everything is computed in float64 and
batched over leading dimensions.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ROWS = 21
"""Rows of a full EchoNet-Dynamic tracing.

They are the long axis, then 20 chords from the apex to the mitral plane.
"""
_VERTEX = 1e-12
"""Pixels from a vertex to a pixel centre that is taken to be on it."""
_FAR = 1e6
"""Pixels at which points off the image are clipped."""
_CHUNK = 32
"""Polygons filled at once: their working set stays in the cache."""
_COMPILE_AFTER = 10_000
"""Polygons that take numpy about as long as numba takes to compile ``echolm.geometry_fast``."""
_drawn = 0


def contour_from_chords(chords: ArrayLike) -> Floats:
    """Turn a tracing into a contour (..., 40, 2).

    Row 0, the long axis, is dropped. (X1, Y1) of rows 1..20 is followed by (X2, Y2) of rows 20..1
    (EchoGraphs' preprocessing), so points 0 and 39 are the ends of the chord nearest the apex.

    Args:
        chords: (..., 21, 4) with columns X1, Y1, X2, Y2.

    Raises:
        ValueError: for another shape.
    """
    rows = _array(chords, "chords", (ROWS, 4))[..., 1:, :]
    first_ends = rows[..., :2]
    second_ends = rows[..., ::-1, 2:]
    return np.concatenate([first_ends, second_ends], axis=-2)


def chords_from_contour(contour: ArrayLike) -> Floats:
    """Turn a contour (..., P, 2), P even, into its P/2 chords (..., P/2, 4).

    Points i and P-1-i are the ends of chord i.
    """
    points = _array(contour, "contour", (None, 2))
    count = points.shape[-2]
    half, odd = divmod(count, 2)
    if odd:
        raise ValueError(
            f"contour: {count} points cannot be paired into chords; valid: an even number"
        )
    first_ends = points[..., :half, :]
    second_ends = points[..., : half - 1 : -1, :]
    return np.concatenate([first_ends, second_ends], axis=-1)


def area(contours: ArrayLike) -> Floats:
    """Compute the absolute area (...) that contours (..., P, 2) enclose, by the shoelace formula.

    It is in squared units of the input. Of a self-crossing contour, parts of opposite orientation
    cancel.
    """
    points = _array(contours, "contours", (None, 2))
    x, y = np.moveaxis(points - points[..., :1, :], -1, 0)
    next_x = np.roll(x, -1, axis=-1)
    next_y = np.roll(y, -1, axis=-1)
    twice: Floats = (x * next_y - next_x * y).sum(-1)
    return np.abs(twice) / 2


def long_axis(contours: ArrayLike) -> Floats:
    """Compute the length (...) of the long axis from a contour (..., P, 2) alone.

    The chords are taken to lie half-way up their disks. So the distance between the midpoints of
    the first and the last of n chords is (n - 1)/n of the axis. (This is our choice. Row 0 of a
    tracing has the traced axis.)
    """
    chords = chords_from_contour(contours)
    middles = (chords[..., :2] + chords[..., 2:]) / 2
    count = chords.shape[-2]
    distance = np.linalg.norm(middles[..., -1, :] - middles[..., 0, :], axis=-1)
    length: Floats = distance * count / max(count - 1, 1)
    return length


def method_of_disks(contours: ArrayLike, axis: ArrayLike | None = None) -> Floats:
    """Compute the single-plane volume (...) of contours, in cubed units of the input.

    It is the sum of pi/4 d^2 h, where d are the lengths of the P/2 chords and h = axis / (P/2).

    Args:
        contours: (..., P, 2).
        axis: (...), the length of the long axis (row 0 of a tracing). None: ``long_axis``.
    """
    chords = chords_from_contour(contours)
    length = long_axis(contours) if axis is None else np.asarray(axis, np.float64)
    squares: Floats = ((chords[..., 2:] - chords[..., :2]) ** 2).sum((-1, -2))
    volume: Floats = np.pi / 4 * squares * length / chords.shape[-2]
    return volume


def ejection_fraction(edv: ArrayLike, esv: ArrayLike) -> Floats:
    """Compute 100 (EDV - ESV) / EDV in percent.

    It is NaN where EDV is 0, and negative where ESV exceeds EDV.
    """
    end_diastolic = np.asarray(edv, np.float64)
    end_systolic = np.asarray(esv, np.float64)
    whole = np.where(end_diastolic == 0, np.nan, end_diastolic)
    percent: Floats = 100 * (end_diastolic - end_systolic) / whole
    return percent


def keypoint_error(truth: ArrayLike, prediction: ArrayLike) -> Floats:
    """Compute the mean Euclidean distance (...) over the points of two contours (..., P, 2).

    It is in the unit of the input (NLDL 2026 §3.1.4).
    """
    difference = _array(truth, "truth", (None, 2)) - _array(prediction, "prediction", (None, 2))
    mean: Floats = np.linalg.norm(difference, axis=-1).mean(-1)
    return mean


def dice(a: ArrayLike, b: ArrayLike) -> Floats:
    """Compute Dice (...) in [0, 1] of two masks (..., H, W). Two empty masks are equal: 1."""
    first, second = np.asarray(a, bool), np.asarray(b, bool)
    return dice_from_overlap(_count(first & second), _count(first), _count(second))


def dice_from_overlap(
    intersection: ArrayLike, area_truth: ArrayLike, area_prediction: ArrayLike
) -> Floats:
    """Compute 2 I / (A + B) from the counts of ``overlap``. It is 1 where both areas are 0.

    Of sums over samples it is the pooled Dice of EchoNet-Dynamic, of single samples the Dice of
    NLDL 2026.
    """
    total = np.asarray(area_truth, np.float64) + np.asarray(area_prediction, np.float64)
    both = 2 * np.asarray(intersection, np.float64)
    empty = total == 0
    return np.where(empty, 1.0, both / np.where(empty, 1.0, total))


def overlap(
    truth: ArrayLike, prediction: ArrayLike, size: int = 112
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of filled contours on a grid.

    Args:
        truth: (..., P, 2) in pixels of the grid.
        prediction: likewise.
        size: height and width of the grid.

    Returns:
        (...) each: intersection, area of ``truth``, area of ``prediction``.

    Raises:
        ValueError: for NaN or infinite points, or another number of contours.
    """
    first = _polygons(truth, "truth")
    second = _polygons(prediction, "prediction")
    shape, other = np.shape(truth)[:-2], np.shape(prediction)[:-2]
    if shape != other:
        raise ValueError(f"prediction: {other} contours for {shape} of truth; valid: one each")
    compiled = _compiled(len(first) + len(second))
    count = compiled.overlap if compiled else _overlap
    counts = count(first, second, size)
    intersection, area_truth, area_prediction = counts.T.reshape(3, *shape)
    return intersection, area_truth, area_prediction


def rasterise(contours: ArrayLike, height: int, width: int) -> Bools:
    """Fill polygons (N, P, 2) into masks (N, height, width).

    By the even-odd rule on pixel centres, where centres on an edge or a vertex belong to the
    polygon: pixel for pixel ``skimage.draw.polygon`` with float points. Points may lie off the
    image (beyond 1e6 pixels they are clipped). A process that draws many polygons compiles the
    code, where numba is installed. The masks are the same.

    Raises:
        ValueError: for NaN or infinite points.
    """
    points = _polygons(contours, "contours")
    masks = np.zeros((len(points), height, width), bool)
    compiled = _compiled(len(points))
    if compiled:
        compiled.fill(points, masks.view(np.uint8))
        return masks
    for start in range(0, len(points), _CHUNK):
        stop = start + _CHUNK
        masks[start:stop] = _fill(points[start:stop], height, width)
    return masks


def _polygons(contours: ArrayLike, what: str) -> Floats:
    """Return contours (..., P, 2) as (N, P, 2) finite coordinates within 1e6 pixels.

    Raises:
        ValueError: for a point that is NaN or infinite.
    """
    points = _array(contours, what, (None, 2))
    points = points.reshape(-1, *points.shape[-2:])
    finite = np.isfinite(points).all((-1, -2))
    if not finite.all():
        number = np.flatnonzero(~finite)[0]
        raise ValueError(f"{what}: polygon {number} has a point that is NaN or infinite")
    return np.ascontiguousarray(np.clip(points, -_FAR, _FAR))


def _compiled(polygons: int) -> ModuleType | None:
    """Return the compiled rasteriser, or None.

    It is worth compiling once this process has to draw many polygons.
    """
    global _drawn
    _drawn += polygons
    if _drawn <= _COMPILE_AFTER:
        return None
    return _fast()


@cache
def _fast() -> ModuleType | None:
    """Import ``echolm.geometry_fast``, or return None where numba is not installed."""
    try:
        from echolm import geometry_fast
    except ImportError:
        return None
    return geometry_fast


def _overlap(first: Floats, second: Floats, size: int) -> NDArray[np.int64]:
    """Compute the counts (N, 3) of ``overlap``."""
    counts = np.zeros((len(first), 3), np.int64)
    for start in range(0, len(first), _CHUNK):
        stop = start + _CHUNK
        one = _fill(first[start:stop], size, size)
        other = _fill(second[start:stop], size, size)
        counts[start:stop, 0] = _count(one & other)
        counts[start:stop, 1] = _count(one)
        counts[start:stop, 2] = _count(other)
    return counts


def _fill(points: Floats, height: int, width: int) -> Bools:
    """Fill polygons by scanlines with two parities a pixel, as in O'Rourke's point-in-polygon test.

    They are of the edges that cross its row to the right, and to the left, of it. The two differ
    exactly on edges, which count as inside.
    """
    before = np.roll(points, 1, axis=1)
    low = np.minimum(points[..., 1], before[..., 1])
    high = np.maximum(points[..., 1], before[..., 1])
    polygon, edge, row = _crossed_rows(low, high, height)
    x0 = points[polygon, edge, 0]
    y0 = points[polygon, edge, 1] - row
    x1 = before[polygon, edge, 0]
    y1 = before[polygon, edge, 1] - row
    # Rounding can only matter in the column nearest to the crossing: there the side is decided as
    # skimage does.
    crossing = (x0 * y1 - x1 * y0) / (y1 - y0)
    column = np.rint(np.clip(crossing, -1, width))
    side = ((x0 - column) * y1 - (x1 - column) * y0) / (y1 - y0)

    line = (polygon * height + row) * (width + 1)
    right = row < high[polygon, edge]
    left = row > low[polygon, edge]
    right_starts = line + _start(column, side <= 0, width)
    left_starts = line + _start(column, side < 0, width)
    shape = (len(points), height, width + 1)
    inside = _parity(right_starts[right], shape)
    inside |= _parity(left_starts[left], shape)
    _mark_vertices(inside, points, width)
    return inside[..., :width]


def _crossed_rows(low: Floats, high: Floats, height: int) -> tuple[NDArray[np.int64], ...]:
    """List the image rows that edges cross. Horizontal edges cross none.

    Args:
        low: (N, P), the lower end of each edge, which is included.
        high: likewise.
        height: of the image.

    Returns:
        polygon, edge, row: an entry each for every row of every edge.
    """
    first = np.clip(np.ceil(low), 0, height).astype(np.int64)
    last = np.clip(np.floor(high), -1, height - 1).astype(np.int64)
    rows = np.maximum(last - first + 1, 0)
    count = np.where(low < high, rows, 0).ravel()
    index = np.repeat(np.arange(count.size), count)
    entries_before = np.repeat(np.cumsum(count) - count, count)
    within = np.arange(len(index)) - entries_before
    polygon, edge = np.divmod(index, low.shape[1])
    return polygon, edge, first.ravel()[index] + within


def _start(column: Floats, here: Bools, width: int) -> NDArray[np.int64]:
    """Return the first column, in 0..width, at (``here``) or right of a crossing.

    Args:
        column: the nearest to the crossing.
        here: whether it is at or right of it.
        width: of the image.
    """
    return np.clip(column + ~here, 0, width).astype(np.int64)


def _parity(starts: NDArray[np.int64], shape: tuple[int, int, int]) -> Bools:
    """Check whether an odd number of ``starts`` lies at or left of each pixel of its row.

    Args:
        starts: flat indices of pixels.
        shape: of the images.
    """
    counts = np.zeros(shape, np.uint8)
    np.add.at(counts.reshape(-1), starts, 1)
    sums = np.add.accumulate(counts, axis=-1, dtype=np.uint8)
    return (sums & 1).astype(bool)


def _mark_vertices(masks: Bools, points: Floats, width: int) -> None:
    """Mark pixels whose centre is a vertex (to 1e-12) as inside."""
    nearest = np.rint(points)
    on_centre = (np.abs(points - nearest) < _VERTEX).all(-1)
    in_image = ((nearest >= 0) & (nearest < [width, masks.shape[1]])).all(-1)
    marked = on_centre & in_image
    column, row = nearest[marked].astype(np.int64).T
    polygon = np.nonzero(marked)[0]
    masks[polygon, row, column] = True


def _count(masks: Bools) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = masks.sum((-1, -2), dtype=np.int64)
    return counts


def _array(values: ArrayLike, what: str, tail: tuple[int | None, int]) -> Floats:
    """Return values as float64.

    Args:
        values: of any shape.
        what: their name in the message.
        tail: the last two dimensions. None: one or more.

    Raises:
        ValueError: for another shape.
    """
    array = np.asarray(values, np.float64)
    rows, columns = tail
    valid = array.ndim >= 2 and array.shape[-1] == columns
    if valid and rows is None:
        valid = array.shape[-2] >= 1
    elif valid:
        valid = array.shape[-2] == rows
    if not valid:
        raise ValueError(
            f"{what}: shape {array.shape}; valid: (..., {rows or 'points'}, {columns})"
        )
    return array
