"""Diverged: a run whose training, or whose value, is not a finite number.

A run is *diverged* when a value of it is not a finite number because a prediction is not, or is so
large that the value is infinite, or when its training ended with a loss that is not finite. Nothing
else is called so. A statistic that is *undefined* for finite predictions (the AUC of one class, the
correlation of a constant) says nothing about a training. A run that diverged in one column of a
table is diverged in all of them (``grid.tables.assess``), and in all tables of the grid that have
its cell (``grid.tables.diverged``): it is one network.

It is shown as such and never silently averaged: whoever prints the number says which runs are
flagged, and why. The number is not bold, nor reproduced.

``far_behind`` has another thing that a run may be, and ``baseline`` what a value may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grid.statistics.resampling import Resampled


@dataclass(frozen=True)
class DivergedRun:
    """A run that diverged, and how that was recognised.

    Attributes:
        seed: its seed.
        value: its value of the column. NaN where it has none.
        reason: how it was recognised, in words.
    """

    seed: str
    value: float
    reason: str

    def __str__(self) -> str:
        return f"seed {self.seed} diverged ({self.reason})"


def describe_diverged(runs: Sequence[DivergedRun]) -> str:
    """List diverged runs in words, those with one reason together.

    Returns:
        ``seeds 0, 2 diverged (mean dice is nan)``.
    """
    seeds_by_reason: dict[str, list[str]] = {}
    for run in runs:
        seeds_by_reason.setdefault(run.reason, []).append(run.seed)
    texts = []
    for reason, seeds in seeds_by_reason.items():
        noun = "seed" if len(seeds) == 1 else "seeds"
        texts.append(f"{noun} {', '.join(seeds)} diverged ({reason})")
    return "; ".join(texts)


def diverged(value: Resampled) -> list[DivergedRun]:
    """Return the runs of a table value whose own value is not a finite number.

    Those of which the statistic is undefined are not among them.
    """
    runs = []
    for index, (seed, estimate) in enumerate(_estimates(value)):
        if not np.isfinite(estimate) and not _is_undefined(value, index, estimate):
            runs.append(DivergedRun(seed, estimate, f"{value.statistic.name} is {estimate}"))
    return runs


def undefined_seeds(value: Resampled) -> list[str]:
    """Return the seeds for whose finite predictions the statistic of a value is undefined."""
    estimates = enumerate(_estimates(value))
    return [seed for index, (seed, one) in estimates if _is_undefined(value, index, one)]


def _estimates(value: Resampled) -> list[tuple[str, float]]:
    return list(zip(value.runs.seeds, value.full.tolist(), strict=True))


def _is_undefined(value: Resampled, index: int, estimate: float) -> bool:
    """Return whether a NaN came from finite numbers.

    Args:
        value: the value.
        index: the number of the run.
        estimate: its value.
    """
    if not np.isnan(estimate) or not value.runs.columns:
        return False
    columns = value.runs.columns.values()
    return all(bool(np.isfinite(column[index]).all()) for column in columns)
