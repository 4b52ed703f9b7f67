"""Tables in EchoNet-Pediatric's layout that tests can damage before they are written."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ["FileName", "EF", "Sex", "Age", "Weight", "Height", "Split"]
TRACINGS = ["FileName", "X", "Y", "Frame"]


def circle(name: str, frame: object, radius: float, points: int) -> list[dict[str, Any]]:
    """The rows of a polygon around the middle of the picture."""
    angles = np.arange(points) * 2 * np.pi / points
    rows = []
    for x, y in zip(56 + radius * np.cos(angles), 56 + radius * np.sin(angles), strict=True):
        rows.append({"FileName": name, "X": float(x), "Y": float(y), "Frame": frame})
    return rows


@dataclass
class View:
    """Rows of the tables of one view."""

    files: list[dict[str, Any]] = field(default_factory=list)
    tracings: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, fold: int, ed: object = 5, es: object = 12) -> None:
        """A video, with polygons of 30 and 17 points."""
        values = (name, 60.0, "F", 7, 22.5, 120.0, fold)
        self.files.append(dict(zip(COLUMNS, values, strict=True)))
        self.tracings += circle(name, ed, 20.0, 30) + circle(name, es, 15.0, 17)


@dataclass
class Pediatric:
    """Both views. ``write`` writes the tables, and empty files as videos."""

    root: Path
    views: dict[str, View] = field(default_factory=dict)

    def write(self, inner: str = "") -> Path:
        for name, view in self.views.items():
            folder = self.root / inner / name
            (folder / "Videos").mkdir(parents=True, exist_ok=True)
            for row in view.files:
                (folder / "Videos" / row["FileName"]).touch()
            tables = (("FileList.csv", view.files), ("VolumeTracings.csv", view.tracings))
            for table, rows in tables:
                columns = list(rows[0]) if rows else COLUMNS
                with open(folder / table, "w", newline="") as file:
                    writer = csv.DictWriter(file, columns)
                    writer.writeheader()
                    writer.writerows(rows)
        return self.root


def ten_folds(root: Path) -> Pediatric:
    """Ten videos of A4C, one a fold, and twenty of PSAX."""
    dataset = Pediatric(root, {"A4C": View(), "PSAX": View()})
    for number in range(10):
        dataset.views["A4C"].add(f"CR{number:02d}.avi", number)
    for number in range(20):
        dataset.views["PSAX"].add(f"CR{number:02d}.avi", number % 10)
    return dataset
