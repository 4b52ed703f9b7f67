"""Geometry of left-ventricular contours: tracings, area, volume, masks, Dice, keypoint error.

Points are (x, y) in pixels; the integer coordinate is the centre of a pixel. A contour has P ordered points and is
closed from the last to the first. Everything is computed in float64 and batched over leading dimensions.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ROWS = 21
"""Rows of a full EchoNet-Dynamic tracing: the long axis, then 20 chords from the apex to the mitral plane."""
_VERTEX = 1e-12
_FAR = 1e6
_CHUNK = 32
_COMPILE_AFTER = 10_000
"""Polygons that take numpy about as long as numba takes to compile ``echolm.geometry_fast``."""
_drawn = 0


def contour_from_chords(chords: ArrayLike) -> Floats:
    """A tracing (..., 21, 4) with columns X1, Y1, X2, Y2 -> the contour (..., 40, 2).

    Row 0, the long axis, is dropped; (X1, Y1) of rows 1..20 is followed by (X2, Y2) of rows 20..1 (EchoGraphs'
    preprocessing), so points 0 and 39 are the ends of the chord nearest the apex. ValueError for another shape.
    """
    rows = _array(chords, "chords", (ROWS, 4))[..., 1:, :]
    return np.concatenate([rows[..., :2], rows[..., ::-1, 2:]], axis=-2)


def chords_from_contour(contour: ArrayLike) -> Floats:
    """A contour (..., P, 2), P even -> its P/2 chords (..., P/2, 4): points i and P-1-i are the ends of chord i."""
    points = _array(contour, "contour", (None, 2))
    half, odd = divmod(points.shape[-2], 2)
    if odd:
        raise ValueError(f"contour: {points.shape[-2]} points cannot be paired into chords; valid: an even number")
    return np.concatenate([points[..., :half, :], points[..., : half - 1 : -1, :]], axis=-1)


def area(contours: ArrayLike) -> Floats:
    """Absolute enclosed area (...) of contours (..., P, 2) by the shoelace formula, in squared units of the input.

    Of a self-crossing contour, parts of opposite orientation cancel.
    """
    points = _array(contours, "contours", (None, 2))
    x, y = np.moveaxis(points - points[..., :1, :], -1, 0)
    twice: Floats = (x * np.roll(y, -1, axis=-1) - np.roll(x, -1, axis=-1) * y).sum(-1)
    return np.abs(twice) / 2


def long_axis(contours: ArrayLike) -> Floats:
    """Length (...) of the long axis from a contour (..., P, 2) alone.

    The chords are taken to lie half-way up their disks (our choice; row 0 of a tracing has the traced axis), so the
    distance between the midpoints of the first and the last of n chords is (n - 1)/n of the axis.
    """
    chords = chords_from_contour(contours)
    middles = (chords[..., :2] + chords[..., 2:]) / 2
    count = chords.shape[-2]
    length: Floats = np.linalg.norm(middles[..., -1, :] - middles[..., 0, :], axis=-1) * count / max(count - 1, 1)
    return length


def method_of_disks(contours: ArrayLike, axis: ArrayLike | None = None) -> Floats:
    """Single-plane volume (...) of contours (..., P, 2), in cubed units of the input: the sum of pi/4 d^2 h.

    d are the lengths of the P/2 chords, h = axis / (P/2). ``axis`` (...) is the length of the long axis (row 0 of a
    tracing); None: ``long_axis``.
    """
    chords = chords_from_contour(contours)
    length = long_axis(contours) if axis is None else np.asarray(axis, np.float64)
    squares: Floats = ((chords[..., 2:] - chords[..., :2]) ** 2).sum((-1, -2))
    volume: Floats = np.pi / 4 * squares * length / chords.shape[-2]
    return volume


def ejection_fraction(edv: ArrayLike, esv: ArrayLike) -> Floats:
    """100 (EDV - ESV) / EDV in percent; NaN where EDV is 0. Negative where ESV exceeds EDV."""
    end_diastolic, end_systolic = np.asarray(edv, np.float64), np.asarray(esv, np.float64)
    percent: Floats = 100 * (end_diastolic - end_systolic) / np.where(end_diastolic == 0, np.nan, end_diastolic)
    return percent


def keypoint_error(truth: ArrayLike, prediction: ArrayLike) -> Floats:
    """Mean Euclidean distance (...) over the points of two contours (..., P, 2), in the unit of the input
    (NLDL 2026 §3.1.4)."""
    difference = _array(truth, "truth", (None, 2)) - _array(prediction, "prediction", (None, 2))
    mean: Floats = np.linalg.norm(difference, axis=-1).mean(-1)
    return mean


def dice(a: ArrayLike, b: ArrayLike) -> Floats:
    """Dice (...) in [0, 1] of two masks (..., H, W). Two empty masks are equal: 1."""
    first, second = np.asarray(a, bool), np.asarray(b, bool)
    return dice_from_overlap(_count(first & second), _count(first), _count(second))


def dice_from_overlap(intersection: ArrayLike, area_truth: ArrayLike, area_prediction: ArrayLike) -> Floats:
    """2 I / (A + B) from the counts of ``overlap``; 1 where both areas are 0.

    Of sums over samples it is the pooled Dice of EchoNet-Dynamic, of single samples the Dice of NLDL 2026.
    """
    total = np.asarray(area_truth, np.float64) + np.asarray(area_prediction, np.float64)
    both = 2 * np.asarray(intersection, np.float64)
    return np.where(total == 0, 1.0, both / np.where(total == 0, 1.0, total))


def overlap(
    truth: ArrayLike, prediction: ArrayLike, size: int = 112
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixel counts (...) of the filled contours (..., P, 2) on a grid of size x size pixels:
    intersection, area of ``truth``, area of ``prediction``. Points are in pixels of that grid.
    ValueError for NaN or infinite points, or another number of contours."""
    first, second = _polygons(truth, "truth"), _polygons(prediction, "prediction")
    shape, other = np.shape(truth)[:-2], np.shape(prediction)[:-2]
    if shape != other:
        raise ValueError(f"prediction: {other} contours for {shape} of truth; valid: one each")
    compiled = _compiled(len(first) + len(second))
    counts = compiled.overlap(first, second, size) if compiled else _overlap(first, second, size)
    intersection, area_truth, area_prediction = counts.T.reshape(3, *shape)
    return intersection, area_truth, area_prediction


