"""Two things that a number may be, with two words: a run of it failed to train, or it is of no use.

A run is *diverged* when, in this order,

1. its value is not a finite number (a training with a non-finite loss ends so);
2. it is worse than the best seed of its value by more than two standard deviations over patients of that seed. A typical
   spread between trainings is a small part of that; PanEcho k = 16, MLP, augmentation of NLDL 2026 (77.42 Dice
   beside 87.80 and 92.91, std over patients about 5) is what the rule is for. A statistic without a value a patient (R2, AUC,
   pooled Dice) takes sqrt(P) times the std of its bootstrap draws over P patients, which for a mean is the same quantity.

So with one seed only a run that is not finite can be recognised. A run that diverged in one column of a table is diverged in
all of them (``grid.tables.judge``), and in all tables of the grid that have its cell (``grid.tables.elsewhere``): it is one
network.

It is shown as such and never silently averaged: whoever prints the number says which runs are flagged, and why; it is not
bold, nor reproduced.

A value is *not better than the mean contour* when its mean over seeds is no better than what a network that never looks at
the image reaches on the same test set. That may well be a sound training, of an encoder that has nothing to say with so
little data: it is told, and averaged, compared and judged like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grid.statistics.resampling import Resampled


@dataclass(frozen=True)
class Diverged:
    """A run that failed to train, and how that was recognised: ``shown``, its value as printed, is ``rule``; or ``rule`` alone."""

    seed: str
    value: float
    rule: str
    shown: str = ""

    @property
    def reason(self) -> str:
        """In words."""
        return f"{self.shown} is {self.rule}" if self.shown else self.rule

    def __str__(self) -> str:
        return f"seed {self.seed} diverged ({self.reason})"


def told(runs: Sequence[Diverged]) -> str:
    """Some runs of one value in words, those of one rule together: ``seeds 0, 2 diverged (61.2, 60.0: not better than ...)``."""
    rules: dict[str, list[Diverged]] = {}
    for run in runs:
        rules.setdefault(run.rule, []).append(run)
    return "; ".join(str(own[0]) if len(own) == 1 else _together(rule, own) for rule, own in rules.items())


def _together(rule: str, runs: Sequence[Diverged]) -> str:
    shown = ", ".join(filter(None, (run.shown for run in runs)))
    return f"seeds {', '.join(run.seed for run in runs)} diverged ({f'{shown}: ' if shown else ''}{rule})"


def diverged(value: Resampled, better: Literal["higher", "lower"], digits: int = 2) -> list[Diverged]:
    """The diverged runs of a table value. The second part of the rule needs two seeds."""
    sign = 1 if better == "higher" else -1
    found = []
    limit = _limit(value, sign)
    for seed, own in zip(value.runs.seeds, value.full.tolist(), strict=True):
        if not np.isfinite(own):
            found.append(Diverged(seed, own, f"{value.statistic.name} is {own}"))
        elif limit is not None and sign * own < sign * limit:
            found.append(Diverged(seed, own, "worse than the best seed by more than two of its std over patients", f"{own:.{digits}f}"))
    return found


def not_better(value: Resampled, better: Literal["higher", "lower"], baseline: float) -> bool:
    """Whether the mean over seeds is no better than ``baseline``, what the mean contour reaches; of no number: False."""
    sign = 1 if better == "higher" else -1
    return bool(sign * value.estimate <= sign * baseline)


def _limit(value: Resampled, sign: int) -> float | None:
    """The value of the best seed, less two of its standard deviations over patients; None where these do not differ."""
    if value.patients < 2 or not np.isfinite(value.full).any():
        return None
    best = int(np.nanargmax(np.where(np.isfinite(value.full), sign * value.full, np.nan)))
    spread = _over_patients(value, best)
    return float(value.full[best] - 2 * sign * spread) if not np.isclose(spread, 0) else None


def _over_patients(value: Resampled, seed: int) -> float:
    if value.per_patient is not None:
        return float(value.per_patient[seed].std(ddof=1))
    draws = value.draws[seed][np.isfinite(value.draws[seed])]
    return float(np.sqrt(value.patients) * draws.std(ddof=1)) if len(draws) > 1 else 0.0
