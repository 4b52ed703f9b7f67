"""Whether pictures look like ultrasound: a bright sector below dark upper corners.

A rule of thumb (our choice), for files that are something else: a screen, noise, an empty picture.
"""

from __future__ import annotations

import numpy as np

DARK = 16
"""Gray levels up to which a pixel is outside the sector."""
CORNER = 0.25
"""Legs of the upper corners that no sector reaches, in sides of the picture."""
MOST_BRIGHT_CORNERS = 0.5
"""Share of brighter pixels in them. Devices write text there."""
LEAST_CONTRAST = 0.2
"""By how much the share of brighter pixels in the middle is larger at the least."""
LOOKED_AT = 16
"""Frames whose mean is looked at."""


def shows_sector(frames: np.ndarray) -> bool:
    """Return whether pictures look like ultrasound: a bright sector below dark upper corners.

    Args:
        frames: T x S x S uint8.
    """
    step = -(-len(frames) // LOOKED_AT)
    bright = frames[::step].mean(0) > DARK
    side = len(bright)
    row, column = np.mgrid[:side, :side]
    left = bright[row + column < CORNER * side].mean()
    right = bright[row + (side - 1 - column) < CORNER * side].mean()
    low, high = side // 4, side - side // 4
    middle = bright[low:high, low:high].mean()
    corners = max(left, right)
    return bool(corners <= MOST_BRIGHT_CORNERS and middle >= corners + LEAST_CONTRAST)
