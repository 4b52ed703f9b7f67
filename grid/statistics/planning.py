"""How many more seeds would decide a difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid.statistics.comparison import Comparison, compare
from grid.statistics.crossing import FEWEST_SEEDS, widening
from grid.statistics.resampling import Resampled

MOST = 1000
"""Seeds a side beyond which nobody would go."""


@dataclass(frozen=True)
class SeedsNeeded:
    """``more`` seeds of the first and of the second value, and the ``total`` each then has; ``text`` says why.

    ``outcome``: ``decided`` (0 more), ``needed``, ``unknown`` (under three seeds: ``more`` leads to three, ask again
    then), ``beyond`` (over ``MOST``; ``more`` is 0), ``patients`` (no number of seeds would decide: the patients' part alone
    is too large; ``more`` is 0).
    """

    outcome: str
    more: tuple[int, int]
    total: tuple[int, int]
    comparison: Comparison
    text: str


def seeds_needed(first: Resampled, second: Resampled, power: float = 0.8, level: float = 0.95) -> SeedsNeeded:
    """Seeds that would decide the difference of two values on their test set, at equal numbers on both sides.

    Decide: the interval of ``crossed_difference`` excludes 0 with probability ``power``, should the true difference be the one seen
    and the variances those estimated. With S seeds a side the variance is patients' part + (s1^2 + s2^2) / S; more
    seeds shrink the second term alone. From three seeds s^2 is a rough figure, and so is the answer. EchoLMError as
    for ``compare``.
    """
    comparison = compare(first, second, level=level)
    have = first.seeds, second.seeds
    names = f"{first.runs.name} - {second.runs.name} = {comparison.difference:+.3g}"

    def result(outcome: str, seeds: int, text: str) -> SeedsNeeded:
        more = max(0, seeds - have[0]), max(0, seeds - have[1])
        return SeedsNeeded(outcome, more, (have[0] + more[0], have[1] + more[1]), comparison, text)

    interval = f"{100 * level:g} % interval {comparison.low:+.3g} to {comparison.high:+.3g}"
    if not comparison.crossed:
        known = f"the spread over seeds is not known with {have[0]} and {have[1]} seeds; run {FEWEST_SEEDS} of each and ask again"
        return result("unknown", FEWEST_SEEDS, f"{names}: {known}")
    if comparison.p < 1 - level:
        return result("decided", 0, f"{names} is decided with {have[0]} and {have[1]} seeds ({interval})")
    spreads = first.full.var(ddof=1), second.full.var(ddof=1)
    patient_variance = comparison.uncertainty.patient_variance
    counts = np.arange(max(have) + (have[0] == have[1]), MOST + 1)  # at equal numbers, those at hand did not decide it
    reach = detectable(spreads, patient_variance, counts, power, level)
    if len(enough := np.flatnonzero(abs(comparison.difference) >= reach)):
        seeds = int(counts[enough[0]])
        return result("needed", seeds, f"{names} is not decided ({interval}); {_text(result('', seeds, '').more, seeds, power)}")
    least = detectable((0.0, 0.0), patient_variance, np.array([MOST]), power, level)[0]
    if abs(comparison.difference) >= least:
        return result("beyond", 0, f"{names} is not decided ({interval}); it would take more than {MOST:,} seeds of each")
    why = f"with these {first.patients:,} patients, and any number of seeds, a difference must reach {least:.3g}"
    return result("patients", 0, f"{names} is not decided ({interval}), and no number of seeds would do it: {why}")


def detectable(spreads: tuple[float, float], patient_variance: float, seeds: np.ndarray, power: float, level: float) -> np.ndarray:
    """The difference that S seeds a side decide with ``power``, for each S of ``seeds``; ``spreads``: s^2 of either side."""
    from scipy.special import ndtri

    total, upper = sum(spreads), np.array([(1 + level) / 2])
    df_per_seed = total**2 / sum(spread**2 for spread in spreads) if total else 1.0
    seed_variance = total / seeds
    wider = np.array([widening(float((count - 1) * df_per_seed), upper)[0] for count in seeds])
    variance = patient_variance + seed_variance
    share = np.divide(seed_variance, variance, out=np.zeros_like(variance), where=variance > 0)
    return np.asarray(np.sqrt(variance) * (ndtri(upper[0]) * (1 - share + share * wider) + ndtri(power)))


def _text(more: tuple[int, int], seeds: int, power: float) -> str:
    wanted = f"{more[0]} and {more[1]}" if more[0] != more[1] else f"{more[0]}"
    return (
        f"{wanted} more seeds ({seeds} of each) would decide it with {100 * power:g} % chance, if the difference and"
        " the spread over seeds are what they seem"
    )
