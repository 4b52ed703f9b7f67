"""What makes a prediction implausible. It is told beside the prediction, never left out for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from echolm.predict.find_ed_es import FPS
from echolm.tasks.landmarks import PHASES

if TYPE_CHECKING:
    from echolm.predict.contours import ContourPrediction

LEAST_AGREEMENT = 0.5
"""Below it, the readings of the candidates point to other frames for most of the range of areas."""
LARGEST_EF = 90.0
"""Percent. Hearts do not empty themselves."""
SMALLEST_SHARE, LARGEST_SHARE = 0.01, 0.5
"""Of the square picture, what a ventricle fills, with room on both sides (our choice)."""
SHORTEST_PHASE_S = 0.1
"""Seconds from ED to ES at the least.

Systole takes 546 - 2.1 x rate ms (Weissler et al., Circulation 1968): 126 ms at 200 beats a minute.
"""
BEAT_S = 0.6
"""Seconds of a beat at 100 beats a minute. A shorter file may lack ED or ES."""
FEWEST_FRAMES = 10
"""Frames of a beat in which its ends can be told."""
NO_SECTOR = "no ultrasound sector found in the picture (a bright middle, and dark upper corners)"


def warnings_about(prediction: ContourPrediction) -> str:
    """Say why one should look at a prediction, "" for one without a cause.

    The reasons are separated by semicolons.
    """
    agreement = prediction.estimate.agreement if prediction.estimate else None
    reasons = [implausible(prediction.ejection_fraction, prediction.areas, agreement)]
    reasons += _odd_contours(prediction)
    reasons += _odd_frames(prediction)
    if prediction.has_sector is False:
        reasons.append(NO_SECTOR)
    return "; ".join(filter(None, reasons))


def implausible(ef: float, areas: tuple[float, float], agreement: float | None) -> str:
    """Say what is implausible in the numbers of a prediction, "" for nothing.

    Args:
        ef: in percent.
        areas: at ED and ES, in pixels squared.
        agreement: in 0-1. None where both frames were given.
    """
    ed, es = areas
    reasons = []
    if not min(ed, es) > 0:
        reasons.append("a contour has no area")
    elif ed < es:
        reasons.append("the ED contour is smaller than the ES contour")
    if not math.isfinite(ef):
        reasons.append("EF is not a number")
    elif not 0 <= ef <= LARGEST_EF:
        reasons.append(f"EF is {ef:.1f} %")
    if agreement is not None and agreement < LEAST_AGREEMENT:
        reasons.append(f"the agreement on ED and ES is {100 * agreement:.0f} %")
    return "; ".join(reasons)


def _odd_contours(prediction: ContourPrediction) -> list[str]:
    """Say what is odd in the shape and the size of the contours."""
    reasons = []
    side = prediction.frames.shape[1]
    for phase, contour, area in zip(PHASES, prediction.contours, prediction.areas, strict=True):
        if crosses_itself(contour):
            reasons.append(f"the {phase} contour crosses itself")
        share = area / side**2
        if 0 < share < SMALLEST_SHARE or share > LARGEST_SHARE:
            reasons.append(
                f"the {phase} contour fills {100 * share:.2g} % of the picture (of a ventricle: "
                f"{100 * SMALLEST_SHARE:.0f} to {100 * LARGEST_SHARE:.0f} %)"
            )
    return reasons


def _odd_frames(prediction: ContourPrediction) -> list[str]:
    """Say what is odd in the numbers of frames: of ED and ES, and of the file."""
    reasons = []
    rate = prediction.fps or FPS
    assumed = "" if prediction.fps else f" at an assumed {FPS:.0f} frames per second"
    apart = abs(prediction.numbers[0] - prediction.numbers[1]) / rate
    if apart < SHORTEST_PHASE_S:
        reasons.append(
            f"ED and ES are {apart:.2f} s apart{assumed}, closer than in any heart "
            f"({SHORTEST_PHASE_S} s)"
        )
    count = prediction.frames_held
    if count is not None:
        reasons += short_of_a_beat(count, prediction.fps)
    return reasons


def short_of_a_beat(count: int, fps: float | None) -> list[str]:
    """Say that a file has too few frames for a heart beat, if it has.

    Args:
        count: its frames.
        fps: frames a second. None: the file does not tell.
    """
    rate = fps or FPS
    assumed = "" if fps else f" at an assumed {FPS:.0f} frames per second"
    if count / rate < BEAT_S:
        return [
            f"the file shows {count / rate:.2f} s{assumed}, less than a heart beat "
            f"({BEAT_S} s at 100 a minute): it may lack ED or ES"
        ]
    if count < FEWEST_FRAMES:
        return [f"the file has {count} frames, too few to tell ED and ES of a heart beat"]
    return []


def crosses_itself(contour: np.ndarray) -> bool:
    """Return whether two edges of a closed contour, P x 2, cross. Edges that only touch do not."""
    start = np.asarray(contour, np.float64)
    end = np.roll(start, -1, axis=0)
    # Edge j crosses the line through edge i where its ends lie on different sides of it.
    side_of_start = _sides(start, end, start)
    side_of_end = _sides(start, end, end)
    across = side_of_start * side_of_end < 0
    return bool((across & across.T).any())


def _sides(start: np.ndarray, end: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return on which side of each edge each point lies: -1, 0 or 1, edges x points."""
    along = (end - start)[:, None]
    to_point = points[None] - start[:, None]
    sides: np.ndarray = np.sign(along[..., 0] * to_point[..., 1] - along[..., 1] * to_point[..., 0])
    return sides
