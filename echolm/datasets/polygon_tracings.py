"""EchoNet-Pediatric's tracings: rows of ``VolumeTracings.csv`` -> phases and their areas.

A frame is traced by a polygon, one point (X, Y) a row, in pixels of the video. Polygons have any
number of points. ``Frame`` counts from 0. It is the text "No Systolic" or "No Diastolic" where a
video has no tracing of that phase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.datasets.echonet_files import sample_id
from echolm.datasets.volume_tracings import MARGIN, SMALLEST_SHARE, TracingError
from echolm.geometry import area

COLUMNS = ("FileName", "X", "Y", "Frame")
NO_PHASE = {"no systolic": "es", "no diastolic": "ed"}
"""What ``Frame`` says in lower case -> the phase that is not traced."""
SIDE = 112
"""Pixels of a side of every video."""
FEWEST_POINTS = 3


@dataclass
class PolygonRows:
    """The rows of one video.

    Attributes:
        frames: frame number -> its points (x, y), in file order.
        lines: frame number -> the line of its first row.
        missing: the phases of which the rows say that they are not traced.
        line: the line of the video's first row.
        error: why a row of it could not be read.
    """

    frames: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    line: int = 0
    error: TracingError | None = None

    def add(self, row: CsvRow) -> None:
        """Take one row. RowError: a cell is not a number."""
        phase = NO_PHASE.get(row["Frame"].lower())
        if phase:
            self.missing.add(phase)
            return
        frame = row.integer("Frame")
        point = (row.number("X"), row.number("Y"))
        self.frames.setdefault(frame, []).append(point)
        self.lines.setdefault(frame, row.line)


@dataclass(frozen=True)
class TracedAreas:
    """The phases that are traced. A phase that is not is None.

    Attributes:
        ed: number of the end-diastolic frame.
        es: number of the end-systolic frame.
        area_ed: what the polygon encloses at end-diastole, in square pixels.
        area_es: likewise, at end-systole.
    """

    ed: int | None = None
    es: int | None = None
    area_ed: float | None = None
    area_es: float | None = None


def read_polygons(path: Path) -> dict[str, PolygonRows]:
    """Read all rows by sample. A row that cannot be read is kept as its sample's ``error``."""
    samples: dict[str, PolygonRows] = {}
    for row, reason in read_rows(path, COLUMNS):
        traced = samples.setdefault(sample_id(row["FileName"]), PolygonRows(line=row.line))
        try:
            if reason:
                raise RowError(reason)
            traced.add(row)
        except RowError as error:
            traced.error = traced.error or TracingError(row.line, str(error))
    return samples


def traced_areas(traced: PolygonRows) -> TracedAreas:
    """Decide which traced frame is of which phase: of two, ED is the one of larger area.

    Of equal areas, the earlier frame is ED. A single frame is of the phase that no row calls
    missing.

    Raises:
        TracingError: frames and missing phases are not two together, or a polygon is not that of
            a ventricle in the picture.
    """
    if traced.error:
        raise traced.error
    count = len(traced.frames)
    if count + len(traced.missing) != 2 or not count:
        raise TracingError(traced.line, _describe(traced))
    areas = {frame: _area(traced, frame) for frame in sorted(traced.frames)}
    if traced.missing == {"es"}:
        [(ed, area_ed)] = areas.items()
        return TracedAreas(ed=ed, area_ed=area_ed)
    if traced.missing == {"ed"}:
        [(es, area_es)] = areas.items()
        return TracedAreas(es=es, area_es=area_es)
    first, second = areas
    if areas[first] >= areas[second]:
        return TracedAreas(first, second, areas[first], areas[second])
    return TracedAreas(second, first, areas[second], areas[first])


def _describe(traced: PolygonRows) -> str:
    """Say which frames are traced instead of two."""
    numbers = ", ".join(str(frame) for frame in sorted(traced.frames)) or "none"
    reason = f"needs two traced frames, has {len(traced.frames)} ({numbers})"
    names = {"es": "No Systolic", "ed": "No Diastolic"}
    said = [names[phase] for phase in sorted(traced.missing)]
    return f"{reason}, and says {' and '.join(said)}" if said else reason


def _area(traced: PolygonRows, frame: int) -> float:
    """Return the area of a frame's polygon. TracingError: it can be no ventricle's."""
    points = np.array(traced.frames[frame])
    line = traced.lines[frame]
    if frame < 0:
        raise TracingError(line, f"traced frame {frame} is below 0")
    if len(points) < FEWEST_POINTS:
        raise TracingError(
            line, f"frame {frame} is traced by {len(points)} points; a polygon has 3 or more"
        )
    least = -MARGIN * SIDE
    most = (1 + MARGIN) * SIDE
    outside = points[(points < least) | (points > most)]
    if len(outside):
        raise TracingError(
            line,
            f"frame {frame}: a point is at {outside[0]:g}, far outside the picture of {SIDE} "
            f"pixels; valid: {least:g} to {most:g}",
        )
    enclosed = float(area(points))
    smallest = SMALLEST_SHARE * SIDE**2
    if enclosed < smallest:
        raise TracingError(
            line,
            f"frame {frame}: its polygon encloses {enclosed:.3g} square pixels, less than any "
            f"ventricle (at least {smallest:.3g}); are the coordinates in other units?",
        )
    return enclosed
