"""A phantom of EchoNet-Dynamic: clips of beating left ventricles of known contour, in its layout.

It is for trying the software and testing it, not for any claim about hearts. ``phantom.json`` in
the folder says what made it, and marks every store made of it as synthetic.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from echolm.datasets.echonet_files import DYNAMIC_COLUMNS as COLUMNS
from echolm.datasets.echonet_files import FILE_LIST, PATIENT, VIDEOS
from echolm.datasets.phantom.anatomy import (
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
from echolm.datasets.phantom.image import draw_view, render
from echolm.datasets.scan import PHANTOM
from echolm.datasets.volume_tracings import COLUMNS as TRACING_COLUMNS
from echolm.datasets.volume_tracings import TRACINGS
from echolm.errors import EchoLMError, StorageError
from echolm.files import read_json, read_lines, write_atomic, writing
from echolm.progress import ProgressBar
from echolm.randomness import word

RATES = (32, 38, 45, 50, 50, 50, 50, 58, 66)
"""Frames per second to draw from. Most videos of EchoNet-Dynamic have 50."""
UNFINISHED = "unfinished.jsonl"
"""Which clips an unfinished phantom has."""
VERSION = 1
"""Raised when the same seed gives another phantom."""


def generate_phantom(
    root: Path,
    videos: int = 120,
    seed: int = 0,
    clips_per_patient: int = 1,
    size: int = 112,
    tracing_noise: float = 0.0,
    progress: bool = False,
) -> None:
    """Write ``videos`` clips of ``size`` x ``size`` pixels.

    Patients vary in place (±10 pixels), size (±25 %) and tilt (±20 degrees) of the ventricle,
    ejection, heart rate, frame rate, gain and shadows. Clips of one patient share the heart. Splits
    are 60/20/20 by patient. ``ESV`` and ``EDV`` are the method of disks on the traced chords (ml,
    0.14 cm a pixel at 112), and EF follows from them.

    The same arguments give the same files. Stopped or killed, it leaves what the same arguments
    continue: whole videos are kept, and the file list is written last.

    Args:
        root: a new or empty folder.
        videos: how many clips.
        seed: what all draws come from.
        clips_per_patient: clips of one heart.
        size: side of the picture in pixels, even.
        tracing_noise: standard deviation, in pixels, added to chord ends.
        progress: whether to show a progress bar on a terminal.

    Raises:
        EchoLMError: ``root`` holds other files or cannot be written, or a number is out of range.
    """
    root = Path(root)
    made_by: dict[str, float] = {
        "videos": videos,
        "seed": seed,
        "clips_per_patient": clips_per_patient,
        "size": size,
        "tracing_noise": tracing_noise,
        "cm_per_pixel": CM_PER_PIXEL * 112 / size,
        "version": VERSION,
    }
    _check(root, made_by)
    try:
        _generate(root, made_by, progress)
    except OSError as error:
        reason = str(error)
        if not isinstance(error, StorageError):
            reason = f"{error.filename or root}: cannot be written: {error.strerror or error}"
        raise EchoLMError(
            f"{reason}; the phantom is not whole, type the same again to continue"
        ) from error


def _generate(root: Path, made_by: dict[str, Any], progress: bool) -> None:
    """Write the files. The mark that the data is synthetic comes first, the file list last."""
    videos = made_by["videos"]
    seed = made_by["seed"]
    clips_per_patient = made_by["clips_per_patient"]
    has_patients = clips_per_patient > 1
    patients = -(-videos // clips_per_patient)
    splits = _splits(patients, seed)
    files: list[list[Any]] = []
    tracings: list[list[Any]] = []
    root.mkdir(parents=True, exist_ok=True)
    for path in root.glob(".*.tmp"):
        path.unlink()  # what a killed process was writing
    write_atomic(root / PHANTOM, (json.dumps(made_by, indent=2) + "\n").encode())
    (root / VIDEOS).mkdir(exist_ok=True)
    journal = _Journal(root)
    with ProgressBar("drawing", "clips", videos, hidden=not progress) as bar:
        for number in range(videos):
            patient = number // clips_per_patient
            clip = journal.clips.get(number)
            if clip is None:
                beat = draw_beat(seed, patient, number, made_by["size"])
                row, rows = _write_clip(root, beat, made_by["size"], made_by["tracing_noise"])
                clip = journal.add(number, row, rows)
            row = [*clip["listed"], splits[patient]]
            if has_patients:
                row.append(f"P{patient:05d}")
            files.append(row)
            tracings += clip["traced"]
            bar.advance()
    columns = [*COLUMNS]
    if has_patients:
        columns.append(PATIENT)
    _write_csv(root / TRACINGS, TRACING_COLUMNS, tracings)
    journal.remove()
    _write_csv(root / FILE_LIST, columns, files)


class _Journal:
    """The clips that an unfinished phantom has, one a line, with their rows of both tables.

    A clip counts when its line is whole and its video has the bytes that it had. So a phantom that
    was killed, or whose last writes were lost, is continued to the same files.

    Attributes:
        clips: number of the clip -> its line.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / UNFINISHED
        self.clips: dict[int, dict[str, Any]] = {}
        for line in read_lines(self._file, "number"):
            if line["sha256"] == self._sha256(line["listed"][0]):
                self.clips[line["number"]] = line

    def add(self, number: int, listed: list[Any], traced: list[list[Any]]) -> dict[str, Any]:
        """Note a clip whose video is written, and return its line."""
        line = {
            "number": number,
            "listed": listed,
            "traced": traced,
            "sha256": self._sha256(listed[0]),
        }
        # The first newline ends what a kill left of a line.
        with writing(self._file), open(self._file, "ab") as file:
            file.write(b"\n" + json.dumps(line).encode() + b"\n")
        return line

    def remove(self) -> None:
        """Delete the file: all clips are there."""
        with writing(self._file):
            self._file.unlink(missing_ok=True)

    def _sha256(self, name: str) -> str:
        """Return SHA-256 of a video, or '' where there is none."""
        try:
            content = (self._root / VIDEOS / f"{name}.avi").read_bytes()
        except FileNotFoundError:
            return ""
        return hashlib.sha256(content).hexdigest()


