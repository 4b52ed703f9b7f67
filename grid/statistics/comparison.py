"""Two values compared, paired by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.bounds import cut_interval
from grid.statistics.crossed_bootstrap import FEWEST_SEEDS, Uncertainty, crossed_difference
from grid.statistics.quantity import Better
from grid.statistics.resampling import Resampled
from grid.statistics.rows import same_test_set

LEVEL = 0.95
EXACT = 50
"""Up to so many patients scipy may take Wilcoxon's exact distribution."""
EQUAL = "equal within the margin"
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Comparison:
    """The difference first - second of one statistic, with its interval.

    Attributes:
        first: the name of the first value.
        second: the name of the second value.
        statistic: the name of the statistic.
        difference: first - second.
        low: the lower end of the interval. No end is beyond what a difference can be.
        high: its upper end.
        p: of the bootstrap.
        wilcoxon: p of Wilcoxon's signed-rank test on the patients' values averaged over seeds. None
            for a statistic without a value a patient. This test always takes the trained networks
            as they are. So does the bootstrap unless it is ``crossed`` (three seeds on either
            side).
        patients: their number.
        seeds: their numbers on either side.
        uncertainty: what the interval and p are read from.
        margin: how far apart equivalent values may be.
        equivalence: the 90 % interval, with a margin.
        level: of the interval.
    """

    first: str
    second: str
    statistic: str
    difference: float
    low: float
    high: float
    p: float
    wilcoxon: float | None
    patients: int
    seeds: tuple[int, int]
    uncertainty: Uncertainty
    margin: float | None = None
    equivalence: tuple[float, float] | None = None
    level: float = LEVEL

    @property
    def crossed(self) -> bool:
        """Whether seeds are counted."""
        return self.uncertainty.crossed

    @property
    def equivalent(self) -> bool | None:
        """Whether the 90 % interval lies within ± ``margin``. None without a margin.

        These are two one-sided tests at 5 %.
        """
        if self.margin is None or self.equivalence is None:
            return None
        return -self.margin < self.equivalence[0] and self.equivalence[1] < self.margin

    @property
    def claim(self) -> str:
        """What the comparison does not say, in a sentence.

        It is empty when seeds are counted, or there is no difference to speak of.
        """
        if self.crossed or not np.isfinite(self.difference):
            return ""
        sentence = (
            f"Patients only, with {self.seeds[0]} and {self.seeds[1]} seeds: it holds for these "
            "trained networks on other patients; that another training would show the same cannot "
            "be claimed."
        )
        needed = []
        for name, count in zip((self.first, self.second), self.seeds, strict=True):
            if count < FEWEST_SEEDS:
                needed.append(f"{FEWEST_SEEDS - count} more of {name}")
        if needed:
            sentence += f" Seeds to run for that: {', '.join(needed)}."
        return sentence

    def word(self, better: Better | None) -> str:
        """Return the verdict in one or few words.

        Args:
            better: which direction is. None where that is not known.

        Returns:
            ``better`` or ``worse`` (the first value, where the interval excludes 0), ``different``
            where no direction is known, ``equal within the margin``, ``undecided`` or
            ``undefined``.
        """
        if not np.isfinite(self.difference):
            return "undefined"
        if self.equivalent:
            return EQUAL
        if not self.p < 1 - self.level:
            return UNDECIDED
        if not better:
            return "different"
        is_higher = self.difference > 0
        return "better" if is_higher == (better == "higher") else "worse"

    def sentence(self, digits: int = 2) -> str:
        """Put the comparison into words."""
        names = f"{self.first} - {self.second}, {self.statistic}"
        if not np.isfinite(self.difference):
            return f"{names}: undefined, as a value of one of them is not a number."
        parts = [f"{names}: {self.difference_text(digits)}."]
        if self.wilcoxon is not None:
            parts.append(f"Wilcoxon over patients, networks as trained: {p_text(self.wilcoxon)}.")
        if self.margin is not None and self.equivalence is not None:
            low, high = self.equivalence
            verdict = "Equivalent" if self.equivalent else "Not shown to be equivalent"
            parts.append(
                f"{verdict} within ±{self.margin:g} "
                f"(90 % interval {low:+.{digits}f} to {high:+.{digits}f})."
            )
        if self.claim:
            parts.append(self.claim)
        return " ".join(parts)

    def difference_text(self, digits: int = 2) -> str:
        """Return the difference with its interval and p, in words."""
        interval = (
            f"{100 * self.level:g} % bootstrap over {self._counts()}: "
            f"{self.low:+.{digits}f} to {self.high:+.{digits}f}"
        )
        return f"{self.difference:+.{digits}f} ({interval}; {p_text(self.p)})"

    def _counts(self) -> str:
        """Return ``40 patients, 3 seeds each``, with seeds only where they are counted."""
        patients = f"{self.patients:,} patients"
        if not self.crossed:
            return patients
        first, second = self.seeds
        if first == second:
            return f"{patients}, {first} seeds each"
        return f"{patients}, {first} and {second} seeds"