def rasterise(contours: ArrayLike, height: int, width: int) -> Bools:
    """Filled polygons (N, P, 2) -> masks (N, height, width).

    Even-odd rule on pixel centres, where centres on an edge or a vertex belong to the polygon: pixel for pixel
    ``skimage.draw.polygon`` with float points. Points may lie off the image (beyond 1e6 pixels they are clipped).
    ValueError for NaN or infinite points. A process that draws many polygons compiles the code, where numba is
    installed; the masks are the same.
    """
    points = _polygons(contours, "contours")
    masks = np.zeros((len(points), height, width), bool)
    if compiled := _compiled(len(points)):
        compiled.fill(points, masks.view(np.uint8))
        return masks
    for start in range(0, len(points), _CHUNK):  # the working set of a chunk stays in the cache
        stop = start + _CHUNK
        masks[start:stop] = _fill(points[start:stop], height, width)
    return masks


def _polygons(contours: ArrayLike, what: str) -> Floats:
    """Contours (..., P, 2) as an array (N, P, 2) of finite coordinates within 1e6 pixels, or ValueError."""
    points = _array(contours, what, (None, 2))
    points = points.reshape(-1, *points.shape[-2:])
    bad = np.flatnonzero(~np.isfinite(points).all((-1, -2)))
    if len(bad):
        raise ValueError(f"{what}: polygon {bad[0]} has a point that is NaN or infinite")
    return np.ascontiguousarray(np.clip(points, -_FAR, _FAR))


def _compiled(polygons: int) -> ModuleType | None:
    """The compiled rasteriser, once this process has to draw so many polygons that compiling it is worth while."""
    global _drawn
    _drawn += polygons
    return _fast() if _drawn > _COMPILE_AFTER else None


@cache
def _fast() -> ModuleType | None:
    """``echolm.geometry_fast``, or None where numba is not installed."""
    try:
        from echolm import geometry_fast
    except ImportError:
        return None
    return geometry_fast


