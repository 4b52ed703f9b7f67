"""The crossed bootstrap over patients and seeds.

It says what another test set *and* another training might have given.

A value is the mean over S seeds of a statistic on P patients. Patient p in seed s contributes

    mean + seed_s + patient_p + noise_sp,      so that      variance = A / S + B / P + E / (S P)

with variances A of seeds, B of patients (what all seeds share) and E of what a patient does in one
seed alone. Patients and seeds are resampled independently of each other, with these choices:

1. *Seeds.* Each resample draws S of S seeds. Deviations from the mean over seeds are multiplied by
   sqrt(S / (S - 1)), since drawing from S values has S - 1 parts of S of their variance. That is
   s^2 / S with s^2 the variance (ddof 1) of the seeds' values, which holds A / S + E / (S P): E is
   in it, as each seed's value has its own noise.
2. *Patients.* Each resample draws P of P patients, the same for all seeds and all values of a
   table. The mean over seeds then varies by B / P + E / (S P), so E would count twice (and three
   times where the drawn seeds are evaluated on the drawn patients: no resampling of both has the
   right variance, McCullagh, Bernoulli 2000, and Owen, Ann Appl Stat 2007). Its deviations are
   therefore shrunk to the part that seeds share, B / P: the mean covariance of two seeds over the
   resamples. The sum is the variance of Obuchowski and Rockette (Commun Stat Simul 1995) for
   readers who read the same cases. Here the readers are seeds. For differences of good models E is
   the largest part, so this matters.
3. *Few seeds.* A variance from three seeds has two degrees of freedom, and plain percentiles then
   cover far less than they say. Deviations are widened at each probability u by the mean of t(u) /
   z(u) of both components, weighted by their variances (Cochran's rule for two variances): exact
   where one component is all, on the safe side between. (Satterthwaite's degrees of freedom, as in
   Hillis, Stat Med 2007, would be shorter there, but fall below the nominal coverage.) Patients get
   the same treatment, P / (P - 1) and t(P - 1) (Hesterberg, Am Stat 2015): nothing at P = 1,264.
4. Under three seeds there is no seed component: *patients only*, with the trained networks as
   given.

Step by step, on draws as ``grid.statistics`` has them: d are the deviations of the mean over seeds
in the resamples of patients (its variance V has ddof 0). C is the mean covariance of two seeds over
them, at least 0 (of a difference: C of both, less twice the covariance of their means). To d x
sqrt(C / V x P / (P - 1)) the mean of the drawn seeds' deviations x sqrt(S / (S - 1)) is added (of a
difference: that of the second is subtracted). Sorted, number i of B is multiplied by the mean of
t(u) / z(u), u = (i + 1/2) / B: with P - 1 degrees of freedom and weight C x P / (P - 1), and with
S - 1 (Welch's for two sides) and weight s^2 / S. Sorted again, they are the draws. p is 2 (1 + n) /
(1 + B), n the draws on the other side of 0. Without any it is the p at which the quantile of both
components reaches 0, where that is less.

``tests/grid/statistics/test_coverage.py`` prints and checks the coverage of this and of the plain
construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from grid.statistics.resampling import Resampled, seed_weights

FEWEST_SEEDS = 3
"""Seeds that a seed component takes."""

LEAST_LOG_P = -500.0
"""The logarithm of the least p that is told apart from 0: below e^-600 scipy's stdtrit fails."""