def compare(
    first: Resampled,
    second: Resampled,
    margin: float | None = None,
    level: float = LEVEL,
    ranked: bool = True,
) -> Comparison:
    """Compare two values from the same resamples.

    Args:
        first: the first value.
        second: the second value.
        margin: how far apart equivalent values may be.
        level: of the interval.
        ranked: whether Wilcoxon's test is made. ``wilcoxons`` makes it for many values at once.

    Raises:
        EchoLMError: they have other patients (it names ids) or other true values, two statistics or
            other resamples, or the margin is not above 0.
    """
    same_test_set(first.runs, second.runs)
    if first.statistic != second.statistic or first.draws.shape[1] != second.draws.shape[1]:
        kinds = [
            f"{value.statistic.name}, {value.draws.shape[1]} resamples" for value in (first, second)
        ]
        raise EchoLMError(
            f"{first.runs.name} and {second.runs.name}: resampled apart ({'; '.join(kinds)}); "
            "pass both to one call of resample"
        )
    if margin is not None and not margin > 0:
        raise EchoLMError(f"margin {margin}: must be above 0, in the unit of the statistic")
    uncertainty = crossed_difference(first, second)
    possible = first.bounds.of_difference
    difference = uncertainty.estimate
    low, high, _ = cut_interval(difference, *uncertainty.interval(level), possible)
    equivalence = None
    if margin is not None:
        equivalence = cut_interval(difference, *uncertainty.interval(0.90), possible)[:2]
    return Comparison(
        first=first.runs.name,
        second=second.runs.name,
        statistic=first.statistic.name,
        difference=difference,
        low=low,
        high=high,
        p=uncertainty.p_value(),
        wilcoxon=wilcoxon(first, second) if ranked else None,
        patients=first.patients,
        seeds=(first.seeds, second.seeds),
        uncertainty=uncertainty,
        margin=margin,
        equivalence=equivalence,
        level=level,
    )


def wilcoxon(first: Resampled, second: Resampled) -> float | None:
    """Return the two-sided p of Wilcoxon's signed-rank test, as scipy has it.

    It is on the patients' values averaged over seeds. Patients without a difference are left out.

    Returns:
        p. 1 when no patient differs, None without a value a patient, NaN for NaN.
    """
    return wilcoxons(first, [second])[0]


def wilcoxons(first: Resampled, others: Sequence[Resampled]) -> list[float | None]:
    """Return ``wilcoxon`` of one value and each of some others of the same patients."""
    if first.per_patient is None:
        return [None] * len(others)
    means = first.per_patient.mean(0)
    results: list[float | None] = []
    tested, differences = [], []
    for index, other in enumerate(others):
        if other.per_patient is None:
            results.append(None)
            continue
        difference = means - other.per_patient.mean(0)
        if np.isnan(difference).any():
            results.append(float("nan"))
        elif not difference.any():
            results.append(1.0)
        else:
            results.append(None)
            tested.append(index)
            differences.append(difference)
    for index, p in zip(tested, _signed_rank(differences), strict=True):
        results[index] = p
    return results


def _signed_rank(differences: Sequence[np.ndarray]) -> list[float]:
    """Return scipy's p of each array of differences. All are of the same patients."""
    if not differences:
        return []
    from scipy.stats import wilcoxon as signed_rank

    if len(differences[0]) <= EXACT:
        # scipy chooses the method by what it is given. Together they might get another one.
        return [float(signed_rank(one).pvalue) for one in differences]
    return [float(p) for p in signed_rank(np.stack(differences), axis=1).pvalue]


def p_text(p: float) -> str:
    """Return ``p = 0.01``, ``p = 0.012`` below 0.1, ``p < 0.001`` below that."""
    if p < 0.001:
        return "p < 0.001"
    if p < 0.1:
        return f"p = {p:.3f}"
    return f"p = {p:.2f}"
