"""A phantom of EchoNet-Dynamic: clips of beating left ventricles of known contour, in the dataset's exact layout.

It is for trying the software and testing it, not for any claim about hearts. ``phantom.json`` in the folder says what
made it, and marks every store made of it as synthetic.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from echolm.data.echonet_dynamic import COLUMNS, FILE_LIST, PATIENT, VIDEOS
from echolm.data.phantom_anatomy import (
    CM_PER_PIXEL,
    Motion,
    Sector,
    Ventricle,
    disk_volume,
    draw_ejection,
    draw_heart,
    draw_motion,
    trace,
)
from echolm.data.phantom_image import draw_view, render
from echolm.data.scan import PHANTOM
from echolm.data.volume_tracings import COLUMNS as TRACING_COLUMNS
from echolm.data.volume_tracings import TRACINGS
from echolm.errors import EchoLMError, StorageError
from echolm.randomness import word
from echolm.record import read_json, write_atomic

RATES = (32, 38, 45, 50, 50, 50, 50, 58, 66)
"""Frames per second to draw from; most videos of EchoNet-Dynamic have 50."""
VERSION = 1
"""Raised when the same seed gives another phantom."""


def phantom(
    root: Path,
    videos: int = 120,
    seed: int = 0,
    clips_per_patient: int = 1,
    size: int = 112,
    tracing_noise: float = 0.0,
) -> None:
    """Write ``videos`` clips of ``size`` x ``size`` pixels to ``root``, a new or empty folder.

    Patients vary in place (±10 pixels), size (±25 %) and tilt (±20 degrees) of the ventricle, ejection, heart rate,
    frame rate, gain and shadows; clips of one patient share the heart. Splits are 60/20/20 by patient. ``ESV`` and
    ``EDV`` are the method of disks on the traced chords (ml, 0.14 cm a pixel at 112), and EF follows from them.
    ``tracing_noise``: standard deviation, in pixels, added to chord ends. The same arguments give the same files.
    Killed, it leaves what the same arguments replace; after any other end there is the whole phantom or none of it.
    EchoLMError: ``root`` holds files or cannot be written, or a number is out of range.
    """
    root = Path(root)
    made_by: dict[str, float] = {"videos": videos, "seed": seed, "clips_per_patient": clips_per_patient, "size": size}
    made_by |= {"tracing_noise": tracing_noise, "cm_per_pixel": CM_PER_PIXEL * 112 / size, "version": VERSION}
    _check(root, made_by)
    new = not root.exists()
    try:
        _generate(root, made_by)
    except BaseException as error:
        _remove(root, new)
        if not isinstance(error, OSError):
            raise
        what = str(error) if isinstance(error, StorageError) else f"{error.filename or root}: cannot be written: {error.strerror or error}"
        raise EchoLMError(f"{what}; no phantom was made") from error


def _generate(root: Path, made_by: dict[str, Any]) -> None:
    """The mark that the data is synthetic comes first, the file list last."""
    videos, seed, clips_per_patient = made_by["videos"], made_by["seed"], made_by["clips_per_patient"]
    patients = -(-videos // clips_per_patient)
    splits = _splits(patients, seed)
    files, tracings = [], []
    (root / VIDEOS).mkdir(parents=True, exist_ok=True)
    write_atomic(root / PHANTOM, (json.dumps(made_by, indent=2) + "\n").encode())
    for number in range(videos):
        patient = number // clips_per_patient
        row, rows = _clip(root, seed, patient, number, made_by["size"], made_by["tracing_noise"])
        files.append([*row, splits[patient]] + [f"P{patient:05d}"] * (clips_per_patient > 1))
        tracings += rows
    _write_csv(root / TRACINGS, TRACING_COLUMNS, tracings)
    _write_csv(root / FILE_LIST, [*COLUMNS] + [PATIENT] * (clips_per_patient > 1), files)


def _check(root: Path, made_by: dict[str, Any]) -> None:
    for name in ("videos", "clips_per_patient"):
        if made_by[name] < 1:
            raise EchoLMError(f"phantom: {name.replace('_', ' ')} is {made_by[name]}; valid: 1 or more")
    if made_by["size"] < 32 or made_by["size"] % 2:
        raise EchoLMError(f"phantom: size is {made_by['size']}; valid: even numbers from 32")
    if root.exists() and (not root.is_dir() or any(root.iterdir())) and not _is_unfinished(root, made_by):
        raise EchoLMError(f"{root}: is not an empty folder; choose a new one for the phantom")


def _is_unfinished(root: Path, made_by: dict[str, Any]) -> bool:
    """Whether a killed process left a part of the same phantom there."""
    try:
        return bool(read_json(root / PHANTOM) == made_by) and not (root / FILE_LIST).exists()
    except (OSError, EchoLMError):
        return False


def _remove(root: Path, new: bool) -> None:
    """Remove what was made of a phantom; ``new``: the folder too."""
    shutil.rmtree(root / VIDEOS, ignore_errors=True)
    with suppress(OSError):
        for name in (FILE_LIST, TRACINGS, PHANTOM):
            (root / name).unlink(missing_ok=True)
        if new:
            root.rmdir()


def _splits(patients: int, seed: int) -> list[str]:
    """TRAIN, VAL, TEST for 60, 20 and 20 % of the patients, at random."""
    held = max(1, round(0.2 * patients)) if patients >= 3 else 0
    names = np.array(["VAL"] * held + ["TEST"] * held + ["TRAIN"] * (patients - 2 * held))
    return [str(name) for name in np.random.default_rng([seed, 0]).permutation(names)]


def _clip(
    root: Path, seed: int, patient: int, number: int, size: int, noise: float
) -> tuple[list[Any], list[list[Any]]]:
    """Write one video; its row of the file list (without split) and its rows of tracings."""
    drawn, scale = draw_beat(seed, patient, number, size), size / 112
    heart, motion, rng = drawn.heart, drawn.motion, drawn.rng
    frames = render(rng, drawn.sector, heart, motion, draw_view(rng), size)
    write_mjpeg(root / VIDEOS / f"{drawn.name}.avi", frames, drawn.fps)
    rows = {frame: _traced(rng, trace(heart, motion, frame), noise) for frame in sorted((motion.ed, motion.es))}
    edv, esv = (disk_volume(rows[frame], CM_PER_PIXEL / scale) for frame in (motion.ed, motion.es))
    listed = [drawn.name, (edv - esv) / edv * 100, esv, edv, size, size, drawn.fps, len(frames)]
    return listed, [[f"{drawn.name}.avi", *row, frame] for frame, segments in rows.items() for row in segments.tolist()]


@dataclass(frozen=True, eq=False)
class Beat:
    """What a video shows, and what it was traced from. ``name``: of its file; ``rng``: what further draws come from."""

    name: str
    sector: Sector
    heart: Ventricle
    motion: Motion
    fps: int
    rng: np.random.Generator


def draw_beat(seed: int, patient: int, number: int, size: int = 112) -> Beat:
    """The heart of patient ``patient`` beating in video ``number`` of the phantom of this seed: with it, ``trace`` gives
    the true contour of every frame, not only of those in the tracings."""
    anatomy, rng = np.random.default_rng([seed, 1, patient]), np.random.default_rng([seed, 2, number])
    scale = size / 112
    sector = Sector(x=(size - 1) / 2, y=1.5 * scale, half_angle=float(anatomy.uniform(0.68, 0.80)), depth=108 * scale)
    heart, ejection = draw_heart(anatomy, sector, scale), draw_ejection(anatomy)
    fps = int(rng.choice(RATES))
    return Beat(f"0X{word('phantom', seed, number):016X}", sector, heart, draw_motion(rng, heart, ejection, fps), fps, rng)


def _traced(rng: np.random.Generator, rows: np.ndarray, noise: float) -> np.ndarray:
    """The rows as written: rounded to 4 decimals, chord ends moved by ``noise``."""
    moved = rows.copy()
    moved[1:] += noise * rng.standard_normal(moved[1:].shape)
    return moved.round(4)


def write_mjpeg(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write T x H x W uint8 (H and W even) as a gray MJPEG video, yuvj420p as in EchoNet-Dynamic."""
    import av

    height, width = frames.shape[1:]
    with av.open(str(path), "w", format="avi", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mjpeg", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        stream.codec_context.color_range = 2
        stream.codec_context.qmin = stream.codec_context.qmax = 3
        for picture in frames:
            planes = np.full((height * 3 // 2, width), 128, np.uint8)
            planes[:height] = picture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuvj420p")))
        container.mux(stream.encode(None))


def _write_csv(path: Path, header: Iterable[str], rows: list[list[Any]]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    write_atomic(path, text.getvalue().encode())
