"""Whether a published number was reproduced: a printed rule with four outcomes.

The published number is taken as one more run: would a further training of ours, on that paper's test set, be as far away?
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grid.statistics.crossing import FEWEST_SEEDS, patients_only
from grid.statistics.divergence import Diverged, told
from grid.statistics.resampling import Resampled

Outcome = Literal["reproduced", "differs", "not decidable", "not comparable"]
LEVEL = 0.95
FIGURE_ERROR = 0.05
"""Reading error of a digitised figure whose row states none, in the unit of the axis: what those of NLDL 2026 have (science.md
section 1.8b)."""

RULE = (
    "Reproduced: |published - mean of ours| <= t(S - 1, 0.975) x s x sqrt(1 + 1/S), with s the standard deviation over"
    " our S seeds (the 95 % prediction interval for one more run on the same test set), plus the reading error of a number"
    f" read off a figure (what its row states, else {FIGURE_ERROR:g} in the unit of the axis). A test set is the same when the ids of"
    " its patients are; where a paper gives only how many they are, the same data set and number of patients are taken for"
    " it, and named as that. On another test set the 95 % intervals over patients of both are added to it, as independent"
    " parts: root of the sum of squares, the published one from its std over patients / sqrt(n). Else: differs. Under"
    f" {FEWEST_SEEDS} seeds, with a diverged run, or without the paper's std over patients where it is needed: not"
    " decidable. Phantom data: not comparable."
)
"""The rule as it stands under a table."""


@dataclass(frozen=True)
class Theirs:
    """A published number. ``sem``: its standard error over patients where the paper lets it be known; ``reading``: half-width of
    the error of reading it off a figure."""

    value: float
    sem: float | None = None
    reading: float = 0.0


@dataclass(frozen=True)
class Ours:
    """Our number: ``values`` of each seed, ``sem`` its standard error over patients, ``diverged`` runs among its seeds,
    ``synthetic`` when any run is on phantom data."""

    values: tuple[float, ...]
    sem: float | None = None
    diverged: tuple[Diverged, ...] = ()
    synthetic: bool = False


@dataclass(frozen=True)
class Verdict:
    """``text`` is what is printed: outcome and why. ``distance`` = |published - mean of ours|; ``allowed``: how far it may
    be, None where the rule gives no number. ``test_set``: what is known of the paper's beside ours."""

    outcome: Outcome
    text: str
    distance: float | None = None
    allowed: float | None = None
    test_set: str = ""


def verdict(theirs: Theirs, ours: Ours, same_test_set: bool, test_set: str = "", digits: int = 2) -> Verdict:
    """Judge a published number by ``RULE``. ``test_set``: in words, what is known of the paper's beside ours."""
    if ours.synthetic:
        return _without("not comparable", "ours is from phantom data")
    if ours.diverged:
        return _without("not decidable", f"{told(ours.diverged)}: what diverged needs a configuration that trains")
    values = np.asarray(ours.values, np.float64)
    if not np.isfinite(values).all() or not np.isfinite(theirs.value):
        return _without("not decidable", "a value is undefined")
    if (missing := FEWEST_SEEDS - len(values)) > 0:
        return _without("not decidable", f"run {missing} more {'seed' if missing == 1 else 'seeds'}")
    parts = {"seeds": prediction_half_width(values)}
    if not same_test_set:
        if theirs.sem is None or ours.sem is None:
            whose = "the paper gives" if theirs.sem is None else "we have"
            return _without("not decidable", f"{test_set or 'another test set'}, and {whose} no spread over patients")
        parts |= {"our patients": _normal(ours.sem), "their patients": _normal(theirs.sem)}
    allowed = float(np.sqrt(sum(part**2 for part in parts.values()))) + theirs.reading
    distance = abs(theirs.value - float(values.mean()))
    outcome: Outcome = "reproduced" if distance <= allowed else "differs"
    sign = "<=" if outcome == "reproduced" else ">"
    named = [f"{name} {part:.{digits}f}" for name, part in parts.items()]
    named += [f"reading {theirs.reading:.{digits}f}"] * bool(theirs.reading)
    why = f"|{theirs.value:.{digits}f} - {values.mean():.{digits}f}| = {distance:.{digits}f} {sign} {allowed:.{digits}f}"
    return Verdict(outcome, f"{outcome}: {why} ({', '.join(named)}; S = {len(values)}{f'; {test_set}' if test_set else ''})", distance, allowed, test_set)


def ours(value: Resampled, diverged: Sequence[Diverged] = (), synthetic: bool = False) -> Ours:
    """Our number from a resampled value; its standard error is over patients, with the networks as trained."""
    sem = float(np.sqrt(patients_only(value).patient_variance))
    return Ours(tuple(value.full.tolist()), sem if np.isfinite(sem) else None, tuple(diverged), synthetic)


def theirs(value: float, spread: float | None = None, kind: str = "", note: str = "") -> Theirs:
    """A row of ``grid/published``: the standard error is ``spread`` / sqrt(n) where ``kind`` is ``std over N ...``, and
    unknown for any other kind; a ``note`` that begins ``read off`` adds the reading error, ``+-0.05`` where it says so."""
    found = patients_of(kind)
    sem = spread / np.sqrt(found) if found and spread is not None else None
    stated = re.search(r"\+-(\d+(?:\.\d+)?)", note)
    reading = (float(stated[1]) if stated else FIGURE_ERROR) if note.startswith("read off") else 0.0
    return Theirs(value, None if sem is None else float(sem), reading)


def patients_of(kind: str) -> int:
    """How many a row's ``std over N ...`` is over; 0 where it does not say so."""
    found = re.match(r"std over (\d+) ", kind)
    return int(found[1]) if found else 0


def prediction_half_width(values: np.ndarray, level: float = LEVEL) -> float:
    """Half of the prediction interval for one more run: t(S - 1) x s x sqrt(1 + 1/S)."""
    from scipy.special import stdtrit

    seeds = len(values)
    return float(stdtrit(seeds - 1, (1 + level) / 2) * values.std(ddof=1) * np.sqrt(1 + 1 / seeds))


def _normal(sem: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2) * sem)


def _without(outcome: Outcome, why: str) -> Verdict:
    return Verdict(outcome, f"{outcome}: {why}")