def _check(root: Path, made_by: dict[str, Any]) -> None:
    """Raise EchoLMError when a number is out of range or the folder holds something else."""
    for name in ("videos", "clips_per_patient"):
        if made_by[name] < 1:
            raise EchoLMError(
                f"phantom: {name.replace('_', ' ')} is {made_by[name]}; valid: 1 or more"
            )
    if made_by["size"] < 32 or made_by["size"] % 2:
        raise EchoLMError(f"phantom: size is {made_by['size']}; valid: even numbers from 32")
    if not root.exists():
        return
    if not root.is_dir() or (any(root.iterdir()) and not _is_unfinished(root)):
        raise EchoLMError(f"{root}: is not an empty folder; choose a new one for the phantom")
    if (root / PHANTOM).exists():
        _check_same(root, made_by)


def _is_unfinished(root: Path) -> bool:
    """Return whether a part of a phantom is there."""
    return (root / PHANTOM).is_file() and not (root / FILE_LIST).exists()


def _check_same(root: Path, made_by: dict[str, Any]) -> None:
    """Raise EchoLMError when an unfinished phantom was made by other arguments."""
    stored = read_json(root / PHANTOM)
    for name, value in made_by.items():
        if stored.get(name) != value:
            raise EchoLMError(
                f"{root}: holds an unfinished phantom of other settings ({name}: "
                f"{stored.get(name)}; asked for: {value}); type the same settings to continue it, "
                "or choose a new folder"
            )


def _splits(patients: int, seed: int) -> list[str]:
    """Draw TRAIN, VAL, TEST for 60, 20 and 20 % of the patients."""
    held_out = 0
    if patients >= 3:
        held_out = max(1, round(0.2 * patients))
    trained = patients - 2 * held_out
    names = np.array(["VAL"] * held_out + ["TEST"] * held_out + ["TRAIN"] * trained)
    return [str(name) for name in np.random.default_rng([seed, 0]).permutation(names)]


@dataclass(frozen=True, eq=False)
class Beat:
    """What a video shows, and what it was traced from.

    Attributes:
        name: of its file, without ``.avi``.
        sector: the scanned field.
        heart: at end-diastole.
        motion: the heart in each frame.
        fps: frames per second.
        rng: what further draws come from.
    """

    name: str
    sector: Sector
    heart: Ventricle
    motion: Motion
    fps: int
    rng: np.random.Generator


def draw_beat(seed: int, patient: int, number: int, size: int = 112) -> Beat:
    """Draw the heart of a patient, beating in one video of the phantom of this seed.

    With it, ``trace`` gives the true contour of every frame, not only of those in the tracings.

    Args:
        seed: the phantom's.
        patient: number of the patient, which the heart is drawn from.
        number: number of the video, which the beat is drawn from.
        size: side of the picture in pixels.
    """
    anatomy = np.random.default_rng([seed, 1, patient])
    rng = np.random.default_rng([seed, 2, number])
    scale = size / 112
    sector = Sector(
        x=(size - 1) / 2,
        y=1.5 * scale,
        half_angle=float(anatomy.uniform(0.68, 0.80)),
        depth=108 * scale,
    )
    heart = draw_heart(anatomy, sector, scale)
    ejection = draw_ejection(anatomy)
    fps = int(rng.choice(RATES))
    return Beat(
        name=f"0X{word('phantom', seed, number):016X}",
        sector=sector,
        heart=heart,
        motion=draw_motion(rng, heart, ejection, fps),
        fps=fps,
        rng=rng,
    )


def _write_clip(
    root: Path, beat: Beat, size: int, noise: float
) -> tuple[list[Any], list[list[Any]]]:
    """Write one video.

    Returns:
        Its row of the file list (without split), and its rows of tracings.
    """
    motion = beat.motion
    frames = render(beat.rng, beat.sector, beat.heart, motion, draw_view(beat.rng), size)
    write_mjpeg(root / VIDEOS / f"{beat.name}.avi", frames, beat.fps)
    segments = {}
    for frame in sorted((motion.ed, motion.es)):
        segments[frame] = _add_noise(beat.rng, trace(beat.heart, motion, frame), noise)
    cm_per_pixel = CM_PER_PIXEL / (size / 112)
    edv = disk_volume(segments[motion.ed], cm_per_pixel)
    esv = disk_volume(segments[motion.es], cm_per_pixel)
    ef = (edv - esv) / edv * 100
    listed = [beat.name, ef, esv, edv, size, size, beat.fps, len(frames)]
    tracings = []
    for frame, rows in segments.items():
        for row in rows.tolist():
            tracings.append([f"{beat.name}.avi", *row, frame])
    return listed, tracings


def _add_noise(rng: np.random.Generator, rows: np.ndarray, noise: float) -> np.ndarray:
    """Move chord ends by ``noise``, and round the rows to the 4 decimals that are written."""
    moved = rows.copy()
    moved[1:] += noise * rng.standard_normal(moved[1:].shape)
    return moved.round(4)


def write_mjpeg(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write T x H x W uint8 (H and W even) as a gray MJPEG video in EchoNet-Dynamic's yuvj420p."""
    import av

    height, width = frames.shape[1:]
    with av.open(str(path), "w", format="avi", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mjpeg", rate=Fraction(fps).limit_denominator(1000))
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuvj420p"
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
