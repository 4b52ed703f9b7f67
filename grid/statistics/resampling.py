"""Resampling patients: one shared set of draws for all values of a table.

A resample draws P of P patients with replacement: how often each was drawn is its weight. All
values of a table get the same draws, so their differences are paired by patient. Draws depend on P,
the number of resamples and ``SEED`` alone: a table printed again has the same intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from grid.statistics.base import Additive, Statistic
from grid.statistics.bounds import ANY, Bounds
from grid.statistics.rows import Runs, same_patients

SEED = 307
RESAMPLES = 10_000
CHUNK = 2_000_000
"""Weights that are drawn at a time (16 MB as float64)."""


@dataclass(frozen=True)
class Resampled:
    """One table value under one statistic.

    Attributes:
        runs: its rows.
        statistic: the statistic.
        full: (S,), the value of each seed, every patient once.
        draws: (S, B), the value of each seed in each resample.
        per_patient: (S, P), the values whose weighted mean ``full`` is, where there is such a
            thing.
        bounds: which values are possible.
        counted: how many patients stand behind it, where these are fewer than its runs have.
    """

    runs: Runs
    statistic: Statistic
    full: np.ndarray
    draws: np.ndarray
    per_patient: np.ndarray | None
    bounds: Bounds = ANY
    counted: int = 0

    @property
    def estimate(self) -> float:
        """Mean over seeds."""
        return float(self.full.mean())

    @property
    def seeds(self) -> int:
        """Number of seeds S."""
        return len(self.full)

    @property
    def patients(self) -> int:
        """Number of patients P."""
        return self.counted or len(self.runs.patients)

    @cached_property
    def mean_draws(self) -> np.ndarray:
        """(B,), the mean over seeds in each resample."""
        return self.draws.mean(0)

    @cached_property
    def shared_variance(self) -> float:
        """The variance of the draws that seeds share. It needs two seeds."""
        return shared_variance(self.draws)


def resample(
    values: Sequence[Runs],
    statistic: Statistic,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    bounds: Bounds | None = None,
) -> list[Resampled]:
    """Evaluate a statistic of all values in the same resamples.

    Additive statistics of all values are one matrix product a chunk of resamples. Memory is bounded
    by the result, 8 x resamples x runs bytes, and a chunk.

    Args:
        values: the values.
        statistic: the statistic.
        resamples: how many.
        seed: of the draws.
        bounds: which values are possible. None: those that the statistic says.

    Raises:
        EchoLMError: the values are of different patients. It names ids.
    """
    for runs in values[1:]:
        same_patients(values[0], runs)
    if not values:
        return []
    if not resamples:
        all_draws = [np.empty((len(runs.seeds), 0)) for runs in values]
    elif isinstance(statistic, Additive):
        all_draws = _additive_draws(values, statistic, resamples, seed)
    else:
        all_draws = _general_draws(values, statistic, resamples, seed)
    resampled = []
    for runs, draws in zip(values, all_draws, strict=True):
        full = statistic.full(runs)
        per_patient = statistic.per_patient(runs)
        possible = bounds or statistic.bounds
        resampled.append(Resampled(runs, statistic, full, draws, per_patient, possible))
    return resampled


def shared_variance(draws: np.ndarray) -> float:
    """Return the variance that seeds share, from draws (S, B).

    It is the mean covariance of two different seeds over resamples.
    """
    means = draws.mean(0)
    defined = np.isfinite(means)
    if not defined.any():
        return np.nan
    if not defined.all():
        draws = draws[:, defined]
        means = means[defined]
    seeds = len(draws)
    within = draws.var(1).mean()
    return float((seeds * means.var() - within) / (seeds - 1))


def patient_weights(
    patients: int, resamples: int, seed: int = SEED
) -> Iterator[tuple[slice, np.ndarray]]:
    """Draw resamples of patients in chunks.

    Yields:
        The chunk's slice of all resamples, and how often each patient was drawn, (chunk, P)
        float64.
    """
    generator = np.random.default_rng([seed, patients])
    step = max(1, CHUNK // patients)
    for start in range(0, resamples, step):
        chunk = min(step, resamples - start)
        drawn = generator.integers(0, patients, (chunk, patients))
        # Each resample gets numbers of its own, so that one count serves the whole chunk.
        drawn += patients * np.arange(chunk)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=chunk * patients)
        yield slice(start, start + chunk), counts.reshape(chunk, patients).astype(np.float64)


@lru_cache(maxsize=16)
def seed_weights(seeds: int, resamples: int, side: int = 0, seed: int = SEED) -> np.ndarray:
    """Return how often each of S seeds is drawn in each resample, (B, S).

    Seeds are drawn independently of the patients, and independently for the two sides of a
    comparison.
    """
    generator = np.random.default_rng([seed, seeds, 1 + side])
    drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    weights = drawn.astype(np.float64)
    weights.flags.writeable = False  # all callers share it
    return weights


def _general_draws(
    values: Sequence[Runs], statistic: Statistic, resamples: int, seed: int
) -> list[np.ndarray]:
    """Return draws (S, B) of each value."""
    all_draws = [np.empty((len(runs.seeds), resamples)) for runs in values]
    for chunk, weights in patient_weights(len(values[0].patients), resamples, seed):
        for runs, draws in zip(values, all_draws, strict=True):
            draws[:, chunk] = statistic.evaluate(runs, weights)
    return all_draws


def _additive_draws(
    values: Sequence[Runs], statistic: Additive, resamples: int, seed: int
) -> list[np.ndarray]:
    """Return draws (S, B) of each value: the patients' sums side by side, times the weights."""
    patients = len(values[0].patients)
    all_sums = [runs.patient_sums(statistic.columns(runs)) for runs in values]
    # (P, S x k) of each value.
    blocks = [np.moveaxis(sums, 1, 0).reshape(patients, -1) for sums in all_sums]
    base_weights = np.stack([runs.patient_weights for runs in values], 1)
    equal_weights = bool((base_weights == 1).all())
    if equal_weights:
        table = np.concatenate(blocks, 1)
    else:
        table = np.concatenate([*blocks, base_weights], 1)
    ends = np.cumsum([0, *(block.shape[1] for block in blocks)])
    all_draws = [np.empty((len(runs.seeds), resamples)) for runs in values]
    for chunk, weights in patient_weights(patients, resamples, seed):
        # A row a sum, so that those of a value lie in one piece.
        product = table.T @ weights.T
        for number, draws in enumerate(all_draws):
            seeds, _, width = all_sums[number].shape
            rows = product[ends[number] : ends[number + 1]].reshape(seeds, width, -1)
            sums = np.moveaxis(rows, 1, -1)
            if equal_weights:
                total = np.full(len(weights), float(patients))
            else:
                total = product[ends[-1] + number]
            with np.errstate(invalid="ignore", divide="ignore"):
                draws[:, chunk] = statistic.finish(sums, np.broadcast_to(total, sums.shape[:2]))
    return all_draws
