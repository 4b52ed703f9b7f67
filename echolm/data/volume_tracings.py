"""EchoNet-Dynamic's tracings: rows of ``VolumeTracings.csv`` -> landmarks of the ED and the ES frame.

A frame is traced by 21 rows (x1, y1, x2, y2): the long axis, then 20 chords from the apex to the mitral plane, in
pixels of the video. Frame numbers count from 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from echolm.data.tables import Row, RowError, read_rows
from echolm.geometry import ROWS, area, contour_from_chords

TRACINGS = "VolumeTracings.csv"
POINTS = ("X1", "Y1", "X2", "Y2")
COLUMNS = ("FileName", *POINTS, "Frame")
SMALLEST_AREA = 1e-6
"""Pixels squared; a contour must enclose more."""
MARGIN = 1.0
"""How far outside the frame a traced point may lie, in sides of the frame. Readers do trace a little beyond the picture; but
a ventricle that is in the picture, and no larger than it, ends within one side of its edge. What lies further is a typing
error, other units, or damage."""


class TracingError(ValueError):
    """Why the tracing of a sample cannot be used, and the line (None: it has none) where that shows."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass
class Traced:
    """The rows of one sample in file order, by frame, and their lines."""

    frames: dict[int, list[list[float]]] = field(default_factory=dict)
    lines: dict[int, list[int]] = field(default_factory=dict)
    line: int = 0
    error: TracingError | None = None

    def add(self, row: Row) -> None:
        """Take one row; RowError when a cell is not a number."""
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


def sample_id(name: str) -> str:
    """``FileName`` without ``.avi``: releases differ in whether they write it."""
    return name[:-4] if name.lower().endswith(".avi") else name


def read_tracings(path: Path) -> dict[str, Traced]:
    """All rows by sample. A row that cannot be read is kept as its sample's ``error``."""
    samples: dict[str, Traced] = {}
    for row, reason in read_rows(path, COLUMNS):
        traced = samples.setdefault(sample_id(row["FileName"]), Traced(line=row.line))
        try:
            if reason:
                raise RowError(reason)
            traced.add(row)
        except RowError as error:
            traced.error = traced.error or TracingError(row.line, str(error))
    return samples


def phases(traced: Traced, frame_count: int, size: tuple[int, int]) -> Phases:
    """ED and ES of one sample: of its two traced frames, ED is the one of larger area (NLDL 2026 §3.1).

    Equal areas: the earlier frame is ED. TracingError unless exactly two frames inside the video are traced, both by
    exactly 21 rows that enclose an area and lie within ``MARGIN`` of a picture of ``size`` (height, width).
    """
    if traced.error:
        raise traced.error
    if len(traced.frames) != 2:
        numbers = ", ".join(map(str, traced.frames)) or "none"
        raise TracingError(traced.line, f"needs exactly two traced frames, has {len(traced.frames)} ({numbers})")
    points = {frame: _landmarks(traced, frame, frame_count, size) for frame in sorted(traced.frames)}
    ed, es = sorted(points, key=lambda frame: -float(area(points[frame])))
    return Phases(ed, es, points[ed], points[es])


def _landmarks(traced: Traced, frame: int, frame_count: int, size: tuple[int, int]) -> np.ndarray:
    rows, lines = traced.frames[frame], traced.lines[frame]
    if len(rows) != ROWS:
        raise TracingError(lines[0], f"frame {frame} is traced by {len(rows)} rows, not {ROWS}")
    if not 0 <= frame < frame_count:
        raise TracingError(lines[0], f"traced frame {frame} is outside the video's {frame_count} frames")
    _check_inside(rows, lines, size)
    points = contour_from_chords(rows).astype(np.float32)
    if not area(points) > SMALLEST_AREA:
        raise TracingError(lines[0], f"the contour of frame {frame} encloses no area")
    return points


def _check_inside(rows: list[list[float]], lines: list[int], size: tuple[int, int]) -> None:
    """TracingError at the first point that lies too far outside the picture."""
    height, width = size
    sides = np.array([width, height, width, height])
    outside = np.argwhere(~((np.array(rows) >= -MARGIN * sides) & (np.array(rows) <= (1 + MARGIN) * sides)))
    if len(outside):
        row, column = outside[0]
        side = sides[column]
        valid = f"valid: {-MARGIN * side:g} to {(1 + MARGIN) * side:g}"
        raise TracingError(lines[row], f"{POINTS[column]} is {rows[row][column]:g}, far outside the picture of {side} pixels; {valid}")
