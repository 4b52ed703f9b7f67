"""Resampling patients: one shared set of draws for all values of a table.

A resample draws P of P patients with replacement: how often each was drawn is its weight. All values of a table get the
same draws, so their differences are paired by patient. Draws depend on P, the number of resamples and ``SEED`` alone:
a table printed again has the same intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from grid.statistics.base import Additive, Statistic
from grid.statistics.rows import Runs, same_patients

SEED = 307
RESAMPLES = 10_000
CHUNK = 2_000_000
"""Weights that are drawn at a time (16 MB as float64)."""


@dataclass(frozen=True)
class Resampled:
    """One table value under one statistic: ``full`` (S,) of each seed, ``draws`` (S, B) of each seed in each resample.

    ``weights`` (P,) is what a patient weighs before any resampling; ``per_patient`` (S, P) are the values whose
    weighted mean ``full`` is, where there is such a thing.
    """

    runs: Runs
    statistic: Statistic
    full: np.ndarray
    draws: np.ndarray
    per_patient: np.ndarray | None

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
        return len(self.runs.patients)


def resample(values: Sequence[Runs], statistic: Statistic, resamples: int = RESAMPLES, seed: int = SEED) -> list[Resampled]:
    """All ``values`` (of the same patients, else EchoLMError naming ids) under one statistic, in the same resamples.

    Additive statistics of all values are one matrix product a chunk of resamples; memory is bounded by the result,
    8 x resamples x runs bytes, and a chunk.
    """
    for runs in values[1:]:
        same_patients(values[0], runs)
    if not values:
        return []
    if isinstance(statistic, Additive):
        draws = _additive(values, statistic, resamples, seed)
    else:
        draws = [np.empty((len(runs.seeds), resamples)) for runs in values]
        for place, weights in patient_weights(len(values[0].patients), resamples, seed):
            for runs, found in zip(values, draws, strict=True):
                found[:, place] = statistic.evaluate(runs, weights)
    return [
        Resampled(runs, statistic, statistic.full(runs), found, statistic.per_patient(runs))
        for runs, found in zip(values, draws, strict=True)
    ]


def patient_weights(patients: int, resamples: int, seed: int = SEED) -> Iterator[tuple[slice, np.ndarray]]:
    """Chunks of resamples: their place among all, and how often each patient was drawn, (chunk, P) float64."""
    generator = np.random.default_rng([seed, patients])
    step = max(1, CHUNK // patients)
    for start in range(0, resamples, step):
        chunk = min(step, resamples - start)
        drawn = generator.integers(0, patients, (chunk, patients))
        drawn += patients * np.arange(chunk)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=chunk * patients)
        yield slice(start, start + chunk), counts.reshape(chunk, patients).astype(np.float64)


@lru_cache(maxsize=16)
def seed_weights(seeds: int, resamples: int, side: int = 0, seed: int = SEED) -> np.ndarray:
    """How often each of S seeds is drawn in each resample, (B, S); drawn independently of the patients, and
    independently for the two sides of a comparison."""
    generator = np.random.default_rng([seed, seeds, 1 + side])
    drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).astype(np.float64)
    drawn.flags.writeable = False
    return drawn


def _additive(values: Sequence[Runs], statistic: Additive, resamples: int, seed: int) -> list[np.ndarray]:
    """The patients' sums of all runs side by side, times the shared weights."""
    sums = [runs.patient_sums(statistic.columns(runs)) for runs in values]
    blocks = [np.moveaxis(own, 1, 0).reshape(own.shape[1], -1) for own in sums]
    base = np.stack([runs.patient_weights for runs in values], 1)
    constant = bool((base == 1).all())
    table = np.concatenate(blocks if constant else [*blocks, base], 1)
    ends = np.cumsum([0, *(block.shape[1] for block in blocks)])
    found = [np.empty((len(runs.seeds), resamples)) for runs in values]
    for place, weights in patient_weights(len(table), resamples, seed):
        product = weights @ table
        for number, (own, draws) in enumerate(zip(sums, found, strict=True)):
            mine = product[:, ends[number] : ends[number + 1]].reshape(-1, own.shape[0], own.shape[2])
            total = np.full(len(mine), float(len(table))) if constant else product[:, ends[-1] + number]
            with np.errstate(invalid="ignore", divide="ignore"):
                draws[:, place] = statistic.finish(mine, np.broadcast_to(total[:, None], mine.shape[:2])).T
    return found
