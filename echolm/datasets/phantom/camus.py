"""A phantom of CAMUS: beating ventricles in two views at right angles, in the NIfTI layout.

A ventricle has one long axis and, in each view, a width of its own. Across the axis it is an
ellipse, so its volume is known: the integral of pi / 4 a(s) b(s) over the axis. ``truth.csv`` holds
the volumes, and the cfg the EF, to one decimal. Masks are drawn from the same contours. Pixels are
half as high as they are wide, as those of CAMUS.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echolm.datasets.camus_layout import NIFTI, PHASES, SPLIT, VIEWS
from echolm.datasets.camus_split import SUBGROUPS
from echolm.datasets.phantom.anatomy import (
    CM_PER_PIXEL,
    Motion,
    Sector,
    Ventricle,
    draw_ejection,
    draw_heart,
    draw_motion,
)
from echolm.datasets.phantom.image import draw_view, render
from echolm.datasets.scan import PHANTOM
from echolm.errors import EchoLMError, StorageError
from echolm.files import read_json, write_atomic
from echolm.progress import ProgressBar

SIZE = 112
"""Width of the pictures in pixels. They are twice as many pixels high."""
MM_PER_PIXEL = 10 * CM_PER_PIXEL
"""Width of a pixel."""
THICKNESS = 7.0
"""Of the wall in a mask, in pixels of the width."""
RATES = (41, 47, 49, 52, 55)
"""Frames per second to draw from."""
QUALITIES = ("Good", "Good", "Medium", "Medium", "Poor")
TRUTH = "truth.csv"
COLUMNS = ("patient", "edv", "esv", "ef")
VERSION = 1
"""Raised when the same seed gives another phantom."""
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _View:
    """One view of a patient.

    Attributes:
        heart: what is seen, at end-diastole.
        motion: of the frames from ED to ES, or from ES to ED.
        sector: the scanned field.
        rng: what further draws come from.
    """

    heart: Ventricle
    motion: Motion
    sector: Sector
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class _Patient:
    """A patient, and what stands in both cfg files."""

    name: str
    views: dict[str, _View]
    edv: float
    esv: float
    facts: dict[str, Any]

    @property
    def ef(self) -> float:
        """In percent."""
        return 100 * (self.edv - self.esv) / self.edv


def generate_camus(
    root: Path, items: int, seed: int = 0, clips_per_patient: int = 2, progress: bool = False
) -> None:
    """Write the half sequences of ``items / 2`` patients, 60/20/20 % of them in the three lists.

    The same arguments give the same files. Stopped or killed, it leaves what the same arguments
    continue: the lists of the splits are written last.

    Args:
        root: a new or empty folder.
        items: how many half sequences. A patient has two.
        seed: what all draws come from.
        clips_per_patient: 2, or 1 where nothing was said. Each patient has both views.
        progress: whether to show a progress bar on a terminal.

    Raises:
        EchoLMError: a number is not valid, or ``root`` holds other files or cannot be written.
    """
    root = Path(root)
    made_by = {"dataset": "camus", "items": items, "seed": seed, "version": VERSION}
    _check(root, items, clips_per_patient, made_by)
    try:
        _generate(root, items // 2, seed, made_by, progress)
    except OSError as error:
        reason = str(error)
        if not isinstance(error, StorageError):
            reason = f"{error.filename or root}: cannot be written: {error.strerror or error}"
        raise EchoLMError(
            f"{reason}; the phantom is not whole, type the same again to continue"
        ) from error


def _check(root: Path, items: int, clips_per_patient: int, made_by: dict[str, Any]) -> None:
    if items < 2 or items % 2:
        raise EchoLMError(
            f"phantom: {items} half sequences; valid: even numbers, since a patient has two "
            f"({', '.join(VIEWS)})"
        )
    if clips_per_patient not in (1, 2):
        raise EchoLMError(
            f"phantom: clips per patient is {clips_per_patient}; valid: 2, one a view"
        )
    if not root.exists():
        return
    is_unfinished = (root / PHANTOM).is_file() and not _last_file(root).exists()
    if not root.is_dir() or (any(root.iterdir()) and not is_unfinished):
        raise EchoLMError(f"{root}: is not an empty folder; choose a new one for the phantom")
    if is_unfinished and read_json(root / PHANTOM) != made_by:
        raise EchoLMError(
            f"{root}: holds an unfinished phantom of other settings; type the same settings to "
            "continue it, or choose a new folder"
        )


def _last_file(root: Path) -> Path:
    return root / SPLIT / SUBGROUPS["test"]


def _generate(
    root: Path, patients: int, seed: int, made_by: dict[str, Any], progress: bool
) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for path in root.rglob(".*.tmp"):
        path.unlink()  # what a killed process was writing
    write_atomic(root / PHANTOM, (json.dumps(made_by, indent=2) + "\n").encode())
    truth: list[tuple[Any, ...]] = []
    with ProgressBar("drawing", "patients", patients, hidden=not progress) as bar:
        for number in range(patients):
            patient = _draw_patient(seed, number)
            truth.append((patient.name, patient.edv, patient.esv, patient.ef))
            for view in VIEWS:
                _write_view(root / NIFTI / patient.name, patient, view)
            bar.advance()
    _write_truth(root / TRUTH, truth)
    _write_lists(root / SPLIT, [row[0] for row in truth], seed)


def _draw_patient(seed: int, number: int) -> _Patient:
    """Draw a patient: one heart, seen twice."""
    anatomy = np.random.default_rng([seed, 1, number])
    sector = Sector(
        x=(SIZE - 1) / 2, y=1.5, half_angle=float(anatomy.uniform(0.68, 0.80)), depth=108
    )
    first = draw_heart(anatomy, sector, 1.0)
    second = _other_side(anatomy, first)
    ejection = draw_ejection(anatomy)
    fps = int(anatomy.choice(RATES))
    views = {}
    for index, (view, heart) in enumerate(zip(VIEWS, (first, second), strict=True)):
        rng = np.random.default_rng([seed, 2, number, index])
        motion = _half(draw_motion(rng, heart, ejection, fps))
        views[view] = _View(heart=heart, motion=motion, sector=sector, rng=rng)
    volumes = {}
    for phase in PHASES:
        frames = [(view.heart, view.motion, _frame(view.motion, phase)) for view in views.values()]
        volumes[phase] = _volume(frames)
    facts = {
        "Sex": str(anatomy.choice(["F", "M"])),
        "Age": int(anatomy.integers(19, 94)),
        "ImageQuality": str(anatomy.choice(QUALITIES)),
        "FrameRate": fps,
    }
    name = f"patient{number + 1:04d}"
    return _Patient(name=name, views=views, edv=volumes["ED"], esv=volumes["ES"], facts=facts)


def _other_side(rng: np.random.Generator, heart: Ventricle) -> Ventricle:
    """Return what the view at right angles shows: the same axis, mirrored, of another width.

    It is not wider, so that it lies in the sector as the first does.
    """
    x, y = heart.apex
    return replace(
        heart,
        apex=(SIZE - 1 - x, y),
        tilt=-heart.tilt,
        bend=-heart.bend,
        radius=heart.radius * rng.uniform(0.8, 1.0),
        belly=rng.uniform(0.52, 0.68),
        annulus=rng.uniform(0.66, 0.86),
    )


def _half(motion: Motion) -> Motion:
    """Return the frames from ED to ES, or from ES to ED, alone."""
    first = min(motion.ed, motion.es)
    frames = slice(first, max(motion.ed, motion.es) + 1)
    return Motion(
        apex=motion.apex[frames],
        length=motion.length[frames],
        radius=motion.radius[frames],
        contraction=motion.contraction[frames],
        opening=motion.opening[frames],
        ed=motion.ed - first,
        es=motion.es - first,
    )


def _frame(motion: Motion, phase: str) -> int:
    return motion.ed if phase == "ED" else motion.es


def _volume(frames: list[tuple[Ventricle, Motion, int]]) -> float:
    """Return the true volume in ml of what two views show of one phase.

    The integral is a sum over 2,000 slices. Both axes are of one length.
    """
    s = (np.arange(2000) + 0.5) / 2000
    area = np.full(len(s), np.pi / 4)
    for heart, motion, frame in frames:
        area = area * (2 * motion.radius[frame] * heart.profile(s))
    length = max(motion.length[frame] for _, motion, frame in frames)
    return round(float(area.mean() * length) * CM_PER_PIXEL**3, 3)


def _write_view(folder: Path, patient: _Patient, view: str) -> None:
    """Write the files of a view, its cfg last. What is whole already is kept."""
    info = folder / f"Info_{view}.cfg"
    if info.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    seen = patient.views[view]
    motion = seen.motion
    square = render(seen.rng, seen.sector, seen.heart, motion, draw_view(seen.rng), SIZE)
    pictures = _doubled(np.asarray(square, np.uint8))
    masks = np.stack([_draw_labels(seen.heart, motion, frame) for frame in range(len(pictures))])
    stem = f"{patient.name}_{view}"
    _write_nifti(folder / f"{stem}_half_sequence.nii.gz", pictures)
    _write_nifti(folder / f"{stem}_half_sequence_gt.nii.gz", masks)
    for phase in PHASES:
        frame = _frame(motion, phase)
        _write_nifti(folder / f"{stem}_{phase}.nii.gz", pictures[frame : frame + 1])
        _write_nifti(folder / f"{stem}_{phase}_gt.nii.gz", masks[frame : frame + 1])
    lines = {
        "ED": motion.ed + 1,
        "ES": motion.es + 1,
        "NbFrame": len(pictures),
        "Sex": patient.facts["Sex"],
        "Age": patient.facts["Age"],
        "ImageQuality": patient.facts["ImageQuality"],
        "EF": round(patient.ef, 1),
        "FrameRate": patient.facts["FrameRate"],
    }
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    write_atomic(info, text.encode())


def _doubled(pictures: Bytes) -> Bytes:
    """Write each row twice, the second as the mean with the next."""
    following = np.concatenate([pictures[:, 1:], pictures[:, -1:]], axis=1)
    between = (pictures.astype(np.uint16) + following) // 2
    count, height, width = pictures.shape
    rows = np.stack([pictures, between.astype(np.uint8)], axis=2)
    return rows.reshape(count, 2 * height, width)


def _draw_labels(heart: Ventricle, motion: Motion, frame: int) -> Bytes:
    """Draw one frame's labels: 1 the cavity, 2 the wall, 3 the left atrium."""
    y, x = np.mgrid[: 2 * SIZE, :SIZE].astype(np.float64)
    from_apex = np.stack([x, y / 2], axis=-1) - motion.apex[frame]
    length, radius = float(motion.length[frame]), float(motion.radius[frame])
    s = from_apex @ heart.along / length
    along = np.clip(s, 0, 1)
    bend = 4 * heart.bend * length * along * (1 - along)
    d = np.abs(from_apex @ heart.across - bend)
    half = radius * heart.profile(along)
    is_above_plane = s <= 1
    cavity = (s >= 0) & is_above_plane & (d <= half)
    above_belly = np.clip(heart.belly - s, 0, None) * length
    outline = np.hypot(above_belly / (heart.belly * length + THICKNESS), d / (radius + THICKNESS))
    is_wall = np.where(s < heart.belly, outline <= 1, np.abs(d) <= half + THICKNESS)
    wall = is_wall & is_above_plane
    below = (s - 1) * length
    atrium = ((below - 15) / 15) ** 2 + (d / (0.9 * radius)) ** 2 <= 1
    labels = np.zeros(d.shape, np.uint8)
    labels[atrium & ~is_above_plane] = 3
    labels[wall] = 2
    labels[cavity] = 1
    return labels


