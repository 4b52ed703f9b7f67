"""Draws from uniform numbers: each function maps (B,) numbers in [0, 1) to (B,) values, row by row."""

from __future__ import annotations

import numpy as np


def between(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """Uniform in [low, high)."""
    return low + (high - low) * u


def pick(u: np.ndarray, options: tuple[object, ...]) -> np.ndarray:
    """One of ``options``, each entry as likely."""
    return np.array(options)[(u * len(options)).astype(np.int64)]


def choose(gate: np.ndarray, u: np.ndarray, probability: float, *names: str) -> np.ndarray:
    """With ``probability`` one of ``names``, each as likely, else "none"."""
    return np.where(gate < probability, pick(u, names), "none")


def crop_box(
    areas: np.ndarray, ratios: np.ndarray, place: np.ndarray, area: tuple[float, float], ratio: tuple[float, float]
) -> np.ndarray:
    """Boxes (B, 4) of a random resized crop: left, top, width, height as fractions of a square frame.

    ``areas`` and ``ratios`` (n, B): the first of n attempts that fits into the frame is taken, the whole frame if none
    does. The ratio width / height is uniform in its logarithm; ``place`` (2, B) is uniform over where the box fits.
    """
    target, aspect = between(areas, *area), np.exp(between(ratios, *np.log(ratio)))
    whole = np.ones_like(areas[:1])
    widths = np.concatenate([np.sqrt(target * aspect), whole])
    heights = np.concatenate([np.sqrt(target / aspect), whole])
    first = ((widths <= 1) & (heights <= 1)).argmax(0), np.arange(areas.shape[1])
    extent = np.stack([widths[first], heights[first]])
    return np.concatenate([place * (1 - extent), extent]).T
