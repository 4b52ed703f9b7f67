"""EchoNet-LVH's calipers: rows of ``MeasurementsList.csv`` -> the measurements of each video.

A row is one caliper: what it measures, its length, the frame (counted from 0, by usual reading) and
its two ends (X1, Y1) and (X2, Y2), in pixels of the video. The file has the columns in the order
X1, X2, Y1, Y2. They are found by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot
from pathlib import Path
from typing import Literal

import numpy as np

from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.datasets.echonet_files import is_file_name, sample_id
from echolm.datasets.scan import Problem

MEASUREMENTS = "MeasurementsList.csv"
POINTS = ("X1", "X2", "Y1", "Y2")
COLUMNS = (
    "HashedFileName",
    "Calc",
    "CalcValue",
    "Frame",
    *POINTS,
    "Frames",
    "FPS",
    "Width",
    "Height",
    "split",
)
CALCULATIONS = ("IVSd", "LVIDd", "LVPWd", "LVIDs")
"""Septum, inner diameter and posterior wall at end-diastole, inner diameter at end-systole."""
Unit = Literal["cm", "mm"]
PER_CM = {"cm": 1.0, "mm": 10.0}
LONGEST = 15.0
"""cm. No wall or diameter of a left ventricle is longer."""
SPREAD = 0.2
"""Part by which the cm a pixel of a video's calipers may differ from their median.

A video has one scale, so they are equal but for the rounding of ends to whole pixels. That is 10 %
of a wall of ten pixels.
"""


@dataclass(frozen=True)
class Caliper:
    """One measurement.

    Attributes:
        name: one of ``CALCULATIONS``.
        length: in cm.
        pixels: the distance of its ends.
        frame: number of the frame.
        line: of its row.
    """

    name: str
    length: float
    pixels: float
    frame: int
    line: int

    @property
    def scale(self) -> float:
        """Cm a pixel."""
        return self.length / self.pixels


@dataclass
class MeasuredVideo:
    """The rows of one video.

    Attributes:
        rows: all of them.
        calipers: those that can be read, in the order of the file.
        notes: why others cannot.
    """

    rows: list[CsvRow] = field(default_factory=list)
    calipers: list[Caliper] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def values(self) -> dict[str, float | int]:
        """Return ``ivsd``, ``lvidd``, ... (cm) and ``ivsd_frame``, ...: a name -> its value.

        Of several calipers of one name, the length is their mean, and the frame that of the first
        in the file.
        """
        values: dict[str, float | int] = {}
        for name in CALCULATIONS:
            calipers = [caliper for caliper in self.calipers if caliper.name == name]
            if calipers:
                lengths = [caliper.length for caliper in calipers]
                values[name.lower()] = float(np.mean(lengths))
                values[f"{name.lower()}_frame"] = calipers[0].frame
        return values

    def contradiction(self) -> Caliper | None:
        """Return the caliper whose scale is furthest from the others', if that is too far.

        Two calipers contradict each other alike. The later one is returned.
        """
        if len(self.calipers) < 2:
            return None
        scales = np.array([caliper.scale for caliper in self.calipers])
        away = np.abs(scales / np.median(scales) - 1)
        furthest = int(len(away) - 1 - away[::-1].argmax())
        return self.calipers[furthest] if away[furthest] > SPREAD else None


def read_measurements(root: Path, unit: Unit) -> tuple[dict[str, MeasuredVideo], list[Problem]]:
    """Read all rows by sample.

    Args:
        root: the dataset's folder.
        unit: of ``CalcValue``.

    Returns:
        The videos, and a problem for each row that names no file.

    Raises:
        EchoLMError: the file cannot be read, or its header lacks a column.
    """
    videos: dict[str, MeasuredVideo] = defaultdict(MeasuredVideo)
    problems = []
    for row, reason in read_rows(root / MEASUREMENTS, COLUMNS):
        sample = sample_id(row["HashedFileName"])
        if not is_file_name(sample):
            reason = f"HashedFileName {row['HashedFileName']!r} is not the name of a file"
            problems.append(Problem(MEASUREMENTS, row.line, sample, reason))
            continue
        video = videos[sample]
        video.rows.append(row)
        try:
            if reason:
                raise RowError(reason)
            video.calipers.append(_caliper(row, unit))
        except RowError as error:
            video.notes.append(Problem(MEASUREMENTS, row.line, sample, str(error)))
    return videos, problems


def _caliper(row: CsvRow, unit: Unit) -> Caliper:
    """Read one row. RowError: it is no measurement."""
    name = row["Calc"]
    if name not in CALCULATIONS:
        raise RowError(f"Calc is {name!r}; valid: {', '.join(CALCULATIONS)}")
    length = row.number("CalcValue") / PER_CM[unit]
    if not 0 < length <= LONGEST:
        most = LONGEST * PER_CM[unit]
        raise RowError(f"CalcValue is {row['CalcValue']!r}; valid: above 0, up to {most:g} {unit}")
    frame = row.integer("Frame")
    count = row.integer("Frames")
    if not 0 <= frame < count:
        raise RowError(f"Frame {frame} is outside the video's {count} frames")
    x1, x2, y1, y2 = (row.number(column) for column in POINTS)
    _check_inside(row, (x1, x2), "Width")
    _check_inside(row, (y1, y2), "Height")
    pixels = hypot(x2 - x1, y2 - y1)
    if pixels == 0:
        raise RowError(f"both ends of the caliper are at ({x1:g}, {y1:g})")
    return Caliper(name, length, pixels, frame, row.line)


def _check_inside(row: CsvRow, ends: Sequence[float], side: str) -> None:
    """Raise RowError when an end lies outside the picture, whose ``side`` the row states."""
    size = row.integer(side)
    for end in ends:
        if not 0 <= end <= size:
            letter = "X" if side == "Width" else "Y"
            raise RowError(f"{letter} of an end is {end:g}, outside the {side.lower()} of {size}")
