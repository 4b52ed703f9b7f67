"""A phantom of EchoNet-LVH: parasternal long-axis views whose walls are measured by calipers.

The long axis of the ventricle lies across the picture, the right ventricle above. Calipers cross it
at its largest width. Lengths are true: of the drawn wall and cavity, in centimetres. Videos have
different sizes and frame counts, not all are measured at end-systole, and some are measured twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echolm.datasets.phantom.anatomy import (
    CM_PER_PIXEL,
    Motion,
    Sector,
    Ventricle,
    draw_ejection,
    draw_motion,
)
from echolm.datasets.phantom.folder import phantom_folder, write_table, write_video
from echolm.datasets.phantom.image import View, draw_view, render
from echolm.progress import ProgressBar
from echolm.randomness import word

MEASUREMENTS = "MeasurementsList.csv"
OLD_SPLIT = "hashed_index_old_split.csv"
BATCHES = 4
COLUMNS = (
    "",
    "HashedFileName",
    "Calc",
    "CalcValue",
    "Frame",
    "X1",
    "X2",
    "Y1",
    "Y2",
    "Frames",
    "FPS",
    "Width",
    "Height",
    "split",
)
"""In the order of the real table, which begins with a column of row numbers without a name."""
SIZES = ((96, 128), (112, 112), (120, 160))
"""Heights and widths in pixels to draw from."""
RATES = (30, 50, 60)
"""Frames per second to draw from."""
NO_SYSTOLE = 0.2
"""Share of the videos that are not measured at end-systole."""
MEASURED_TWICE = 0.2
SHARES = {"train": 0.8, "val": 0.1}
"""Of the patients, in the paper's split. The rest is test."""
VERSION = 1
"""Raised when the same seed gives another phantom."""


