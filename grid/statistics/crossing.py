"""The crossed bootstrap over patients and seeds: what another test set *and* another training might have given.

A value is the mean over S seeds of a statistic on P patients. Patient p in seed s contributes

    mean + seed_s + patient_p + noise_sp,      so that      variance = A / S + B / P + E / (S P)

with variances A of seeds, B of patients (what all seeds share) and E of what a patient does in one seed alone.
Patients and seeds are resampled independently of each other, with these choices:

1. *Seeds.* Each resample draws S of S seeds; deviations from the mean over seeds are multiplied by sqrt(S / (S - 1)),
   since drawing from S values has S - 1 parts of S of their variance. That is s^2 / S with s^2 the variance (ddof 1)
   of the seeds' values, which holds A / S + E / (S P): E is in it, as each seed's value has its own noise.
2. *Patients.* Each resample draws P of P patients, the same for all seeds and all values of a table. The mean over seeds
   then varies by B / P + E / (S P), so E would count twice (and three times where the drawn seeds are evaluated on the
   drawn patients: no resampling of both has the right variance, McCullagh, Bernoulli 2000; Owen, Ann Appl Stat 2007).
   Its deviations are therefore shrunk to the part that seeds share, B / P: the mean covariance of two seeds over the
   resamples. The sum is the variance of Obuchowski and Rockette (Commun Stat Simul 1995) for readers who read the same
   cases; here the readers are seeds. For differences of good models E is the largest part, so this matters.
3. *Few seeds.* A variance from three seeds has two degrees of freedom, and plain percentiles then cover far less than
   they say. Deviations are widened at each probability u by the mean of t(u) / z(u) of both components, weighted by
   their variances (Cochran's rule for two variances): exact where one component is all, on the safe side between.
   (Satterthwaite's degrees of freedom, as in Hillis, Stat Med 2007, would be shorter there, but fall below the nominal
   coverage.) Patients get the same treatment, P / (P - 1) and t(P - 1) (Hesterberg, Am Stat 2015): nothing at P = 1,264.
4. Under three seeds there is no seed component: *patients only*, with the trained networks as given.

Step by step, on draws as ``grid.statistics`` has them: d, the deviations of the mean over seeds in the resamples of patients
(its variance V has ddof 0); C, the mean covariance of two seeds over them, at least 0 (of a difference: C of both, less twice
the covariance of their means). To d x sqrt(C / V x P / (P - 1)) the mean of the drawn seeds' deviations x sqrt(S / (S - 1)) is
added (of a difference: that of the second is subtracted). Sorted, number i of B is multiplied by the mean of t(u) / z(u),
u = (i + 1/2) / B: with P - 1 degrees of freedom and weight C x P / (P - 1), and with S - 1 (Welch's for two sides) and weight
s^2 / S. Sorted again, they are the draws. p is 2 (1 + n) / (1 + B), n the draws on the other side of 0; without any it is the p
at which the quantile of both components reaches 0, where that is less.

``tests/grid/statistics/test_coverage.py`` prints and checks the coverage of this and of the plain construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from grid.statistics.resampling import Resampled, seed_weights

FEWEST_SEEDS = 3
"""Seeds that a seed component takes."""


@dataclass(frozen=True)
class Uncertainty:
    """An estimate and draws of what it might have been, sorted.

    ``patient_variance``, ``seed_variance``: the two components of the variance of the estimate, with their degrees of
    freedom ``patient_df``, ``seed_df``. ``crossed`` is False where seeds are not counted. ``undefined``: share of resamples in
    which the statistic is not defined (one class only); they are left out.
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
        """The central interval; NaN where there are no draws."""
        if not len(self.draws):
            return np.nan, np.nan
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided: 1 - the level of the interval that just reaches ``null``.

        Beyond the last draw it is that of the variance with the same quantiles, so that Holm's adjustment over many comparisons does
        not end at the number of resamples.
        """
        if not len(self.draws):
            return np.nan
        fewer = min((self.draws <= null).sum(), (self.draws >= null).sum())
        p = float(min(1.0, 2 * (1 + fewer) / (1 + len(self.draws))))
        return p if fewer else min(p, self._tail(abs(null - self.estimate), p))

    def _tail(self, distance: float, otherwise: float) -> float:
        """The p at which the quantile of the two components is ``distance``, by bisection of its logarithm."""
        from scipy.special import stdtrit

        total = self.patient_variance + self.seed_variance
        if not total:
            return otherwise
        share = self.seed_variance / total
        low, high = -600.0, 0.0
        for _ in range(60):
            middle = (low + high) / 2
            quantile = [-stdtrit(min(df, 1e9), np.exp(middle) / 2) for df in (self.patient_df, self.seed_df)]
            if np.sqrt(total) * ((1 - share) * quantile[0] + share * quantile[1]) > distance:
                low = middle
            else:
                high = middle
        return float(np.exp(high))


def crossed(value: Resampled) -> Uncertainty:
    """The uncertainty of a mean over seeds; patients only under ``FEWEST_SEEDS`` seeds."""
    own = value.draws.mean(0)
    shared = shared_variance(value.draws) if value.seeds >= FEWEST_SEEDS else np.nan
    return _uncertainty(value.estimate, own, shared, [value.full], value.patients)


def crossed_difference(first: Resampled, second: Resampled) -> Uncertainty:
    """The uncertainty of first - second in the same resamples of patients. Seeds of the two are drawn independently,
    also where their numbers are equal: two networks share no more than that number.

    Patients only when either has under ``FEWEST_SEEDS`` seeds.
    """
    sides = first.draws.mean(0), second.draws.mean(0)
    shared = np.nan
    if min(first.seeds, second.seeds) >= FEWEST_SEEDS:
        ok = np.isfinite(sides[0] + sides[1])
        between = np.cov(sides[0][ok], sides[1][ok], ddof=0)[0, 1] if ok.sum() > 1 else np.nan
        shared = shared_variance(first.draws) + shared_variance(second.draws) - 2 * between
    estimate = first.estimate - second.estimate
    return _uncertainty(estimate, sides[0] - sides[1], shared, [first.full, -second.full], first.patients)


def patients_only(value: Resampled) -> Uncertainty:
    """Plain percentiles over patients of the mean over the seeds as they are."""
    own = value.draws.mean(0)
    good = np.sort(own[np.isfinite(own)]) if np.isfinite(value.estimate) else np.empty(0)
    variance = float(good.var()) if len(good) else np.nan
    return Uncertainty(value.estimate, good, variance, np.inf, 0.0, np.inf, False, 1 - len(good) / len(own))


def shared_variance(draws: np.ndarray) -> float:
    """Mean covariance of two different seeds over resamples, from (S, B): the variance that seeds share."""
    good = draws[:, np.isfinite(draws).all(0)]
    seeds = len(good)
    return float((seeds * good.mean(0).var() - good.var(1).mean()) / (seeds - 1)) if good.size else np.nan


def seed_component(sides: Sequence[np.ndarray]) -> tuple[float, float]:
    """Variance of a sum of means over seeds, from the seeds' values of each side, and its degrees of freedom (Welch)."""
    parts = [(full.var(ddof=1) / len(full), len(full) - 1) for full in sides]
    total = sum(variance for variance, _ in parts)
    spent = sum(variance**2 / df for variance, df in parts)
    return float(total), float(total**2 / spent) if spent else float(min(df for _, df in parts))


