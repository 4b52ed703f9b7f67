"""Two values compared, paired by patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.crossing import FEWEST_SEEDS, Uncertainty, crossed_difference
from grid.statistics.resampling import Resampled
from grid.statistics.rows import same_patients

LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """The difference first - second of one statistic, with its interval.

    ``p`` is of the bootstrap, ``wilcoxon`` of Wilcoxon's signed-rank test on the patients' values averaged over seeds (None for
    a statistic without a value a patient). Wilcoxon's test always takes the trained networks as they are; so does the
    bootstrap unless it is ``crossed`` (three seeds on either side). ``equivalent``: whether the 90 % interval
    ``equivalence`` lies within ± ``margin`` (two one-sided tests at 5 %); None without a margin.
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
        """See the class."""
        if self.margin is None or self.equivalence is None:
            return None
        return -self.margin < self.equivalence[0] and self.equivalence[1] < self.margin

    @property
    def claim(self) -> str:
        """What the comparison does not say, in a sentence; "" when seeds are counted, or there is no difference to speak of."""
        if self.crossed or not np.isfinite(self.difference):
            return ""
        missing = [max(0, FEWEST_SEEDS - count) for count in self.seeds]
        needed = [f"{count} more of {name}" for count, name in zip(missing, (self.first, self.second), strict=True) if count]
        return (
            f"Patients only, with {self.seeds[0]} and {self.seeds[1]} seeds: it holds for these trained networks on other"
            " patients; that another training would show the same cannot be claimed."
            + (f" Seeds to run for that: {', '.join(needed)}." if needed else "")
        )

    def sentence(self, digits: int = 2) -> str:
        """The comparison in words."""
        if not np.isfinite(self.difference):
            return f"{self.first} - {self.second}, {self.statistic}: undefined, as a value of one of them is not a number."
        seeds = f"{self.seeds[0]} seeds each" if self.seeds[0] == self.seeds[1] else f"{self.seeds[0]} and {self.seeds[1]} seeds"
        over = f"{self.patients:,} patients" + (f", {seeds}" if self.crossed else "")
        interval = f"{100 * self.level:g} % bootstrap over {over}: {self.low:+.{digits}f} to {self.high:+.{digits}f}"
        parts = [f"{self.first} - {self.second}, {self.statistic}: {self.difference:+.{digits}f} ({interval}; {p_text(self.p)})."]
        if self.wilcoxon is not None:
            parts.append(f"Wilcoxon over patients, networks as trained: {p_text(self.wilcoxon)}.")
        if self.margin is not None and self.equivalence is not None:
            low, high = self.equivalence
            verdict = "equivalent" if self.equivalent else "not shown to be equivalent"
            parts.append(f"{verdict.capitalize()} within ±{self.margin:g} (90 % interval {low:+.{digits}f} to {high:+.{digits}f}).")
        return " ".join(filter(None, [*parts, self.claim]))


def compare(first: Resampled, second: Resampled, margin: float | None = None, level: float = LEVEL) -> Comparison:
    """Compare two values from the same resamples.

    EchoLMError, naming ids, when they have other patients; or for two statistics, other resamples, or a margin that is not above 0.
    """
    same_patients(first.runs, second.runs)
    if first.statistic != second.statistic or first.draws.shape[1] != second.draws.shape[1]:
        theirs = [f"{value.statistic.name}, {value.draws.shape[1]} resamples" for value in (first, second)]
        raise EchoLMError(f"{first.runs.name} and {second.runs.name}: resampled apart ({'; '.join(theirs)}); pass both to one call of resample")
    if margin is not None and not margin > 0:
        raise EchoLMError(f"margin {margin}: must be above 0, in the unit of the statistic")
    found = crossed_difference(first, second)
    low, high = found.interval(level)
    return Comparison(
        first.runs.name,
        second.runs.name,
        first.statistic.name,
        found.estimate,
        low,
        high,
        found.p_value(),
        wilcoxon(first, second),
        first.patients,
        (first.seeds, second.seeds),
        found,
        margin,
        None if margin is None else found.interval(0.90),
        level,
    )


def wilcoxon(first: Resampled, second: Resampled) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test on the patients' values averaged over seeds, as scipy has it (patients
    without a difference are left out). 1 when no patient differs; None without a value a patient; NaN for NaN."""
    if first.per_patient is None or second.per_patient is None:
        return None
    differences = first.per_patient.mean(0) - second.per_patient.mean(0)
    if np.isnan(differences).any():
        return float("nan")
    if not differences.any():
        return 1.0
    from scipy.stats import wilcoxon as signed_rank

    return float(signed_rank(differences).pvalue)


def p_text(p: float) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
