"""Whether a published number was reproduced: a printed rule with four outcomes.

The published number is taken as one more run: would a further training of ours, on that paper's
test set, be as far away?
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from echolm.text import counted
from grid.statistics.crossed_bootstrap import FEWEST_SEEDS, patients_only
from grid.statistics.divergence import DivergedRun, describe_diverged
from grid.statistics.far_behind import FAR_BEHIND, FarBehindRun, describe_far_behind
from grid.statistics.resampling import Resampled

Outcome = Literal["reproduced", "differs", "not decidable", "not comparable"]
LEVEL = 0.95
FIGURE_ERROR = 0.05
"""Reading error of a digitised figure whose row states none, in the unit of the axis.

It is what those of NLDL 2026 have (science.md section 1.8b).
"""

RULE = (
    "Reproduced: |published - mean of ours| <= t(S - 1, 0.975) x s x sqrt(1 + 1/S), with s the"
    " standard deviation over our S seeds (the 95 % prediction interval for one more run on the"
    " same test set), plus the reading error of a number read off a figure (what its row states,"
    f" else {FIGURE_ERROR:g} in the unit of the axis). A test set is the same when the ids of its"
    " patients are; where a paper gives only how many they are, the same data set and number of"
    " patients are taken for it, and named as that. On another test set the 95 % intervals over"
    " patients of both are added to it, as independent parts: root of the sum of squares, the"
    " published one from its"
    f" std over patients / sqrt(n). Else: differs. Under {FEWEST_SEEDS} seeds, with a run that"
    f" diverged or is {FAR_BEHIND}, or without the paper's std over patients where it is needed:"
    " not decidable. Phantom data: not comparable."
)
"""The rule as it stands under a table."""


@dataclass(frozen=True)
class PublishedResult:
    """A published number.

    Attributes:
        value: as printed.
        sem: its standard error over patients, where the paper lets it be known.
        reading: half-width of the error of reading it off a figure.
    """

    value: float
    sem: float | None = None
    reading: float = 0.0


@dataclass(frozen=True)
class OurResult:
    """Our number.

    Attributes:
        values: of each seed.
        sem: its standard error over patients.
        diverged: diverged runs among its seeds.
        far_behind: runs among them that are far behind the best.
        synthetic: whether any run is on phantom data.
    """

    values: tuple[float, ...]
    sem: float | None = None
    diverged: tuple[DivergedRun, ...] = ()
    far_behind: tuple[FarBehindRun, ...] = ()
    synthetic: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a published number.

    Attributes:
        outcome: one of four.
        text: what is printed: outcome and why.
        distance: the absolute value of published - mean of ours.
        allowed: how far it may be. None where the rule gives no number.
        test_set: what is known of the paper's test set beside ours.
    """

    outcome: Outcome
    text: str
    distance: float | None = None
    allowed: float | None = None
    test_set: str = ""


def verdict(
    theirs: PublishedResult,
    ours: OurResult,
    same_test_set: bool,
    test_set: str = "",
    digits: int = 2,
) -> Verdict:
    """Judge a published number by ``RULE``.

    Args:
        theirs: the published number.
        ours: our number.
        same_test_set: whether both are of the same test set.
        test_set: what is known of the paper's test set beside ours, in words.
        digits: decimals to print.
    """
    if ours.synthetic:
        return _without("not comparable", "ours is from phantom data")
    if ours.diverged:
        diverged = describe_diverged(ours.diverged)
        return _without(
            "not decidable", f"{diverged}: what diverged needs a configuration that trains"
        )
    if ours.far_behind:
        return _without("not decidable", describe_far_behind(ours.far_behind, digits))
    values = np.asarray(ours.values, np.float64)
    if not np.isfinite(values).all() or not np.isfinite(theirs.value):
        return _without("not decidable", "a value is undefined")
    if len(values) < FEWEST_SEEDS:
        return _without("not decidable", f"run {counted(FEWEST_SEEDS - len(values), 'more seed')}")
    parts = {"seeds": prediction_half_width(values)}
    if not same_test_set:
        if theirs.sem is None or ours.sem is None:
            whose = "the paper gives" if theirs.sem is None else "we have"
            return _without(
                "not decidable",
                f"{test_set or 'another test set'}, and {whose} no spread over patients",
            )
        parts["our patients"] = _normal(ours.sem)
        parts["their patients"] = _normal(theirs.sem)
    mean = float(values.mean())
    allowed = float(np.sqrt(sum(part**2 for part in parts.values()))) + theirs.reading
    distance = abs(theirs.value - mean)
    outcome: Outcome = "reproduced" if distance <= allowed else "differs"
    sign = "<=" if outcome == "reproduced" else ">"
    arithmetic = (
        f"|{theirs.value:.{digits}f} - {mean:.{digits}f}| = "
        f"{distance:.{digits}f} {sign} {allowed:.{digits}f}"
    )
    details = [f"{name} {part:.{digits}f}" for name, part in parts.items()]
    if theirs.reading:
        details.append(f"reading {theirs.reading:.{digits}f}")
    reasons = f"{', '.join(details)}; S = {len(values)}"
    if test_set:
        reasons += f"; {test_set}"
    text = f"{outcome}: {arithmetic} ({reasons})"
    return Verdict(outcome, text, distance, allowed, test_set)


def our_result(
    value: Resampled,
    diverged: Sequence[DivergedRun] = (),
    synthetic: bool = False,
    far_behind: Sequence[FarBehindRun] = (),
) -> OurResult:
    """Return our number from a resampled value.

    Its standard error is over patients, with the networks as trained.
    """
    error = float(np.sqrt(patients_only(value).patient_variance))
    sem = error if np.isfinite(error) else None
    return OurResult(
        values=tuple(value.full.tolist()),
        sem=sem,
        diverged=tuple(diverged),
        far_behind=tuple(far_behind),
        synthetic=synthetic,
    )


def published_result(
    value: float, spread: float | None = None, kind: str = "", note: str = ""
) -> PublishedResult:
    """Return the number of a row of ``grid/published``.

    Args:
        value: as printed.
        spread: what is printed after ±.
        kind: what the spread is. The standard error is ``spread`` / sqrt(n) for ``std over N ...``,
            and unknown for any other kind.
        note: one that begins ``read off`` adds the reading error, ``+-0.05`` where it says so.
    """
    sem = None
    patients = patients_of(kind)
    if patients and spread is not None:
        sem = float(spread / np.sqrt(patients))
    reading = 0.0
    if note.startswith("read off"):
        stated = re.search(r"\+-(\d+(?:\.\d+)?)", note)
        reading = float(stated[1]) if stated else FIGURE_ERROR
    return PublishedResult(value, sem, reading)


def patients_of(kind: str) -> int:
    """Return how many a row's ``std over N ...`` is over, or 0 where it does not say so."""
    stated = re.match(r"std over (\d+) ", kind)
    return int(stated[1]) if stated else 0


def prediction_half_width(values: np.ndarray, level: float = LEVEL) -> float:
    """Return half of the prediction interval for one more run: t(S - 1) x s x sqrt(1 + 1/S)."""
    from scipy.special import stdtrit

    seeds = len(values)
    quantile = stdtrit(seeds - 1, (1 + level) / 2)
    return float(quantile * values.std(ddof=1) * np.sqrt(1 + 1 / seeds))


def _normal(sem: float) -> float:
    """Return half of the interval over patients."""
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2) * sem)


def _without(outcome: Outcome, why: str) -> Verdict:
    """Return a verdict without numbers."""
    return Verdict(outcome, f"{outcome}: {why}")
