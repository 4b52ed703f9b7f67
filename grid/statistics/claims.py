"""How likely it is that a claimed superiority is false.

A table that prints one value as the best claims that it is better than the others. Christodoulou et
al. (arXiv 2505.04720) ask how probable it is, given the numbers, that the better one is not better
in truth. Their closed forms are for one training each, on the same n test cases:

- *means* (Dice): Student's t with n - 1 degrees of freedom,
  ``t(-advantage x sqrt(n) / sqrt(s1^2 + s2^2 - 2 r s1 s2))``, with the standard deviations s over
  cases and their correlation r,
- *proportions* (accuracy): the shares of cases that only one of the two has right follow a
  Dirichlet distribution with a uniform prior, so the answer is a value of the Beta distribution.

Our own values know each patient and several trainings. So the correlation is measured, and the
trainings count too: the variance is that of ``grid.statistics.crossed_bootstrap``, of patients and
seeds drawn independently. Under three seeds it is of patients alone. Where the caller leaves seeds
out, it is the closed form itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.comparison import Comparison
from grid.statistics.crossed_bootstrap import Uncertainty, crossed_difference
from grid.statistics.quantity import Better
from grid.statistics.resampling import Resampled
from grid.statistics.rows import same_patients

LEVEL = 0.05
"""A claim is supported when it is false with less probability."""


@dataclass(frozen=True)
class SuperiorityClaim:
    """The claim that one value is better than another.

    Attributes:
        better: the name of the better value.
        worse: the name of the other.
        advantage: by how much, at least 0, in the unit of the statistic.
        false: the probability that it is not better in truth, 0 to 0.5. NaN where it is not known.
        patients: how many test patients (or cases) there are.
        seeds: how many trainings of each. None for a published number.
        correlation: of the two over patients. None where patients have no value of their own.
        patient_share: the patients' share of the variance, 0 to 1.
        seed_share: the trainings' share. 0 where they are not counted.
    """

    better: str
    worse: str
    advantage: float
    false: float
    patients: int
    seeds: tuple[int, int] | None = None
    correlation: float | None = None
    patient_share: float = 1.0
    seed_share: float = 0.0

    @property
    def supported(self) -> bool:
        """Whether it is false with a probability below ``LEVEL``."""
        return self.false < LEVEL

    @property
    def counts_seeds(self) -> bool:
        """Whether the probability is over trainings too."""
        return self.seed_share > 0


def false_claim_of_means(
    advantage: float, std_better: float, std_worse: float, correlation: float, cases: int
) -> float:
    """Return the probability that a difference of two means over the same cases is not there.

    Args:
        advantage: by how much the better mean is better, at least 0.
        std_better: standard deviation (ddof 1) over cases of the better one.
        std_worse: that of the other.
        correlation: of the two over cases, -1 to 1.
        cases: how many there are, at least 2.

    Raises:
        EchoLMError: a number is out of its range.
    """
    from scipy.special import stdtr

    _check(advantage >= 0, f"advantage {advantage}: must be at least 0")
    _check(min(std_better, std_worse) >= 0, "a standard deviation is at least 0")
    _check(-1 <= correlation <= 1, f"correlation {correlation}: must be from -1 to 1")
    _check(cases >= 2, f"{cases} cases: valid: 2 or more")
    variance = std_better**2 + std_worse**2 - 2 * correlation * std_better * std_worse
    if variance <= 0:
        return 0.0 if advantage else 0.5
    return float(stdtr(cases - 1, -advantage * math.sqrt(cases / variance)))


def false_claim_of_proportions(better: float, worse: float, both: float, cases: int) -> float:
    """Return the probability that the larger of two accuracies on the same cases is not larger.

    Args:
        better: the larger share of cases that is right, 0 to 1.
        worse: the smaller one.
        both: the share of cases that both have right.
        cases: how many there are.

    Raises:
        EchoLMError: the shares contradict one another.
    """
    from scipy.special import betainc

    _check(cases >= 1, f"{cases} cases: valid: 1 or more")
    _check(0 <= worse <= better <= 1, f"accuracies {better}, {worse}: valid: the larger first")
    least = max(0.0, better + worse - 1)
    _check(
        least - 1e-12 <= both <= worse + 1e-12,
        f"{both} of cases right in both: valid: {least:g} to {worse:g}",
    )
    only_better = cases * (better - both)
    only_worse = cases * (worse - both)
    # p1 / (p1 + p2) of a Dirichlet distribution is Beta distributed: P(p1 <= p2) is P(Beta <= 1/2).
    return float(betainc(only_better + 1, only_worse + 1, 0.5))


def claim(
    first: Resampled, second: Resampled, better: Better, seeds: bool = True
) -> SuperiorityClaim:
    """Return the claim that two values of one statistic make, whichever is better.

    Args:
        first: a value.
        second: another one, from the same resamples.
        better: which direction is better.
        seeds: False: by the closed form, of the trained networks as they are.

    Raises:
        EchoLMError: they are of other patients.
    """
    same_patients(first.runs, second.runs)
    difference = first.estimate - second.estimate
    first_is_better = difference >= 0 if better == "higher" else difference <= 0
    if not first_is_better:
        first, second = second, first
    one = _claim(
        (first.runs.name, second.runs.name),
        crossed_difference(first, second),
        first.patients,
        (first.seeds, second.seeds),
    )
    one = replace(one, correlation=_correlation(first, second))
    if seeds:
        return one
    false = _false_over_patients(first, second, one.advantage)
    return replace(one, false=false, patient_share=1.0, seed_share=0.0)


def claim_of(comparison: Comparison) -> SuperiorityClaim:
    """Return the claim of a comparison that was made already: that its first value is better."""
    return _claim(
        (comparison.first, comparison.second),
        comparison.uncertainty,
        comparison.patients,
        comparison.seeds,
    )


def _claim(
    names: tuple[str, str], uncertainty: Uncertainty, patients: int, seeds: tuple[int, int]
) -> SuperiorityClaim:
    """Return the claim that the first of two values is better, by the variance of their difference.

    Args:
        names: of the better and of the other value.
        uncertainty: of their difference.
        patients: how many there are.
        seeds: of either.
    """
    total = uncertainty.patient_variance + uncertainty.seed_variance
    share = uncertainty.patient_variance / total if total else 1.0
    advantage = abs(uncertainty.estimate)
    return SuperiorityClaim(
        better=names[0],
        worse=names[1],
        advantage=advantage,
        false=uncertainty.other_sign,
        patients=patients,
        seeds=seeds,
        patient_share=share,
        seed_share=1 - share,
    )


def tie_groups(values: Sequence[Resampled], better: Better, seeds: bool = True) -> list[list[int]]:
    """Group values that cannot be told apart from the best of their group, the best group first.

    The best value opens a group. All values join it against which its claim is not supported. The
    best of the rest opens the next one.

    Returns:
        Positions in ``values``, each once, the best of a group first.
    """
    sign = -1 if better == "higher" else 1
    finite = [index for index, value in enumerate(values) if np.isfinite(value.estimate)]
    waiting = sorted(finite, key=lambda index: sign * values[index].estimate)
    groups = []
    while waiting:
        best = waiting[0]
        group = [best]
        for other in waiting[1:]:
            if not claim(values[best], values[other], better, seeds).supported:
                group.append(other)
        groups.append(group)
        waiting = [index for index in waiting if index not in group]
    return groups


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise EchoLMError(message)


def _false_over_patients(first: Resampled, second: Resampled, advantage: float) -> float:
    """Return the probability with the trained networks as they are.

    It is the closed form where patients have values. Else the variance is that of the resamples of
    patients, with P - 1 degrees of freedom.
    """
    from scipy.special import stdtr

    if first.patients < 2 or not np.isfinite(advantage):
        return float("nan")
    if first.per_patient is not None and second.per_patient is not None:
        own = first.per_patient.mean(0).std(ddof=1)
        others = second.per_patient.mean(0).std(ddof=1)
        correlation = _correlation(first, second) or 0.0
        return false_claim_of_means(advantage, own, others, correlation, first.patients)
    draws = first.draws.mean(0) - second.draws.mean(0)
    variance = draws[np.isfinite(draws)].var() * first.patients / (first.patients - 1)
    if not variance:
        return 0.0 if advantage else 0.5
    return float(stdtr(first.patients - 1, -advantage / math.sqrt(variance)))


def _correlation(first: Resampled, second: Resampled) -> float | None:
    """Return the correlation over patients of two values, each averaged over its seeds."""
    if first.per_patient is None or second.per_patient is None or first.patients < 2:
        return None
    own = first.per_patient.mean(0)
    others = second.per_patient.mean(0)
    spread = own.std(ddof=1) * others.std(ddof=1)
    if not spread:
        return 0.0
    covariance = np.cov(own, others, ddof=1)[0, 1]
    return float(np.clip(covariance / spread, -1, 1))
