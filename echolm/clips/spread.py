"""Positions that are spread evenly over frames."""

from __future__ import annotations

import numpy as np


def spread(available: int, count: int) -> np.ndarray:
    """Return ``count`` positions among ``available`` frames, which never descend.

    Where there are frames enough, they run evenly from the first to the last. Where there are not,
    each frame is repeated, as evenly as ``count`` allows. One position is the first.
    """
    places = np.arange(count, dtype=np.int64)
    if available < count:
        return places * available // count
    if count == 1:
        return places
    return places * (available - 1) // (count - 1)
