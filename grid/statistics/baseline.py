"""Whether a value is of any use: is it better than a constant prediction?

A value is *not better than a constant prediction* when its mean over seeds is no better than what a
network that never looks at the image reaches on the same test set. Of landmarks that is the mean
contour. That may well be a sound training, of an encoder that has nothing to say with so little
data: it is told, and averaged, compared and judged like any other.
"""

from __future__ import annotations

from grid.statistics.quantity import Better
from grid.statistics.resampling import Resampled

MEAN_CONTOUR = "the mean contour"
CONSTANT = "a constant prediction"
TASKS_OF_CONTOURS = ("landmarks", "")
"""Tasks that predict contours. A run that does not say its task is of the first EchoLM's."""


def constant_words(task: str) -> str:
    """Return what the constant prediction of a task is called, as in "not better than ..."."""
    return MEAN_CONTOUR if task in TASKS_OF_CONTOURS else CONSTANT


def not_better(value: Resampled, better: Better, baseline: float) -> bool:
    """Return whether the mean over seeds is no better than ``baseline``.

    Args:
        value: the value. One that is no number is not called no better.
        better: which direction is.
        baseline: what the constant prediction reaches.
    """
    estimate = value.estimate
    return is_better(baseline, estimate, better) or bool(estimate == baseline)


def is_better(first: float, second: float, better: Better) -> bool:
    """Return whether the first value is better. What is not a number is not."""
    if better == "higher":
        return bool(first > second)
    return bool(first < second)