@dataclass(frozen=True)
class Uncertainty:
    """An estimate and draws of what it might have been, sorted.

    Attributes:
        estimate: the value.
        draws: (B,), sorted.
        patient_variance: the patients' component of the variance of the estimate.
        patient_df: its degrees of freedom.
        seed_variance: the seeds' component.
        seed_df: its degrees of freedom.
        crossed: False where seeds are not counted.
        undefined: share of resamples in which the statistic is not defined (one class only). They
            are left out.
    """

    estimate: float
    draws: np.ndarray
    patient_variance: float
    patient_df: float
    seed_variance: float
    seed_df: float
    crossed: bool
    undefined: float = 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the central interval, NaN where there are no draws."""
        if not len(self.draws):
            return np.nan, np.nan
        return (
            quantile_of_sorted(self.draws, (1 - level) / 2),
            quantile_of_sorted(self.draws, (1 + level) / 2),
        )

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p: 1 - the level of the interval that just reaches ``null``.

        Beyond the last draw it is that of the variance with the same quantiles, so that Holm's
        adjustment over many comparisons does not end at the number of resamples.
        """
        if not len(self.draws):
            return np.nan
        fewer = min((self.draws <= null).sum(), (self.draws >= null).sum())
        p = float(min(1.0, 2 * (1 + fewer) / (1 + len(self.draws))))
        if fewer:
            return p
        return min(p, self._tail(abs(null - self.estimate), p))

    def tail(self, distance: float) -> float:
        """Return the probability that the value is at least ``distance`` below the estimate.

        It is read from the two components, not from the draws.

        Args:
            distance: at least 0. At 0 it is one half.
        """
        if not np.isfinite(distance + self.patient_variance + self.seed_variance):
            return np.nan
        if not distance:
            return 0.5
        nothing_varies = 0.0
        return self._tail(distance, nothing_varies) / 2

    @cached_property
    def other_sign(self) -> float:
        """The probability that the value has the other sign than the estimate.

        It is kept: tables, captions and reports each ask for it.
        """
        return self.tail(abs(self.estimate))

    def _tail(self, distance: float, otherwise: float) -> float:
        """Return the p at which the quantile of the two components is ``distance``.

        Args:
            distance: from the estimate, above 0.
            otherwise: what to return when nothing varies.
        """
        from scipy.optimize import brentq

        if not self.patient_variance + self.seed_variance:
            return otherwise

        def excess(log_p: float) -> float:
            return self._quantile(np.exp(log_p)) - distance

        # From the middle outwards: where few degrees of freedom meet a tiny p, stdtrit gives NaN.
        low = -1.0
        while not excess(low) >= 0:
            low *= 2
            if low < LEAST_LOG_P or np.isnan(excess(low)):
                return float(np.exp(max(low, LEAST_LOG_P)))
        return float(np.exp(brentq(excess, low, 0.0)))

    def _quantile(self, p: float) -> float:
        """Return how far from the estimate the interval of level 1 - ``p`` reaches."""
        from scipy.special import stdtrit

        total = self.patient_variance + self.seed_variance
        share = self.seed_variance / total
        # stdtrit does not take infinitely many degrees of freedom.
        patients = -stdtrit(min(self.patient_df, 1e9), p / 2)
        seeds = -stdtrit(min(self.seed_df, 1e9), p / 2)
        return float(np.sqrt(total) * ((1 - share) * patients + share * seeds))


def crossed(value: Resampled) -> Uncertainty:
    """Return the uncertainty of a mean over seeds. Patients only under ``FEWEST_SEEDS`` seeds."""
    shared = np.nan
    if value.seeds >= FEWEST_SEEDS:
        shared = value.shared_variance
    return _uncertainty(value.estimate, value.mean_draws, shared, [value.full], value.patients)


def crossed_difference(first: Resampled, second: Resampled) -> Uncertainty:
    """Return the uncertainty of first - second in the same resamples of patients.

    Seeds of the two are drawn independently, also where their numbers are equal: two networks share
    no more than that number. Patients only when either has under ``FEWEST_SEEDS`` seeds.
    """
    first_means = first.mean_draws
    second_means = second.mean_draws
    shared = np.nan
    if min(first.seeds, second.seeds) >= FEWEST_SEEDS:
        between = _covariance(first_means, second_means)
        shared = first.shared_variance + second.shared_variance - 2 * between
    return _uncertainty(
        estimate=first.estimate - second.estimate,
        means=first_means - second_means,
        shared=shared,
        sides=[first.full, -second.full],
        patients=first.patients,
    )


def patients_only(value: Resampled) -> Uncertainty:
    """Return plain percentiles over patients of the mean over the seeds as they are."""
    means = value.mean_draws
    draws = np.empty(0)
    if np.isfinite(value.estimate):
        draws = np.sort(means[np.isfinite(means)])
    variance = np.nan
    if len(draws):
        variance = float(draws.var())
    return Uncertainty(
        estimate=value.estimate,
        draws=draws,
        patient_variance=variance,
        patient_df=np.inf,
        seed_variance=0.0,
        seed_df=np.inf,
        crossed=False,
        undefined=1 - len(draws) / len(means),
    )