def _write_nifti(path: Path, pictures: Bytes) -> None:
    """Write T x H x W as CAMUS has it: (x, y, frame), or (x, y) of one picture. Gzip, no time."""
    from nibabel.nifti1 import Nifti1Image

    array = pictures.T
    if array.shape[2] == 1:
        array = array[:, :, 0]
    image = Nifti1Image(array, np.diag([MM_PER_PIXEL, MM_PER_PIXEL / 2, 1, 1]))
    image.header.set_xyzt_units("mm")
    write_atomic(path, gzip.compress(image.to_bytes(), mtime=0))


def _write_truth(path: Path, rows: list[tuple[Any, ...]]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def _write_lists(folder: Path, patients: list[str], seed: int) -> None:
    """Draw 60, 20 and 20 % of the patients, and write the list of the test last."""
    held_out = 0
    if len(patients) >= 3:
        held_out = max(1, round(0.2 * len(patients)))
    drawn = [str(name) for name in np.random.default_rng([seed, 0]).permutation(patients)]
    lists = {
        "train": drawn[2 * held_out :],
        "val": drawn[:held_out],
        "test": drawn[held_out : 2 * held_out],
    }
    folder.mkdir(exist_ok=True)
    for split, names in lists.items():
        text = "".join(f"{name}\n" for name in sorted(names))
        write_atomic(folder / SUBGROUPS[split], text.encode())
