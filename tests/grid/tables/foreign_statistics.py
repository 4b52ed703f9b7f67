"""The crossed bootstrap in plain numpy, as the documentation of ``grid.statistics`` says it.

Nothing of ``grid.statistics`` is used.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

B = 10_000


def drawn_patients(patients: int) -> np.ndarray:
    """Which patients are drawn, B x P."""
    return np.random.default_rng([307, patients]).integers(0, patients, (B, patients))


def resampled(values: np.ndarray) -> np.ndarray:
    """Seeds x B."""
    return values[:, drawn_patients(values.shape[1])].mean(-1)


def crossed(*sides: np.ndarray) -> tuple[np.ndarray, float, float]:
    """As ``crossed_of``, of means of values a patient, seeds x patients."""
    drawn = [resampled(side) for side in sides]
    return crossed_of([side.mean(1) for side in sides], drawn, sides[0].shape[1])


def crossed_of(
    fulls: list[np.ndarray], drawn: list[np.ndarray], patients: int
) -> tuple[np.ndarray, float, float]:
    """Sorted draws of a value, or of first - second.

    Its two-sided p; its standard error over patients.

    Args:
        fulls: of each side the value of each seed.
        drawn: of each side its values in the resamples, seeds x B.
        patients: their number.
    """
    signs = (1, -1)
    # Resamples in which the statistic is undefined are left out.
    defined = np.all([np.isfinite(own.mean(0)) for own in drawn], 0)
    drawn = [own[:, defined] for own in drawn]
    count_of_draws = int(defined.sum())
    estimate = sum(sign * full.mean() for sign, full in zip(signs, fulls, strict=False))
    d = sum(sign * own.mean(0) for sign, own in zip(signs, drawn, strict=False)) - estimate
    c = sum(np.cov(own, ddof=0)[~np.eye(len(own), dtype=bool)].mean() for own in drawn)
    c = max(
        0, c - 2 * np.cov(*[own.mean(0) for own in drawn], ddof=0)[0, 1] if len(fulls) == 2 else c
    )
    deviations, c = (
        d * np.sqrt(c / d.var() * patients / (patients - 1)),
        c * patients / (patients - 1),
    )
    parts = [(full.var(ddof=1) / len(full), len(full) - 1) for full in fulls]
    a, df = (
        sum(part for part, _ in parts),
        sum(part for part, _ in parts) ** 2 / sum(part**2 / free for part, free in parts),
    )
    for at, full in enumerate(fulls):
        count = len(full)
        weights = np.random.default_rng([307, count, 1 + at]).multinomial(
            count, [1 / count] * count, B
        )
        own = (weights @ (full - full.mean()) / count)[defined]
        deviations = deviations + signs[at] * own * np.sqrt(count / (count - 1))
    u = (np.arange(count_of_draws) + 0.5) / count_of_draws
    u[u == 0.5] += 1e-6  # both quantiles are 0 there, and their ratio is its limit
    wider = (
        (c * stats.t.ppf(u, patients - 1) + a * stats.t.ppf(u, df)) / stats.norm.ppf(u) / (a + c)
    )
    draws = estimate + np.sort(np.sort(deviations) * wider)
    fewer = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1, 2 * (1 + fewer) / (1 + count_of_draws))
    if not fewer:

        def reach(log: float) -> float:
            patient_part = c * stats.t.ppf(np.exp(log) / 2, patients - 1)
            seed_part = a * stats.t.ppf(np.exp(log) / 2, df)
            return -(patient_part + seed_part) / np.sqrt(a + c)

        p = min(p, np.exp(optimize.brentq(lambda log: reach(log) - abs(estimate), -300, 0)))
    return draws, p, d.std()
