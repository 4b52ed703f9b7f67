"""A phantom of EchoNet-Pediatric: two views of beating ventricles, traced by polygons.

In ``PSAX`` the ventricle is round, in ``A4C`` it is that of the other phantoms. EF follows from the
method of disks on the drawn contour. A polygon has 12 to 41 of the contour's points. In some videos
one phase is not traced, which the tables say as the real ones do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from echolm.datasets.echonet_files import FILE_LIST, PATIENT, VIDEOS
from echolm.datasets.phantom.anatomy import (
    Motion,
    Sector,
    Ventricle,
    disk_volume,
    draw_ejection,
    draw_heart,
    draw_motion,
    trace,
)
from echolm.datasets.phantom.folder import phantom_folder, write_table, write_video
from echolm.datasets.phantom.image import draw_view, render
from echolm.datasets.polygon_tracings import COLUMNS as TRACING_COLUMNS
from echolm.datasets.volume_tracings import TRACINGS
from echolm.geometry import contour_from_chords
from echolm.progress import ProgressBar
from echolm.randomness import word

COLUMNS = ("FileName", "EF", "Sex", "Age", "Weight", "Height", "Split")
VIEWS = ("A4C", "PSAX")
FOLDS = 10
SIZE = 112
"""Pixels of a side."""
RATES = (30, 50, 50, 60)
"""Frames per second to draw from."""
NOT_TRACED = 0.1
"""Share of the videos in which a phase is not traced."""
FEWEST_POINTS = 12
VERSION = 1
"""Raised when the same seed gives another phantom."""


@dataclass(frozen=True)
class _Child:
    """A patient: sex, years, kilograms, centimetres, ejection fraction of 1, and a fold."""

    sex: str
    age: int
    weight: float
    height: float
    ejection: float
    fold: int


def generate_pediatric(
    root: Path, items: int, seed: int = 0, clips_per_patient: int = 1, progress: bool = False
) -> None:
    """Write ``items`` videos of each view, and their tables.

    The same arguments give the same files, byte for byte. Stopped, the same call continues.

    Args:
        root: a new or empty folder.
        items: how many videos of each view.
        seed: what all draws come from.
        clips_per_patient: videos of one child in each view. With more than one, the tables have the
            column ``Patient``.
        progress: whether to show a progress bar on a terminal.

    Raises:
        EchoLMError: ``root`` holds other files or cannot be written, or a number is out of range.
    """
    root = Path(root)
    made_by: dict[str, Any] = {
        "dataset": "echonet-pediatric",
        "items": items,
        "seed": seed,
        "clips_per_patient": clips_per_patient,
        "version": VERSION,
    }
    with (
        phantom_folder(root, made_by, f"{VIEWS[-1]}/{FILE_LIST}"),
        ProgressBar("drawing", "clips", items * len(VIEWS), hidden=not progress) as bar,
    ):
        for view in VIEWS:
            _write_view(root, view, made_by, bar)


def _write_view(root: Path, view: str, made_by: dict[str, Any], bar: ProgressBar) -> None:
    """Write the videos of one view, then its tables, the file list last."""
    seed = made_by["seed"]
    clips = made_by["clips_per_patient"]
    patients = -(-made_by["items"] // clips)
    files = []
    tracings: list[list[Any]] = []
    folder = root / view
    (folder / VIDEOS).mkdir(parents=True, exist_ok=True)
    for number in range(made_by["items"]):
        patient = number // clips
        child = _draw_child(seed, patient, patients)
        name = f"CR{word('child', seed, patient):016x}-{view}-{number:06d}.avi"
        ef, rows = _write_clip(folder / VIDEOS / name, child, view, (seed, patient, number))
        row = [name, ef, child.sex, child.age, child.weight, child.height, child.fold]
        if clips > 1:
            row.append(f"P{patient:05d}")
        files.append(row)
        tracings += rows
        bar.advance()
    columns = [*COLUMNS, PATIENT] if clips > 1 else COLUMNS
    write_table(folder / TRACINGS, TRACING_COLUMNS, tracings)
    write_table(folder / FILE_LIST, columns, files)


def _draw_child(seed: int, number: int, children: int) -> _Child:
    """Draw a patient. Folds are as equal as can be."""
    rng = np.random.default_rng([seed, 1, number])
    age = int(rng.integers(0, 19))
    height = round(50 + 100 * (age / 14) ** 0.75 * rng.uniform(0.9, 1.1), 1)
    mass_index = rng.uniform(14, 22)
    folds = np.random.default_rng([seed, 0]).permutation(children) % FOLDS
    return _Child(
        sex=str(rng.choice(["F", "M"])),
        age=age,
        weight=round(float(mass_index) * (height / 100) ** 2, 1),
        height=height,
        ejection=draw_ejection(rng),
        fold=int(folds[number]),
    )


def _write_clip(
    path: Path, child: _Child, view: str, key: tuple[int, int, int]
) -> tuple[float, list[list[Any]]]:
    """Write one video.

    Args:
        path: the file.
        child: the patient.
        view: one of ``VIEWS``.
        key: seed, number of the patient and number of the video: what draws come from.

    Returns:
        EF in percent, and the rows of its tracings.
    """
    seed, patient, number = key
    rng = np.random.default_rng([seed, 2, VIEWS.index(view), number])
    sector = Sector(x=(SIZE - 1) / 2, y=1.5, half_angle=float(rng.uniform(0.7, 0.8)), depth=108)
    heart = draw_heart(np.random.default_rng([seed, 3, patient]), sector, 1.0)
    if view == "PSAX":
        heart = _round(heart)
    fps = int(rng.choice(RATES))
    motion = draw_motion(rng, heart, child.ejection, fps)
    look = draw_view(rng)
    if view == "PSAX":  # no atria below, and the right ventricle is beside
        look = replace(look, atrium=0.05)
    rows = _trace(rng, path.name, heart, motion)
    volumes = {}
    for frame in (motion.ed, motion.es):
        volumes[frame] = disk_volume(trace(heart, motion, frame))
    pictures = np.random.default_rng([seed, 4, VIEWS.index(view), number])
    write_video(path, lambda: render(pictures, sector, heart, motion, look, SIZE), fps)
    return round(100 * (1 - volumes[motion.es] / volumes[motion.ed]), 4), rows


def _round(heart: Ventricle) -> Ventricle:
    """Return a ventricle that looks round, in the middle of the same one."""
    middle = np.array(heart.apex) + heart.along * heart.length / 2
    length = 2.2 * heart.radius
    apex = middle - heart.along * length / 2
    return replace(
        heart,
        apex=(float(apex[0]), float(apex[1])),
        length=length,
        belly=0.5,
        annulus=0.2,
        bend=0.0,
    )


def _trace(
    rng: np.random.Generator, name: str, heart: Ventricle, motion: Motion
) -> list[list[Any]]:
    """Trace both phases by polygons, or one phase and the text that the other is missing."""
    skipped = None
    if rng.random() < NOT_TRACED:
        skipped = str(rng.choice(["No Systolic", "No Diastolic"]))
    rows: list[list[Any]] = []
    for frame, text in ((motion.ed, "No Diastolic"), (motion.es, "No Systolic")):
        points = _polygon(rng, heart, motion, frame)
        for x, y in points.round(4).tolist():
            rows.append([name, x, y, text if text == skipped else frame])
    return rows


def _polygon(rng: np.random.Generator, heart: Ventricle, motion: Motion, frame: int) -> np.ndarray:
    """Return the apex and some points of a frame's contour, in their order: N x 2."""
    segments = trace(heart, motion, frame)
    contour = contour_from_chords(segments)
    kept = int(rng.integers(FEWEST_POINTS - 1, len(contour) + 1))
    chosen = np.linspace(0, len(contour) - 1, kept).round().astype(np.intp)
    return np.vstack([segments[:1, :2], contour[chosen]])