def _overlap(first: Floats, second: Floats, size: int) -> NDArray[np.int64]:
    """Counts (N, 3) of ``overlap``."""
    counts = [np.zeros((0, 3), np.int64)]
    for start in range(0, len(first), _CHUNK):
        a, b = (_fill(points[start : start + _CHUNK], size, size) for points in (first, second))
        counts.append(np.stack([_count(a & b), _count(a), _count(b)], axis=-1))
    return np.concatenate(counts)


def _fill(points: Floats, height: int, width: int) -> Bools:
    """Scanline with two parities a pixel, as in O'Rourke's point-in-polygon test: of the edges that cross its row to
    the right, and to the left, of it. The two differ exactly on edges, which count as inside."""
    before = np.roll(points, 1, axis=1)
    low, high = np.minimum(points[..., 1], before[..., 1]), np.maximum(points[..., 1], before[..., 1])
    polygon, edge, row = _crossed_rows(low, high, height)
    x0, y0 = points[polygon, edge, 0], points[polygon, edge, 1] - row
    x1, y1 = before[polygon, edge, 0], before[polygon, edge, 1] - row
    # Rounding can only matter in the column nearest to the crossing: there the side is decided as skimage does.
    column = np.rint(np.clip((x0 * y1 - x1 * y0) / (y1 - y0), -1, width))
    side = ((x0 - column) * y1 - (x1 - column) * y0) / (y1 - y0)
    line = (polygon * height + row) * (width + 1)
    right = row < high[polygon, edge]
    left = row > low[polygon, edge]
    shape = (len(points), height, width + 1)
    inside = _parity((line + _start(column, side <= 0, width))[right], shape)
    inside |= _parity((line + _start(column, side < 0, width))[left], shape)
    _mark_vertices(inside, points, width)
    return inside[..., :width]


def _crossed_rows(low: Floats, high: Floats, height: int) -> tuple[NDArray[np.int64], ...]:
    """(polygon, edge, row) of every image row between ``low`` and ``high`` (N, P), both ends included, of edges that
    are not horizontal."""
    first = np.clip(np.ceil(low), 0, height).astype(np.int64)
    last = np.clip(np.floor(high), -1, height - 1).astype(np.int64)
    count = np.where(low < high, np.maximum(last - first + 1, 0), 0).ravel()
    index = np.repeat(np.arange(count.size), count)
    within = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
    polygon, edge = np.divmod(index, low.shape[1])
    return polygon, edge, first.ravel()[index] + within


def _start(column: Floats, here: Bools, width: int) -> NDArray[np.int64]:
    """The first column at (``here``) or right of a crossing whose nearest column is ``column``; in 0..width."""
    return np.clip(column + ~here, 0, width).astype(np.int64)


def _parity(starts: NDArray[np.int64], shape: tuple[int, int, int]) -> Bools:
    """Whether an odd number of ``starts`` (flat indices) lies at or left of each pixel of its row."""
    counts = np.zeros(shape, np.uint8)
    np.add.at(counts.reshape(-1), starts, 1)
    return (np.add.accumulate(counts, axis=-1, dtype=np.uint8) & 1).astype(bool)


def _mark_vertices(masks: Bools, points: Floats, width: int) -> None:
    """Pixels whose centre is a vertex (to 1e-12) are inside."""
    nearest = np.rint(points)
    on = (np.abs(points - nearest) < _VERTEX).all(-1)
    on &= ((nearest >= 0) & (nearest < [width, masks.shape[1]])).all(-1)
    column, row = nearest[on].astype(np.int64).T
    masks[np.nonzero(on)[0], row, column] = True


def _count(masks: Bools) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = masks.sum((-1, -2), dtype=np.int64)
    return counts


def _array(values: ArrayLike, what: str, tail: tuple[int | None, int]) -> Floats:
    """float64 with the last two dimensions ``tail`` (None: one or more), or ValueError."""
    array = np.asarray(values, np.float64)
    rows, columns = tail
    if array.ndim < 2 or array.shape[-1] != columns or (array.shape[-2] != rows if rows else array.shape[-2] < 1):
        raise ValueError(f"{what}: shape {array.shape}; valid: (..., {rows or 'points'}, {columns})")
    return array