def widening(df: float, probabilities: np.ndarray) -> np.ndarray:
    """t / z at ``probabilities``; 1 with infinitely many degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    if np.isinf(df):
        return np.ones_like(probabilities)
    off = np.where(np.abs(probabilities - 0.5) < 1e-6, 0.5 + 1e-6, probabilities)
    return np.asarray(stdtrit(df, off) / ndtri(off))


def _uncertainty(estimate: float, own: np.ndarray, shared: float, sides: Sequence[np.ndarray], patients: int) -> Uncertainty:
    """``own`` (B,): the estimate in each resample of patients; ``shared`` is NaN where seeds are not counted."""
    good = np.isfinite(own)
    undefined = 1 - float(good.mean())
    if patients < 2 or not good.any() or not np.isfinite(estimate):
        return Uncertainty(estimate, np.empty(0), np.nan, np.inf, np.nan, np.inf, False, undefined)
    deviations = own[good] - estimate
    patient_variance, seed_variance, seed_df = float(deviations.var()), 0.0, np.inf
    if counted := bool(np.isfinite(shared)):
        kept = max(shared, 0.0)
        deviations = deviations * (np.sqrt(kept / patient_variance) if patient_variance else 0.0)
        patient_variance = kept
        seed_variance, seed_df = seed_component(sides)
    patient_df, scale = float(patients - 1), patients / (patients - 1)
    deviations, patient_variance = deviations * np.sqrt(scale), patient_variance * scale
    if counted:
        deviations = deviations + sum(_seed_deviations(full, side, len(own))[good] for side, full in enumerate(sides))
    deviations = np.sort(deviations)
    total = patient_variance + seed_variance
    if total:
        factors = [_widening(patient_df, len(deviations)), _widening(seed_df, len(deviations))]
        deviations = np.sort(deviations * (patient_variance * factors[0] + seed_variance * factors[1]) / total)
    components = patient_variance, patient_df, seed_variance, seed_df
    return Uncertainty(estimate, estimate + deviations, *components, counted, undefined)


def _seed_deviations(full: np.ndarray, side: int, resamples: int) -> np.ndarray:
    """Deviations of the mean over drawn seeds from the mean over all, (B,), scaled to s^2 / S."""
    seeds = len(full)
    return seed_weights(seeds, resamples, side) @ (full - full.mean()) / seeds * np.sqrt(seeds / (seeds - 1))


@lru_cache(maxsize=64)
def _widening(df: float, count: int) -> np.ndarray:
    """At the probabilities of ``count`` sorted draws."""
    return widening(df, (np.arange(count) + 0.5) / count)
