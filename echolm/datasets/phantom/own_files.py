"""A phantom of one's own files: videos and pictures of beating ventricles, and ``labels.csv``.

By turns a clip is an AVI of MJPEG, an MP4 of H.264, and a series of PNG pictures.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from echolm.datasets.drawn_split import draw_splits
from echolm.datasets.labels_table import LABELS
from echolm.datasets.phantom.anatomy import CM_PER_PIXEL, disk_volume, trace
from echolm.datasets.phantom.folder import phantom_folder, write_table
from echolm.datasets.phantom.generate import Beat, draw_beat, write_mjpeg
from echolm.datasets.phantom.image import draw_view, render
from echolm.datasets.phantom.tmed2 import png
from echolm.progress import ProgressBar

SIZE = 112
COLUMNS = ("file", "patient", "split", "study", "sample", "view", "ef", "esv", "edv", "age", "sex")
KINDS = ("avi", "mp4", "png")
PICTURES = 16
"""Pictures of a series."""
VERSION = 1
"""Raised when the same seed gives another phantom."""


def generate_phantom(
    root: Path, items: int, seed: int = 0, clips_per_patient: int = 1, progress: bool = False
) -> None:
    """Write ``items`` clips of 112 x 112 pixels, with the true volumes (ml) and EF (percent).

    Splits are 60/20/20 by patient. The same arguments give the same files, as long as FFmpeg's
    encoders are the same.

    Args:
        root: a new or empty folder.
        items: how many clips.
        seed: what all draws come from.
        clips_per_patient: clips of one heart.
        progress: whether to show a progress bar on a terminal.

    Raises:
        EchoLMError: ``root`` holds other files or cannot be written, or a number is out of range.
    """
    root = Path(root)
    made_by: dict[str, Any] = {
        "dataset": "folder",
        "items": items,
        "seed": seed,
        "clips_per_patient": clips_per_patient,
        "version": VERSION,
    }
    with (
        phantom_folder(root, made_by, LABELS),
        ProgressBar("drawing", "clips", items, hidden=not progress) as bar,
    ):
        (root / "clips").mkdir(exist_ok=True)
        names = [f"P{number // clips_per_patient:04d}" for number in range(items)]
        splits = draw_splits(names, seed, 0.2, 0.2)
        rows: list[list[Any]] = []
        for number, patient in enumerate(names):
            beat = draw_beat(seed, number // clips_per_patient, number, SIZE)
            sample = f"{patient}-{number % clips_per_patient}"
            values = _values(beat, seed, number // clips_per_patient)
            for file in _write_clip(root, sample, beat, KINDS[number % len(KINDS)]):
                rows.append([file, patient, splits[patient], f"{patient}-1", sample, *values])
            bar.advance()
        write_table(root / LABELS, COLUMNS, rows)


def _values(beat: Beat, seed: int, patient: int) -> list[Any]:
    """Return the cells of a clip from ``view`` on."""
    volumes = []
    for frame in (beat.motion.es, beat.motion.ed):
        rows = trace(beat.heart, beat.motion, frame)
        volumes.append(disk_volume(rows, CM_PER_PIXEL * 112 / SIZE))
    esv, edv = volumes
    ef = (edv - esv) / edv * 100
    rng = np.random.default_rng([seed, 3, patient])
    age = int(rng.integers(20, 90))
    sex = str(rng.choice(["F", "M"]))
    return ["A4C", round(ef, 3), round(esv, 3), round(edv, 3), age, sex]


def _write_clip(root: Path, sample: str, beat: Beat, kind: str) -> list[str]:
    """Write the files of a clip, and return their paths in the folder."""
    motion = beat.motion
    frames = render(beat.rng, beat.sector, beat.heart, motion, draw_view(beat.rng), SIZE)
    pixels = np.asarray(frames, np.uint8)
    if kind != "png":
        file = f"clips/{sample}.{kind}"
        write = write_mjpeg if kind == "avi" else write_h264
        write(root / file, pixels, beat.fps)
        return [file]
    chosen = np.linspace(0, len(pixels) - 1, PICTURES).round().astype(int)
    files = []
    for number, frame in enumerate(chosen):
        file = f"clips/{sample}-{number:02d}.png"
        (root / file).write_bytes(png(pixels[frame]))
        files.append(file)
    return files


def write_h264(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write T x H x W uint8 (H and W even) as H.264 in MP4, its luma in 16-235 as usual."""
    import av

    height, width = frames.shape[1:]
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        # With its tree of macroblocks (mbtree) x264 gives other bytes once in some dozens of times.
        settings = {"crf": "14", "preset": "fast", "bf": "2", "x264-params": "mbtree=0"}
        stream.codec_context.options = settings
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
