"""What makes a prediction implausible. It is told beside the prediction, never left out for it."""

from __future__ import annotations

import math

LEAST_AGREEMENT = 0.5
"""Below it, the readings of the candidate frames point to other frames for most of the range of areas."""
LARGEST_EF = 90.0
"""Percent; hearts do not empty themselves."""


def warning(ef: float, areas: tuple[float, float], agreement: float | None) -> str:
    """Why one should look at a prediction, "" for one without a cause. ``ef`` in percent; ``areas`` at ED and ES in
    pixels squared; ``agreement`` in 0-1, None where both frames were given."""
    ed, es = areas
    found = []
    if not min(ed, es) > 0:
        found.append("a contour has no area")
    elif ed < es:
        found.append("the ED contour is smaller than the ES contour")
    if not math.isfinite(ef):
        found.append("EF is not a number")
    elif not 0 <= ef <= LARGEST_EF:
        found.append(f"EF is {ef:.1f} %")
    if agreement is not None and agreement < LEAST_AGREEMENT:
        found.append(f"the agreement on ED and ES is {100 * agreement:.0f} %")
    return "; ".join(found)
