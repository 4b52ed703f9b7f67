"""Far behind its best seed: a run that ended well below what its own setting can reach.

A run is *far behind its best seed* in a column when it is worse than the best seed of its value by
more than two standard deviations over patients of that seed. A typical spread between trainings is
a small part of that. PanEcho k = 16, MLP, augmentation of NLDL 2026 (77.42 Dice beside 87.80 and
92.91, std over patients about 5) is what the rule is for. A statistic without a value a patient
(R2, AUC, pooled Dice) takes sqrt(P) times the std of its bootstrap draws over P patients, which for
a mean is the same quantity. So with one seed nothing can be recognised.

Such a training may well be sound: it is one of those that the setting gives. So it counts in the
number as every seed does, and it is told in the column where it is so, with the mean without it.
The number is not compared with the best of its column, since one such seed widens its interval so
far that it would be bold beside anything, nor is it called reproduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grid.statistics.baseline import is_better
from grid.statistics.quantity import Better
from grid.statistics.resampling import Resampled

STDS = 2.0
"""Standard deviations over patients that a run is behind."""
FAR_BEHIND = "far behind its best seed"


@dataclass(frozen=True)
class FarBehindRun:
    """A run that is far behind the best seed of its value.

    Attributes:
        seed: its seed.
        value: its value of the column.
        best: that of the best seed.
    """

    seed: str
    value: float
    best: float


def describe_far_behind(runs: Sequence[FarBehindRun], digits: int = 2) -> str:
    """List runs in words.

    Returns:
        ``seeds 0, 2 are far behind their best seed (20.00, 30.00; the best 93.00)``.
    """
    seeds = ", ".join(run.seed for run in runs)
    values = ", ".join(f"{run.value:.{digits}f}" for run in runs)
    best = f"the best {runs[0].best:.{digits}f}"
    if len(runs) == 1:
        return f"seed {seeds} is {FAR_BEHIND} ({values}; {best})"
    return f"seeds {seeds} are far behind their best seed ({values}; {best})"


def runs_far_behind(value: Resampled, better: Better) -> list[FarBehindRun]:
    """Return the runs of a table value that are far behind its best seed, in order of the seeds.

    Args:
        value: the value. Seeds that are no number are neither best nor behind.
        better: which direction is.
    """
    defined = np.isfinite(value.full)
    if value.patients < 2 or defined.sum() < 2:
        return []
    sign = 1 if better == "higher" else -1
    index = int(np.nanargmax(np.where(defined, sign * value.full, np.nan)))
    best = float(value.full[index])
    spread = _std_over_patients(value, index)
    if np.isclose(spread, 0):
        return []  # where patients do not differ, any difference would be far
    limit = best - STDS * sign * spread
    runs = []
    for seed, estimate in zip(value.runs.seeds, value.full.tolist(), strict=True):
        if np.isfinite(estimate) and is_better(limit, estimate, better):
            runs.append(FarBehindRun(seed, estimate, best))
    return runs


def _std_over_patients(value: Resampled, seed: int) -> float:
    """Return the standard deviation over patients of run number ``seed``."""
    if value.per_patient is not None:
        return float(value.per_patient[seed].std(ddof=1))
    draws = value.draws[seed]
    defined = draws[np.isfinite(draws)]
    if len(defined) < 2:
        return 0.0
    return float(np.sqrt(value.patients) * defined.std(ddof=1))
