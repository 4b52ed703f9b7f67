"""A small data set in EchoNet-Dynamic's layout that tests can damage before it is written."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echolm.datasets.phantom.generate import write_mjpeg

FILE_COLUMNS = [
    "FileName",
    "EF",
    "ESV",
    "EDV",
    "FrameHeight",
    "FrameWidth",
    "FPS",
    "NumberOfFrames",
    "Split",
]
TRACING_COLUMNS = ["FileName", "X1", "Y1", "X2", "Y2", "Frame"]


def pixels(sample: str, frames: int) -> np.ndarray:
    """Smooth pictures that differ between samples and frames: frames x 112 x 112."""
    rng = np.random.default_rng(int(hashlib.sha256(sample.encode()).hexdigest()[:8], 16))
    coarse = rng.integers(0, 256, (frames, 14, 14), np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def tracing(name: str, frame: int, width: float) -> list[dict[str, Any]]:
    """21 rows: an axis from (50, 20) to (50, 80), and 20 chords of one width."""
    chords = [(50 - width / 2, y, 50 + width / 2, y) for y in np.linspace(21, 79, 20).tolist()]
    rows = [(50.0, 20.0, 50.0, 80.0), *chords]
    return [dict(zip(TRACING_COLUMNS, (name, *row, frame), strict=True)) for row in rows]


@dataclass
class Dataset:
    """Rows of both tables; ``add`` appends a sound video, ``write`` writes the tables."""

    root: Path
    files: list[dict[str, Any]] = field(default_factory=list)
    tracings: list[dict[str, Any]] = field(default_factory=list)
    file_columns: list[str] = field(default_factory=lambda: list(FILE_COLUMNS))
    tracing_columns: list[str] = field(default_factory=lambda: list(TRACING_COLUMNS))

    def add(
        self,
        sample: str,
        split: str = "TRAIN",
        ed: int = 2,
        es: int = 9,
        frames: int = 12,
        **more: Any,
    ) -> None:
        video = self.root / "Videos" / f"{sample}.avi"
        video.parent.mkdir(parents=True, exist_ok=True)
        write_mjpeg(video, pixels(sample, frames), 50)
        values = (sample, 60.0, 40.0, 100.0, 112, 112, 50, frames, split)
        self.files.append(dict(zip(FILE_COLUMNS, values, strict=True)) | more)
        self.tracings += tracing(f"{sample}.avi", ed, 30.0) + tracing(f"{sample}.avi", es, 20.0)

    def write(self, encoding: str = "utf-8") -> Path:
        for name, columns, rows in (
            ("FileList.csv", self.file_columns, self.files),
            ("VolumeTracings.csv", self.tracing_columns, self.tracings),
        ):
            with open(self.root / name, "w", encoding=encoding, newline="") as file:
                table = csv.DictWriter(file, columns)
                table.writeheader()
                table.writerows(rows)
        return self.root


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four sound videos: two of train, one of val, one of test."""
    dataset = Dataset(tmp_path / "source")
    for sample, split in (("0XA1", "TRAIN"), ("0XA2", "VAL"), ("0XA3", "TEST"), ("0XA4", "TRAIN")):
        dataset.add(sample, split)
    return dataset


@pytest.fixture(scope="session")
def phantom_root(tiny: Path) -> Path:
    """A phantom of 24 clips, seed 0, which is only read."""
    return tiny / "source"


@pytest.fixture
def new_dataset() -> Callable[[Path], Dataset]:
    """Makes an empty Dataset at a path."""
    return Dataset


@pytest.fixture
def pictures() -> Callable[[str, int], np.ndarray]:
    """``pixels``."""
    return pixels
