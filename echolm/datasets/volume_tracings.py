"""EchoNet-Dynamic's tracings: rows of ``VolumeTracings.csv`` -> landmarks of ED and ES.

A frame is traced by 21 rows (x1, y1, x2, y2): the long axis, then 20 chords from the apex to the
mitral plane, in pixels of the video. Frame numbers count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.datasets.echonet_files import sample_id
from echolm.geometry import ROWS, area, contour_from_chords

TRACINGS = "VolumeTracings.csv"
POINTS = ("X1", "Y1", "X2", "Y2")
COLUMNS = ("FileName", *POINTS, "Frame")
SMALLEST_AREA = 1e-6
"""Pixels squared. A contour must enclose more."""
SHORTEST_SHARE = 0.1
"""Part of the picture's side that a long axis has at least: 1.6 cm in a depth of 16 cm.

What is shorter is in other units, such as centimetres or parts of the picture.
"""
SMALLEST_SHARE = 0.001
"""Part of the picture that a ventricle covers at least: 12.5 square pixels of 112 x 112.

A ventricle of 2 ml at end-systole covers some 160 in a depth of 16 cm. EchoNet-Dynamic has tracings
that are odd and small, and are used.
"""
MARGIN = 1.0
"""How far outside the frame a traced point may lie, in sides of the frame.

Readers do trace a little beyond the picture. But a ventricle that is in the picture, and no larger
than it, ends within one side of its edge. What lies further is a typing error, other units, or
damage.
"""
FEWEST_CROSSED = (ROWS - 1) // 2
"""Chords that the line of a long axis crosses at least.

It crosses all of them but where a contour crosses itself. A chord crosses only the long axis.
"""
FURTHEST = 2
"""Places by which a chord may lie away from where its row puts it along the long axis.

Chords are evenly spaced, so only an uncertain hand makes neighbours change places.
"""
END = 5
"""Chords of one end of the ventricle."""
ORDER = "valid: the long axis, then the chords from the apex to the mitral plane"


class TracingError(ValueError):
    """Why the tracing of a sample cannot be used, and the line where that shows (None: none)."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line


class NotTraced(TracingError):
    """Why a sample has no tracing of both phases, although none of its rows is wrong.

    EchoNet-Dynamic has 99 such videos: 6 are not traced in two frames, 93 not by 21 rows.
    """


@dataclass
class TracedRows:
    """The rows of one sample.

    Attributes:
        frames: frame number -> its rows (x1, y1, x2, y2), in file order.
        lines: frame number -> the lines of its rows.
        line: the line of the sample's first row.
        error: why a row of it could not be read.
    """

    frames: dict[int, list[list[float]]] = field(default_factory=dict)
    lines: dict[int, list[int]] = field(default_factory=dict)
    line: int = 0
    error: TracingError | None = None

    def add(self, row: CsvRow) -> None:
        """Take one row. RowError: a cell is not a number."""
        frame = row.integer("Frame")
        segment = [row.number(column) for column in POINTS]
        self.frames.setdefault(frame, []).append(segment)
        self.lines.setdefault(frame, []).append(row.line)


@dataclass(frozen=True, eq=False)
class Phases:
    """Frame numbers and landmarks (40 x 2 float32) of end-diastole and end-systole."""

    ed: int
    es: int
    landmarks_ed: np.ndarray
    landmarks_es: np.ndarray


def read_tracings(path: Path) -> dict[str, TracedRows]:
    """Read all rows by sample. A row that cannot be read is kept as its sample's ``error``."""
    samples: dict[str, TracedRows] = {}
    for row, reason in read_rows(path, COLUMNS):
        traced = samples.setdefault(sample_id(row["FileName"]), TracedRows(line=row.line))
        try:
            if reason:
                raise RowError(reason)
            traced.add(row)
        except RowError as error:
            traced.error = traced.error or TracingError(row.line, str(error))
    return samples


def phases(traced: TracedRows, frame_count: int, sizes: Sequence[tuple[int, int]]) -> Phases:
    """Decide which of two traced frames is ED: the one of larger area (NLDL 2026 §3.1).

    Of equal areas, the earlier frame is ED.

    Args:
        traced: the rows of one sample.
        frame_count: frames of its video.
        sizes: (height, width) that its picture may have, in pixels.

    Raises:
        TracingError: there are not exactly two traced frames inside the video, both by exactly 21
            rows that lie within ``MARGIN`` of the picture, enclose an area that a ventricle can
            have, and are in the order of a tracing.
    """
    if traced.error:
        raise traced.error
    if len(traced.frames) != 2:
        numbers = ", ".join(str(number) for number in traced.frames) or "none"
        raise NotTraced(
            traced.line, f"needs exactly two traced frames, has {len(traced.frames)} ({numbers})"
        )
    first, second = sorted(traced.frames)
    first_points = _landmarks(traced, first, frame_count, sizes)
    second_points = _landmarks(traced, second, frame_count, sizes)
    if area(first_points) >= area(second_points):
        return Phases(first, second, first_points, second_points)
    return Phases(second, first, second_points, first_points)


