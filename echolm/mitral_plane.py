"""Find the mitral plane on the outline of a left ventricle. Compiled with numba.

Importing this module needs numba and compiles for about a second. The code stays in memory, once a
process, as that of ``echolm.geometry_fast``.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@numba.njit("b1(f8[:, ::1], i8, i8, f8)", nogil=True)
def _is_straight(outline: Floats, first: int, last: int, tolerance: float) -> bool:
    """Tell whether all points between two lie within ``tolerance`` of the line through them."""
    down = outline[first, 0] - outline[last, 0]
    right = outline[first, 1] - outline[last, 1]
    most = tolerance * tolerance * (down * down + right * right)
    for point in range(first + 1, last):
        y = outline[point, 0] - outline[last, 0]
        x = outline[point, 1] - outline[last, 1]
        area = down * x - right * y
        if area * area > most:
            return False
    return True


@numba.njit("UniTuple(i8, 2)(f8[:, ::1], f8)", nogil=True)
def find_mitral_plane(outline: Floats, tolerance: float) -> tuple[int, int]:
    """Find the longest nearly straight stretch on the lower side of an outline.

    Such a stretch runs from right to left, at most 45 degrees from the horizontal, and no point of
    it is farther than ``tolerance`` from the straight line between its ends. Of equally long ones
    the first counts. The outline is not closed for this: no stretch goes over its beginning.

    Args:
        outline: N x 2 positions (y downward, x), with the inside on the right of who walks along.
        tolerance: in the unit of the positions.

    Returns:
        The first and the last point of the stretch. Both are -1 where there is none.
    """
    best_first, best_last = -1, -1
    longest = 0.0
    for last in range(2, len(outline)):
        for first in range(last):
            down = outline[first, 0] - outline[last, 0]
            right = outline[first, 1] - outline[last, 1]
            length = down * down + right * right
            if right < abs(down) or length <= longest:
                continue
            if _is_straight(outline, first, last, tolerance):
                best_first, best_last = first, last
                longest = length
    return best_first, best_last
