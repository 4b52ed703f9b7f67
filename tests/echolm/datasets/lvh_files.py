"""Tables in EchoNet-LVH's layout that tests can damage before they are written."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLE, OLD = "MeasurementsList.csv", "hashed_index_old_split.csv"
ORDER = ["HashedFileName", "Calc", "CalcValue", "Frame", "X1", "X2", "Y1", "Y2", "Frames", "FPS"]
COLUMNS = [*ORDER, "Width", "Height", "split"]
CALIPERS = (("IVSd", 1.0, 5), ("LVIDd", 4.5, 5), ("LVPWd", 0.9, 5), ("LVIDs", 3.0, 12))
"""Name, cm, frame."""
PIXELS_PER_CM = 40.0


@dataclass
class Lvh:
    """Rows of the table of measurements. ``write`` writes it, and empty files as videos."""

    root: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    columns: list[str] = field(default_factory=lambda: list(COLUMNS))

    def add(self, sample: str, split: str) -> None:
        """A video with four calipers, each from (300, 100) down and to the right."""
        for name, length, frame in CALIPERS:
            x2 = 300 + 0.6 * length * PIXELS_PER_CM
            y2 = 100 + 0.8 * length * PIXELS_PER_CM
            values = (sample, name, length, frame, 300, x2, 100, y2, 60, 50, 1024, 768, split)
            self.rows.append(dict(zip(COLUMNS, values, strict=True)))

    def write(self) -> Path:
        for number, sample in enumerate(sorted({row["HashedFileName"] for row in self.rows})):
            folder = self.root / f"Batch{number % 4 + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{sample}.avi").touch()
        with open(self.root / TABLE, "w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        return self.root


def six_videos(root: Path) -> Lvh:
    """Four of train, one of val, one of test."""
    files = Lvh(root)
    for number, split in enumerate(("train", "train", "val", "test", "train", "train")):
        files.add(f"0X{number:04d}", split)
    return files