def generate_lvh(
    root: Path, items: int, seed: int = 0, clips_per_patient: int = 1, progress: bool = False
) -> None:
    """Write ``items`` videos and the tables.

    The same arguments give the same files, byte for byte. Stopped, the same call continues.

    Args:
        root: a new or empty folder.
        items: how many videos.
        seed: what all draws come from.
        clips_per_patient: videos of one heart, which are in one split. The tables name no patients.
        progress: whether to show a progress bar on a terminal.

    Raises:
        EchoLMError: ``root`` holds other files or cannot be written, or a number is out of range.
    """
    root = Path(root)
    made_by: dict[str, Any] = {
        "dataset": "echonet-lvh",
        "items": items,
        "seed": seed,
        "clips_per_patient": clips_per_patient,
        "version": VERSION,
    }
    patients = -(-items // clips_per_patient)
    rows: list[list[Any]] = []
    old = []
    with (
        phantom_folder(root, made_by, MEASUREMENTS),
        ProgressBar("drawing", "clips", items, hidden=not progress) as bar,
    ):
        splits = _splits(patients, seed, [0.6, 0.2])
        old_splits = _splits(patients, seed, list(SHARES.values()))
        for batch in range(BATCHES):
            (root / f"Batch{batch + 1}").mkdir(exist_ok=True)
        for number in range(items):
            patient = number // clips_per_patient
            clip = _draw_clip(seed, patient, number)
            folder = root / f"Batch{number % BATCHES + 1}"
            write_video(folder / f"{clip.name}.avi", clip.draw, clip.fps)
            for row in clip.measure():
                rows.append([len(rows), *row, splits[patient]])
            old.append([number, clip.name, old_splits[patient]])
            bar.advance()
        write_table(root / OLD_SPLIT, ("", "HashedFileName", "split"), old)
        write_table(root / MEASUREMENTS, COLUMNS, rows)


def _splits(patients: int, seed: int, shares: list[float]) -> list[str]:
    """Draw a split for each patient. The shares are of train and val, the rest is test."""
    held_out = max(1, round((1 - sum(shares)) * patients)) if patients >= 3 else 0
    validated = max(1, round(shares[1] * patients)) if patients >= 3 else 0
    trained = patients - held_out - validated
    names = np.array(["val"] * validated + ["test"] * held_out + ["train"] * trained)
    return [str(name) for name in np.random.default_rng([seed, 0]).permutation(names)]


@dataclass(frozen=True, eq=False)
class _Clip:
    """What a video shows.

    Attributes:
        name: of its file, without ``.avi``.
        size: (height, width) in pixels.
        sector: the scanned field, in a square picture.
        heart: at end-diastole.
        motion: the heart in each frame.
        view: how it looks.
        fps: frames per second.
        key: what further draws come from.
    """

    name: str
    size: tuple[int, int]
    sector: Sector
    heart: Ventricle
    motion: Motion
    view: View
    fps: int
    key: tuple[int, int]

    def draw(self) -> np.ndarray:
        """Return the frames: T x H x W uint8."""
        height, width = self.size
        rng = np.random.default_rng([self.key[0], 3, self.key[1]])
        square = render(rng, self.sector, self.heart, self.motion, self.view, height)
        margin = (width - height) // 2
        # Drawn with the apex to the right; in this view it is to the left.
        return np.pad(square[:, :, ::-1], ((0, 0), (0, 0), (margin, margin)))

    def measure(self) -> list[list[Any]]:
        """Return the rows of the table of measurements, without row number and split."""
        rng = np.random.default_rng([self.key[0], 4, self.key[1]])
        measured = [("IVSd", self.motion.ed), ("LVIDd", self.motion.ed), ("LVPWd", self.motion.ed)]
        if rng.random() >= NO_SYSTOLE:
            measured.append(("LVIDs", self.motion.es))
        if rng.random() < MEASURED_TWICE:
            measured.append(("LVIDd", self.motion.ed))
        rows = []
        for name, frame in measured:
            rows.append(self._row(name, frame))
        return rows

    def _row(self, name: str, frame: int) -> list[Any]:
        """Return one caliper, whose ends are rounded to hundredths of a pixel."""
        height, width = self.size
        ends = self._ends(name, frame)
        ends[:, 0] = height - 1 - ends[:, 0] + (width - height) // 2
        ends = ends.round(2)
        pixels = float(np.hypot(*(ends[1] - ends[0])))
        length = round(pixels * CM_PER_PIXEL * 112 / height, 4)
        (x1, y1), (x2, y2) = ends.tolist()
        count = len(self.motion.length)
        return [self.name, name, length, frame, x1, x2, y1, y2, count, self.fps, width, height]

    def _ends(self, name: str, frame: int) -> np.ndarray:
        """Return the ends of a caliper, 2 x 2, in pixels of the square picture."""
        heart, motion = self.heart, self.motion
        half = float(motion.radius[frame])
        unit = self.size[0] / 112
        wall = self.view.thickness * unit * (1 + 0.35 * float(motion.contraction[frame]))
        across = {
            "IVSd": (-half - wall, -half),
            "LVIDd": (-half, half),
            "LVIDs": (-half, half),
            "LVPWd": (half, half + wall),
        }
        middle = motion.apex[frame] + heart.belly * motion.length[frame] * heart.along
        bend = heart.bend * motion.length[frame] * 4 * heart.belly * (1 - heart.belly)
        ends = [middle + (bend + distance) * heart.across for distance in across[name]]
        return np.array(ends)


def _draw_clip(seed: int, patient: int, number: int) -> _Clip:
    """Draw the heart of a patient, beating in one video."""
    anatomy = np.random.default_rng([seed, 1, patient])
    rng = np.random.default_rng([seed, 2, number])
    height, width = SIZES[int(rng.integers(len(SIZES)))]
    unit = height / 112
    sector = Sector(x=(height - 1) / 2, y=1.5 * unit, half_angle=0.78, depth=108 * unit)
    heart = _draw_lying_heart(anatomy, unit)
    fps = int(rng.choice(RATES))
    return _Clip(
        name=f"0X{word('lvh', seed, number):016X}",
        size=(height, width),
        sector=sector,
        heart=heart,
        motion=draw_motion(rng, heart, draw_ejection(anatomy), fps),
        view=draw_view(rng),
        fps=fps,
        key=(seed, number),
    )


def _draw_lying_heart(rng: np.random.Generator, unit: float) -> Ventricle:
    """Draw a ventricle whose long axis lies across the picture, its apex to the right."""
    tilt = np.deg2rad(rng.uniform(-100, -80))
    length = 46 * unit * rng.uniform(0.85, 1.15)
    centre = np.array([54, 62]) * unit + rng.uniform(-3, 3, 2) * unit
    along = np.array([np.sin(tilt), np.cos(tilt)])
    apex = centre - length / 2 * along
    return Ventricle(
        apex=(float(apex[0]), float(apex[1])),
        tilt=float(tilt),
        length=length,
        radius=length * rng.uniform(0.3, 0.4),
        belly=rng.uniform(0.52, 0.68),
        annulus=rng.uniform(0.66, 0.86),
        bend=rng.uniform(-0.04, 0.04),
    )