def seed_component(sides: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the variance of a sum of means over seeds, and its degrees of freedom (Welch).

    Args:
        sides: the seeds' values of each side.
    """
    variances = [full.var(ddof=1) / len(full) for full in sides]
    freedoms = [len(full) - 1 for full in sides]
    total = sum(variances)
    spent = 0.0
    for variance, freedom in zip(variances, freedoms, strict=True):
        spent += variance**2 / freedom
    if not spent:
        return float(total), float(min(freedoms))
    return float(total), float(total**2 / spent)


def widening(df: float, probabilities: np.ndarray) -> np.ndarray:
    """Return t / z at ``probabilities``. It is 1 with infinitely many degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    if np.isinf(df):
        return np.ones_like(probabilities)
    # Both quantiles are 0 at one half, so their ratio is taken just beside it.
    off = np.where(np.abs(probabilities - 0.5) < 1e-6, 0.5 + 1e-6, probabilities)
    return np.asarray(stdtrit(df, off) / ndtri(off))


def _covariance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the covariance (ddof 0) of draws where both are defined. NaN from fewer than two."""
    defined = np.isfinite(first + second)
    if defined.sum() < 2:
        return np.nan
    if not defined.all():
        first, second = first[defined], second[defined]
    return float((first - first.mean()) @ (second - second.mean()) / len(first))


def _uncertainty(
    estimate: float,
    means: np.ndarray,
    shared: float,
    sides: Sequence[np.ndarray],
    patients: int,
) -> Uncertainty:
    """Put the components together, step by step as the module says.

    Args:
        estimate: the value.
        means: (B,), the estimate in each resample of patients.
        shared: the variance that seeds share. NaN where seeds are not counted.
        sides: the seeds' values of each side, those of the second with the other sign.
        patients: their number.
    """
    defined = np.isfinite(means)
    undefined = 1 - float(defined.mean())
    if patients < 2 or not defined.any() or not np.isfinite(estimate):
        return Uncertainty(
            estimate=estimate,
            draws=np.empty(0),
            patient_variance=np.nan,
            patient_df=np.inf,
            seed_variance=np.nan,
            seed_df=np.inf,
            crossed=False,
            undefined=undefined,
        )
    all_defined = bool(defined.all())
    deviations = (means if all_defined else means[defined]) - estimate
    patient_variance = float(deviations.var())
    seed_variance = 0.0
    seed_df = np.inf
    counts_seeds = bool(np.isfinite(shared))
    if counts_seeds:
        shrunk_variance = max(shared, 0.0)
        shrinking = 0.0
        if patient_variance:
            shrinking = np.sqrt(shrunk_variance / patient_variance)
        deviations = deviations * shrinking
        patient_variance = shrunk_variance
        seed_variance, seed_df = seed_component(sides)
    patient_df = float(patients - 1)
    scale = patients / (patients - 1)
    deviations = deviations * np.sqrt(scale)
    patient_variance = patient_variance * scale
    if counts_seeds:
        of_seeds = np.zeros(len(means))
        for side, full in enumerate(sides):
            of_seeds += _seed_deviations(full, side, len(means))
        deviations += of_seeds if all_defined else of_seeds[defined]
    deviations.sort()
    total = patient_variance + seed_variance
    if total:
        patient_factors = patient_variance * _widening(patient_df, len(deviations))
        seed_factors = seed_variance * _widening(seed_df, len(deviations))
        deviations *= patient_factors + seed_factors
        deviations /= total
        # Few places changed: a stable sort takes what is in order as it is.
        deviations.sort(kind="stable")
    return Uncertainty(
        estimate=estimate,
        draws=estimate + deviations,
        patient_variance=patient_variance,
        patient_df=patient_df,
        seed_variance=seed_variance,
        seed_df=seed_df,
        crossed=counts_seeds,
        undefined=undefined,
    )


def _seed_deviations(full: np.ndarray, side: int, resamples: int) -> np.ndarray:
    """Return deviations of the mean over drawn seeds from the mean over all, (B,).

    They are scaled to s^2 / S.
    """
    seeds = len(full)
    deviations = seed_weights(seeds, resamples, side) @ (full - full.mean()) / seeds
    return deviations * np.sqrt(seeds / (seeds - 1))


def quantile_of_sorted(draws: np.ndarray, probability: float) -> float:
    """Return the quantile of sorted numbers, as ``np.quantile`` has it."""
    index = probability * (len(draws) - 1)
    below = int(index)
    share = index - below
    low = draws[below]
    high = draws[min(below + 1, len(draws) - 1)]
    if share >= 0.5:
        return float(high - (high - low) * (1 - share))
    return float(low + (high - low) * share)


@dataclass(frozen=True)
class _Interpolation:
    """How ``widening`` at many probabilities follows from a few.

    Both quantiles are odd functions about one half, so that their ratio is a smooth function of
    z^2: the polynomial through ``NODES`` Chebyshev nodes has it to all digits that scipy has.

    Attributes:
        probabilities: of the nodes, in the lower tail.
        z: the nodes' normal quantiles, without their sign.
        matrix: (half of the draws, nodes), what turns the ratio at the nodes into that at the
            draws above one half.
    """

    probabilities: np.ndarray
    z: np.ndarray
    matrix: np.ndarray


NODES = 32


@lru_cache(maxsize=8)
def _interpolation(count: int) -> _Interpolation:
    """Prepare the widening of ``count`` sorted draws."""
    from numpy.polynomial.chebyshev import chebvander
    from scipy.special import ndtr, ndtri

    upper = (np.arange(count // 2, count) + 0.5) / count
    squares = np.square(ndtri(upper))
    nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    z = np.sqrt((nodes + 1) / 2 * squares[-1])
    at_draws = chebvander(squares / squares[-1] * 2 - 1, NODES - 1)
    matrix = at_draws @ np.linalg.inv(chebvander(nodes, NODES - 1))
    return _Interpolation(ndtr(-z), z, matrix)


@lru_cache(maxsize=64)
def _widening(df: float, count: int) -> np.ndarray:
    """Return ``widening`` at the probabilities of ``count`` sorted draws."""
    from scipy.special import stdtrit

    if np.isinf(df) or count <= NODES:
        return widening(df, (np.arange(count) + 0.5) / count)
    interpolation = _interpolation(count)
    at_nodes = -stdtrit(df, interpolation.probabilities) / interpolation.z
    upper = interpolation.matrix @ at_nodes
    # Of an odd number of draws, the one in the middle stands once.
    return np.concatenate([upper[::-1][: count // 2], upper])
