"""How many more seeds would decide a difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid.statistics.comparison import Comparison, compare
from grid.statistics.crossed_bootstrap import FEWEST_SEEDS, widening
from grid.statistics.resampling import Resampled

EQUALITY_LEVEL = 0.90
"""Of the interval that must lie within a margin: two one-sided tests at 5 %."""
MOST = 1000
"""Seeds a side beyond which nobody would go."""


@dataclass(frozen=True)
class SeedsNeeded:
    """How many seeds would decide a difference.

    Attributes:
        outcome: ``decided`` or ``equal`` within a margin (0 more), ``needed``, ``unknown`` (under
            three seeds: ``more`` leads to three, ask again then), ``beyond`` (over ``MOST``, and
            ``more`` is 0), ``patients`` (the patients' part alone is too large for any number of
            seeds to decide, and ``more`` is 0).
        more: seeds of the first and of the second value to add.
        total: the seeds that each then has.
        comparison: of the seeds at hand.
        text: the outcome in words.
    """

    outcome: str
    more: tuple[int, int]
    total: tuple[int, int]
    comparison: Comparison
    text: str


def seeds_needed(
    first: Resampled,
    second: Resampled,
    power: float = 0.8,
    level: float = 0.95,
    margin: float | None = None,
) -> SeedsNeeded:
    """Return how many seeds would decide the difference of two values on their test set.

    Decide: the interval of ``crossed_difference`` excludes 0 with probability ``power``, should the
    true difference be the one seen and the variances those estimated. The numbers are equal on both
    sides. With S seeds a side the variance is patients' part + (s1^2 + s2^2) / S. More seeds shrink
    the second term alone. From three seeds s^2 is a rough figure, and so is the answer.

    With a margin that is larger than the difference, the question is another one: how many seeds
    would show that both are equal within it, should the true difference be the one seen. They are
    shown to be equal when the 90 % interval lies within ± the margin.

    Raises:
        EchoLMError: as for ``compare``.
    """
    comparison = compare(first, second, margin, level)
    if margin is not None and abs(comparison.difference) < margin and comparison.crossed:
        return _seeds_for_equality(first, second, comparison, margin, power)
    seeds = first.seeds, second.seeds
    counts_text = f"{seeds[0]} and {seeds[1]} seeds"
    difference = f"{first.runs.name} - {second.runs.name} = {comparison.difference:+.3g}"
    interval = f"{100 * level:g} % interval {comparison.low:+.3g} to {comparison.high:+.3g}"
    not_decided = f"{difference} is not decided ({interval})"

    if not comparison.crossed:
        text = (
            f"{difference}: the spread over seeds is not known with {counts_text}; "
            f"run {FEWEST_SEEDS} of each and ask again"
        )
        return _answer("unknown", comparison, FEWEST_SEEDS, text)
    if comparison.p < 1 - level:
        text = f"{difference} is decided with {counts_text} ({interval})"
        return _answer("decided", comparison, 0, text)

    spreads = first.full.var(ddof=1), second.full.var(ddof=1)
    patient_variance = comparison.uncertainty.patient_variance
    fewest = max(seeds)
    if seeds[0] == seeds[1]:
        fewest += 1  # at equal numbers, those at hand did not decide it
    counts = np.arange(fewest, MOST + 1)
    reach = detectable(spreads, patient_variance, counts, power, level)
    enough = counts[abs(comparison.difference) >= reach]
    if len(enough):
        needed = int(enough[0])
        text = f"{not_decided}; {_needed_text(seeds, needed, power)}"
        return _answer("needed", comparison, needed, text)
    least = detectable((0.0, 0.0), patient_variance, np.array([MOST]), power, level)[0]
    if abs(comparison.difference) >= least:
        text = f"{not_decided}; it would take more than {MOST:,} seeds of each"
        return _answer("beyond", comparison, 0, text)
    text = (
        f"{not_decided}, and no number of seeds would do it: with these "
        f"{first.patients:,} patients, and any number of seeds, a difference must reach {least:.3g}"
    )
    return _answer("patients", comparison, 0, text)


def _seeds_for_equality(
    first: Resampled, second: Resampled, comparison: Comparison, margin: float, power: float
) -> SeedsNeeded:
    """Return how many seeds would show that two values are equal within a margin."""
    difference = f"{first.runs.name} - {second.runs.name} = {comparison.difference:+.3g}"
    within = f"equal within ±{margin:g}"
    if comparison.equivalent:
        return _answer("equal", comparison, 0, f"{difference}: both are {within}")
    spreads = first.full.var(ddof=1), second.full.var(ddof=1)
    patient_variance = comparison.uncertainty.patient_variance
    fewest = max(first.seeds, second.seeds)
    if first.seeds == second.seeds:
        fewest += 1
    counts = np.arange(fewest, MOST + 1)
    room = margin - abs(comparison.difference)
    reach = detectable(spreads, patient_variance, counts, power, EQUALITY_LEVEL)
    enough = counts[room >= reach]
    not_shown = f"{difference}: that both are {within} is not shown yet"
    if len(enough):
        needed = int(enough[0])
        seeds = first.seeds, second.seeds
        text = f"{not_shown}; {_needed_text(seeds, needed, power, 'show')}"
        return _answer("needed", comparison, needed, text)
    text = f"{not_shown}, and up to {MOST:,} seeds of each would not show it"
    return _answer("beyond", comparison, 0, text)


def _answer(outcome: str, comparison: Comparison, needed: int, text: str) -> SeedsNeeded:
    """Return the answer that each side needs ``needed`` seeds, those at hand among them."""
    first, second = comparison.seeds
    total = max(first, needed), max(second, needed)
    more = total[0] - first, total[1] - second
    return SeedsNeeded(outcome, more, total, comparison, text)


def detectable(
    spreads: tuple[float, float],
    patient_variance: float,
    seeds: np.ndarray,
    power: float,
    level: float,
) -> np.ndarray:
    """Return the difference that S seeds a side decide with ``power``, for each S of ``seeds``.

    Args:
        spreads: s^2 of either side.
        patient_variance: the patients' part of the variance.
        seeds: numbers of seeds a side.
        power: chance of deciding it.
        level: of the interval.
    """
    from scipy.special import ndtri

    total = sum(spreads)
    df_per_seed = 1.0
    if total:
        df_per_seed = total**2 / sum(spread**2 for spread in spreads)
    upper = np.array([(1 + level) / 2])
    seed_variance = total / seeds
    wider = np.array([widening(float((count - 1) * df_per_seed), upper)[0] for count in seeds])
    variance = patient_variance + seed_variance
    share = np.divide(seed_variance, variance, out=np.zeros_like(variance), where=variance > 0)
    half_width = ndtri(upper[0]) * (1 - share + share * wider)
    return np.asarray(np.sqrt(variance) * (half_width + ndtri(power)))


def _needed_text(seeds: tuple[int, int], needed: int, power: float, verb: str = "decide") -> str:
    first, second = needed - seeds[0], needed - seeds[1]
    more = f"{first}" if first == second else f"{first} and {second}"
    return (
        f"{more} more seeds ({needed} of each) would {verb} it with {100 * power:g} % chance,"
        " if the difference and the spread over seeds are what they seem"
    )
