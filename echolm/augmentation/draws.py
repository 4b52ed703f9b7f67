"""Draws from uniform numbers.

Each function maps (B,) numbers in [0, 1) to (B,) values, row by row.
"""

from __future__ import annotations

import numpy as np


def between(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """Draw values that are uniform in [low, high)."""
    return low + (high - low) * u


def pick(u: np.ndarray, options: tuple[object, ...]) -> np.ndarray:
    """Draw one of ``options``, each entry as likely."""
    index = (u * len(options)).astype(np.int64)
    return np.array(options)[index]


def choose(gate: np.ndarray, u: np.ndarray, probability: float, *names: str) -> np.ndarray:
    """Draw one of ``names``, each as likely, with ``probability``, else "none".

    Args:
        gate: uniform numbers that decide whether.
        u: uniform numbers that decide which.
        probability: of one of the names.
        names: what can be drawn.
    """
    return np.where(gate < probability, pick(u, names), "none")


def crop_box(
    areas: np.ndarray,
    ratios: np.ndarray,
    position: np.ndarray,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> np.ndarray:
    """Draw the boxes of a random resized crop of square frames.

    The first of n attempts that fits into the frame is taken, the whole frame if none does.

    Args:
        areas: (n, B) uniform numbers for the areas.
        ratios: (n, B) uniform numbers for width / height, which is uniform in its logarithm.
        position: (2, B) uniform numbers for where the box is, of all places where it fits.
        area: limits, as fractions of the frame.
        ratio: limits.

    Returns:
        (B, 4): left, top, width, height as fractions of the frame.
    """
    target = between(areas, *area)
    aspect = np.exp(between(ratios, *np.log(ratio)))
    whole = np.ones_like(areas[:1])
    widths = np.concatenate([np.sqrt(target * aspect), whole])
    heights = np.concatenate([np.sqrt(target / aspect), whole])

    fits = (widths <= 1) & (heights <= 1)
    attempt = fits.argmax(0)
    sample = np.arange(areas.shape[1])
    extent = np.stack([widths[attempt, sample], heights[attempt, sample]])
    corner = position * (1 - extent)
    return np.concatenate([corner, extent]).T
