"""A phantom of TMED-2: studies of still pictures in its layout, with the tables of three folds.

A picture is one frame of a beating ventricle. In parasternal views (PLAX, PSAX) it has a valve, a
spot at the base that opens and closes. The severer the stenosis, the brighter and thicker the spot,
and the less it opens. In all views the wall of the ventricle is the thicker and brighter, the
severer the stenosis. So severity can be learned from pictures, and from some better than from
others. It says nothing about real hearts.

The first four studies have 1, 15, 16 and 40 images, the others some number between.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from echolm.datasets.phantom.anatomy import Motion
from echolm.datasets.phantom.folder import phantom_folder, write_table
from echolm.datasets.phantom.generate import Beat, draw_beat
from echolm.datasets.phantom.image import Floats, View, draw_view, render
from echolm.datasets.tmed2_layout import COLUMNS, LABELED, SEVERITIES, VIEW_SPLIT, table_name
from echolm.progress import ProgressBar

SIZE = 112
FOLDS = (0, 1, 2)
SUBSET = "DEV479"
FIRST_COUNTS = (1, 15, 16, 40)
"""Images of the first studies."""
COUNTS = (4, 25)
"""Least and most images of the others."""
VIEWS = ("PLAX", "PSAX", "A4C", "A2C", "A4CorA2CorOther")
SHARES = (0.3, 0.25, 0.15, 0.1, 0.2)
"""How often each view is seen."""
PARASTERNAL = ("PLAX", "PSAX")
SPLIT_PATTERN = ("train", "val", "test", "train", "train")
"""Splits of five patients of one diagnosis: 60, 20 and 20 % of many."""
VERSION = 1
"""Raised when the same seed gives another phantom."""


def generate_phantom(
    root: Path, items: int, seed: int = 0, clips_per_patient: int = 1, progress: bool = False
) -> None:
    """Write ``items`` studies.

    Every diagnosis is as frequent as any other, and in every split once there are 25 patients. The
    same arguments give the same files.

    Args:
        root: a new or empty folder.
        items: how many studies.
        seed: what all draws come from.
        clips_per_patient: studies of one patient.
        progress: whether to show a progress bar on a terminal.

    Raises:
        EchoLMError: ``root`` holds other files or cannot be written, or a number is out of range.
    """
    root = Path(root)
    made_by: dict[str, Any] = {
        "dataset": "tmed-2",
        "items": items,
        "seed": seed,
        "clips_per_patient": clips_per_patient,
        "version": VERSION,
    }
    last_table = f"{SUBSET}/{table_name(FOLDS[-1])}"
    with (
        phantom_folder(root, made_by, last_table),
        ProgressBar("drawing", "examinations", items, hidden=not progress) as bar,
    ):
        (root / LABELED).mkdir(parents=True, exist_ok=True)
        (root / SUBSET).mkdir(exist_ok=True)
        ids = _patient_ids(-(-items // clips_per_patient), seed)
        rows: list[tuple[int, list[str]]] = []
        for number in range(items):
            patient, study = divmod(number, clips_per_patient)
            name = f"{ids[patient]}s{study + 1}"
            for image in _write_study(root, name, seed, patient, number):
                rows.append((patient, image))
            bar.advance()
        for fold in FOLDS:
            table = [[*image, *_splits(patient, fold)] for patient, image in rows]
            write_table(root / SUBSET / table_name(fold), (*COLUMNS, VIEW_SPLIT), table)


def _patient_ids(patients: int, seed: int) -> list[int]:
    """Draw different numbers of four digits or more."""
    rng = np.random.default_rng([seed, 0])
    drawn = rng.choice(np.arange(1000, 10_000 + 10 * patients), patients, replace=False)
    return [int(number) for number in drawn]


def _diagnosis(patient: int) -> int:
    """Return the number of a patient's diagnosis in ``SEVERITIES``."""
    return patient % len(SEVERITIES)


def _splits(patient: int, fold: int) -> tuple[str, str]:
    """Return the split of the diagnosis, and of the view, which is the same here."""
    place = patient // len(SEVERITIES) + _diagnosis(patient) + fold
    split = SPLIT_PATTERN[place % len(SPLIT_PATTERN)]
    return split, split


def _write_study(root: Path, name: str, seed: int, patient: int, number: int) -> list[list[str]]:
    """Write the pictures of a study, and return their rows of the table without the splits."""
    beat = draw_beat(seed, patient, number, SIZE)
    count = FIRST_COUNTS[number] if number < len(FIRST_COUNTS) else int(beat.rng.integers(*COUNTS))
    views = [str(view) for view in beat.rng.choice(VIEWS, count, p=SHARES)]
    grade = _diagnosis(patient)
    pictures = _draw_pictures(beat, views, grade)
    rows = []
    for image, (picture, view) in enumerate(zip(pictures, views, strict=True)):
        key = f"{name}_{image}.png"
        (root / LABELED / key).write_bytes(png(picture))
        rows.append([key, LABELED, view, list(SEVERITIES)[grade]])
    return rows


def _draw_pictures(beat: Beat, views: list[str], grade: int) -> np.ndarray:
    """Draw a picture of each view at a moment of the beat: len(views) x SIZE x SIZE uint8."""
    moments = beat.rng.integers(0, len(beat.motion.length), len(views))
    motion = _at(beat.motion, moments)
    view_of_study = _thicken(draw_view(beat.rng), grade)
    pictures = render(beat.rng, beat.sector, beat.heart, motion, view_of_study, SIZE)
    for number, view in enumerate(views):
        if view in PARASTERNAL:
            valve = _valve(beat, motion, number, grade)
            pictures[number] = np.maximum(pictures[number], valve.astype(np.uint8))
    return pictures


def _thicken(view: View, grade: int) -> View:
    """Make the wall of an appearance thicker and brighter by the grade of the stenosis."""
    return replace(
        view, thickness=view.thickness + 2.0 * grade, wall=view.wall + 0.08 * grade - 0.1
    )


def _at(motion: Motion, frames: np.ndarray) -> Motion:
    """Return the heart in some frames alone. No frame of them is known as ED or ES."""
    return Motion(
        apex=motion.apex[frames],
        length=motion.length[frames],
        radius=motion.radius[frames],
        contraction=motion.contraction[frames],
        opening=motion.opening[frames],
        ed=0,
        es=0,
    )


def _valve(beat: Beat, motion: Motion, frame: int, grade: int) -> Floats:
    """Draw the valve alone: SIZE x SIZE in 0-255.

    Two cusps lie beside the long axis at the base. They part while the ventricle ejects.

    Args:
        beat: the heart.
        motion: the heart in each frame.
        frame: which frame.
        grade: of the stenosis, 0 (none) to 4 (severe).
    """
    heart = beat.heart
    base = motion.apex[frame] + 0.92 * motion.length[frame] * heart.along
    parted = (0.5 - 0.1 * grade) * motion.contraction[frame] * motion.radius[frame]
    brightness = 60 + 48 * grade
    thickness = 2 + 1.5 * grade
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    valve = np.zeros((SIZE, SIZE), np.float32)
    for side in (-1, 1):
        centre = base + side * (2 + parted) * heart.across
        squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        valve = np.maximum(valve, brightness * np.exp(-squared / thickness**2))
    return valve.clip(0, 255)


def png(picture: np.ndarray) -> bytes:
    """Return H x W uint8 as a gray PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()