def _landmarks(
    traced: TracedRows, frame: int, frame_count: int, sizes: Sequence[tuple[int, int]]
) -> np.ndarray:
    rows = traced.frames[frame]
    lines = traced.lines[frame]
    if len(rows) != ROWS:
        raise NotTraced(lines[0], f"frame {frame} is traced by {len(rows)} rows, not {ROWS}")
    if not 0 <= frame < frame_count:
        raise TracingError(
            lines[0], f"traced frame {frame} is outside the video's {frame_count} frames"
        )
    heights, widths = zip(*sizes, strict=True)
    largest = (max(heights), max(widths))
    _check_inside(rows, lines, largest)
    points = contour_from_chords(rows).astype(np.float32)
    if not area(points) > SMALLEST_AREA:
        raise TracingError(lines[0], f"the contour of frame {frame} encloses no area")
    segments = np.array(rows)
    reason = (
        _why_not_in_order(segments)
        or _why_too_small(segments, (min(heights), min(widths)))
        or _why_out_of_sight(points, largest)
    )
    if reason:
        raise TracingError(lines[0], f"frame {frame}: {reason}")
    return points


def _check_inside(rows: list[list[float]], lines: list[int], size: tuple[int, int]) -> None:
    """Raise TracingError at the first point that lies too far outside the picture."""
    height, width = size
    sides = np.array([width, height, width, height])
    segments = np.array(rows)
    inside = (segments >= -MARGIN * sides) & (segments <= (1 + MARGIN) * sides)
    outside = np.argwhere(~inside)
    if not len(outside):
        return
    row, column = outside[0]
    side = sides[column]
    raise TracingError(
        lines[row],
        f"{POINTS[column]} is {rows[row][column]:g}, far outside the picture of {side} pixels; "
        f"valid: {-MARGIN * side:g} to {(1 + MARGIN) * side:g}",
    )


def _why_not_in_order(segments: np.ndarray) -> str:
    """Say why rows are not a long axis and chords that follow one another along it, or ''.

    A contour that crosses itself is in order: EchoNet-Dynamic has such, whose chords have their
    ends in the wrong place and are where they belong along the axis.

    Args:
        segments: 21 x 4, in the order of the file.
    """
    axis = segments[0, 2:] - segments[0, :2]
    if not axis.any():
        return f"its first row is a point, not the long axis; {ORDER}"
    crossed = _count_crossed(segments[0, :2], axis, segments[1:])
    if crossed < FEWEST_CROSSED:
        return (
            f"its first row crosses {crossed} of the {ROWS - 1} others, so it is not the long "
            f"axis; {ORDER}"
        )
    middles = (segments[1:, :2] + segments[1:, 2:]) / 2
    places = (middles @ axis).argsort(kind="stable").argsort()
    if _furthest(places) <= FURTHEST:
        return ""
    if _furthest(places[::-1]) > FURTHEST:
        return f"its chords do not follow one another along the long axis; {ORDER}"
    lengths = _lengths(segments[1:])
    # An axis that was drawn from the mitral plane to the apex also looks so, but for the widths.
    if lengths[:END].mean() > lengths[-END:].mean():
        return f"its chords go from the mitral plane to the apex; {ORDER}"
    return ""


def _count_crossed(start: np.ndarray, direction: np.ndarray, chords: np.ndarray) -> int:
    """Count the chords (N, 4) whose ends are on both sides of a line, or on it."""
    ends = chords.reshape(-1, 2, 2) - start
    sides = ends[..., 0] * direction[1] - ends[..., 1] * direction[0]
    return int((sides[:, 0] * sides[:, 1] <= 0).sum())


def _furthest(places: np.ndarray) -> int:
    """Return by how many places the most misplaced chord is away from its own."""
    return int(np.abs(places - np.arange(len(places))).max())


def _lengths(segments: np.ndarray) -> np.ndarray:
    """Return the lengths (N,) of segments (N, 4)."""
    lengths: np.ndarray = np.hypot(*(segments[:, 2:] - segments[:, :2]).T)
    return lengths


def _why_too_small(segments: np.ndarray, size: tuple[int, int]) -> str:
    """Say why rows trace what is smaller than any ventricle, or ''.

    The area is the long axis times the mean chord. Of a contour that crosses itself, it does not
    cancel as an enclosed area does.

    Args:
        segments: 21 x 4: the long axis, then the chords.
        size: (height, width) of the picture, in pixels.
    """
    height, width = size
    lengths = _lengths(segments)
    axis = lengths[0]
    covered = axis * lengths[1:].mean()
    shortest = SHORTEST_SHARE * min(size)
    smallest = SMALLEST_SHARE * height * width
    if axis >= shortest and covered >= smallest:
        return ""
    return (
        f"its long axis has {axis:.3g} pixels and it covers {covered:.3g} square pixels, less than "
        f"any ventricle in a picture of {width} x {height} (at least {shortest:.3g} and "
        f"{smallest:.3g}); are the coordinates in other units? valid: pixels"
    )


def _why_out_of_sight(points: np.ndarray, size: tuple[int, int]) -> str:
    """Say why a contour is not that of a ventricle in the picture, or ''.

    Args:
        points: 40 x 2, the contour.
        size: (height, width) of the picture, in pixels.
    """
    height, width = size
    x, y = points.mean(0)
    if 0 <= x <= width and 0 <= y <= height:
        return ""
    return (
        f"the middle of its contour ({x:.4g}, {y:.4g}) is outside the picture of {width} x "
        f"{height} pixels; are the coordinates of another picture, or in other units?"
    )
