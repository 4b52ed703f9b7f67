"""Fill contours and count their overlap, against scikit-image."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from skimage.draw import polygon

from echolm import geometry
from tests.benchmarks.measure import Comparison, Way, compare

SIZE = 112
START = (
    "import time, numpy; began = time.process_time();"
    " import echolm.geometry_fast; print(time.process_time() - began)"
)
"""Prints the CPU seconds that a process pays to compile."""


def measure(folder: Path, tiny: bool) -> list[Comparison]:
    """Measure contours of 40 points on a grid of 112 x 112.

    One half of them is smooth, the other jittered until they cross themselves.
    """
    count, rounds = (40, 1) if tiny else (1000, 9)
    truth, prediction = contours(count, 0), contours(count, 1)
    few = slice(0, None, 1 if tiny else 4)
    fill = [
        Way("skimage.draw.polygon", len(truth[few]), lambda: skimage_masks(truth[few])),
        Way(
            "rasterise, numpy",
            count,
            drawn_by(False, lambda: geometry.rasterise(truth, SIZE, SIZE)),
        ),
        Way(
            "rasterise, numba",
            count,
            drawn_by(True, lambda: geometry.rasterise(truth, SIZE, SIZE)),
            50,
        ),
    ]
    pairs = [
        Way(
            "skimage.draw.polygon and numpy counts",
            len(truth[few]),
            lambda: skimage_counts(truth[few], prediction[few]),
        ),
        Way("overlap, numpy", count, drawn_by(False, lambda: geometry.overlap(truth, prediction))),
        Way(
            "overlap, numba", count, drawn_by(True, lambda: geometry.overlap(truth, prediction)), 50
        ),
    ]
    return [
        compare(
            "Filling contours (40 points, 112 x 112)",
            "polygons",
            fill,
            rounds,
            **facts(truth, 1 if tiny else 5),
        ),
        compare(
            "Intersection and areas of pairs of contours",
            "pairs",
            pairs,
            rounds,
            **differing_counts(truth, prediction),
        ),
    ]


def contours(count: int, seed: int) -> np.ndarray:
    """Draw ellipses with a wobble of 10 %, every second one with noise of 4 pixels a point."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(40) / 40
    wobble = rng.uniform(0.9, 1.1, (count, 40))
    centre, axes = rng.uniform(48, 64, (count, 2, 1)), rng.uniform(18, 36, (count, 2, 1))
    points = centre + axes * np.stack([np.cos(angle) * wobble, np.sin(angle) * wobble], 1)
    points[1::2] += rng.normal(0, 4, points[1::2].shape)
    return points.transpose(0, 2, 1)


def skimage_masks(points: np.ndarray) -> np.ndarray:
    """Fill contours with scikit-image: masks (N, 112, 112)."""
    masks = np.zeros((len(points), SIZE, SIZE), bool)
    for mask, contour in zip(masks, points, strict=True):
        mask[polygon(contour[:, 1], contour[:, 0], (SIZE, SIZE))] = True
    return masks


def skimage_counts(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Count with scikit-image: intersection and areas (3, N)."""
    first, second = skimage_masks(truth), skimage_masks(prediction)
    return np.stack([(first & second).sum((1, 2)), first.sum((1, 2)), second.sum((1, 2))])


@contextmanager
def compiled(wanted: bool) -> Iterator[None]:
    """Draw with numba from the first polygon on, or never."""
    before = geometry._COMPILE_AFTER
    geometry._COMPILE_AFTER = -1 if wanted else sys.maxsize
    try:
        yield
    finally:
        geometry._COMPILE_AFTER = before


def drawn_by(numba: bool, act: Callable[[], object]) -> Callable[[], object]:
    """Return ``act`` under ``compiled``."""

    def run() -> object:
        with compiled(numba):
            return act()

    return run


def facts(points: np.ndarray, starts: int) -> dict[str, object]:
    """Count pixels that differ from scikit-image's, and time the compilation."""
    expected = skimage_masks(points)
    differ = {}
    for name, numba in (("numpy", False), ("numba", True)):
        with compiled(numba):
            differ[name] = int((geometry.rasterise(points, SIZE, SIZE) != expected).sum())
    run = [sys.executable, "-c", START]
    seconds = []
    for _ in range(starts):
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    return {
        f"pixels that differ from skimage in {len(points):,} polygons": listed(differ),
        "importing numba and compiling, once a process": (
            f"{median(seconds):.2f} s of CPU, after the first {geometry._COMPILE_AFTER:,} polygons;"
            " nothing is written to disk"
        ),
    }


def listed(counts: dict[str, int]) -> str:
    """Spell counts by name."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def differing_counts(truth: np.ndarray, prediction: np.ndarray) -> dict[str, object]:
    """Count pairs whose counts differ from scikit-image's."""
    expected = skimage_counts(truth, prediction)
    differ = {}
    for name, numba in (("numpy", False), ("numba", True)):
        with compiled(numba):
            counts = np.stack(geometry.overlap(truth, prediction))
        differ[name] = int((counts != expected).any(0).sum())
    return {f"pairs whose counts differ, of {len(truth):,}": listed(differ)}
