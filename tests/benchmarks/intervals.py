"""Estimate bootstrap intervals of a whole table, against scipy.stats.bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from grid.statistics import (
    Auc,
    CrossedBootstrap,
    Estimate,
    Mean,
    PatientBootstrap,
    Rows,
    Runs,
    align,
)
from tests.benchmarks.measure import Comparison, Way, compare

PATIENTS = 1277
LIMIT = 1.0
"""Seconds of CPU for a table of 100 values of one seed."""


def measure(folder: Path, tiny: bool) -> list[Comparison]:
    """Measure means of 100 values with one seed and with three, and AUC, which has no sums."""
    values, resamples, rounds = (3, 200, 1) if tiny else (100, 10_000, 5)
    return [means(values, resamples, rounds), areas(50 if tiny else 1000, rounds)]


def means(count: int, resamples: int, rounds: int) -> Comparison:
    """Measure means.

    The peer takes all values of one seed in one call, 50 resamples at a time (its fastest way).
    """
    one, three = table(count, 1), table(count, 3)
    columns = np.stack([runs.column("dice")[0] for runs in one], 1)
    dice = Mean("dice")

    def theirs() -> tuple[np.ndarray, np.ndarray]:
        result = stats.bootstrap(
            (columns,),
            np.mean,
            n_resamples=resamples,
            axis=0,
            batch=50,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        return result.confidence_interval.low, result.confidence_interval.high

    def ours() -> list[Estimate]:
        return PatientBootstrap(resamples=resamples).numbers(one, dice)

    ways = [
        Way("scipy.stats.bootstrap, percentile, one seed", count, theirs),
        Way("over patients, percentile, one seed", count, ours, 3),
        Way(
            "crossed, one seed",
            count,
            lambda: CrossedBootstrap(resamples=resamples).numbers(one, dice),
        ),
        Way(
            "crossed, three seeds",
            count,
            lambda: CrossedBootstrap(resamples=resamples).numbers(three, dice),
        ),
    ]
    title = f"Intervals of {count} means: {resamples:,} resamples of {PATIENTS:,} patients"
    comparison = compare(
        title, "values", ways, rounds, scipy=version("scipy"), **agreement(theirs(), ours())
    )
    facts = {**comparison.facts}
    seconds = []
    for way in comparison.ways:
        seconds.append(count / median(way.rates))
        facts[f"seconds of CPU for the table, {way.name}"] = f"{seconds[-1]:.2f}"
    facts[f"limit for one seed, {LIMIT:g} s"] = "met" if seconds[1] < LIMIT else "ABOVE"
    return replace(comparison, facts=facts)


def areas(resamples: int, rounds: int) -> Comparison:
    """Measure AUC. The peer calls scikit-learn on each resample's rows."""
    random = np.random.default_rng(0)
    label = (random.random(PATIENTS) < 0.22).astype(float)
    score = label + random.normal(0, 1, PATIENTS)
    runs = align({"0": Rows(ids(), {"truth": label, "score": score})})
    few = max(10, resamples // 10)

    def theirs() -> object:
        rng = np.random.default_rng(0)
        return stats.bootstrap(
            (label, score),
            roc_auc_score,
            n_resamples=few,
            paired=True,
            vectorized=False,
            method="percentile",
            rng=rng,
        )

    ways = [
        Way("scipy.stats.bootstrap of sklearn's roc_auc_score", few, theirs),
        Way("auc", resamples, lambda: PatientBootstrap(resamples=resamples).number(runs, Auc())),
    ]
    return compare(f"AUC of one value, {PATIENTS:,} patients", "resamples", ways, rounds)


def ids() -> np.ndarray:
    """Return the ids of patients."""
    return np.array([f"patient{number:05d}" for number in range(PATIENTS)])


def table(count: int, seeds: int) -> list[Runs]:
    """Draw Dice (%) of ``count`` values.

    Patients and seeds differ as those of trained networks do.
    """
    random = np.random.default_rng(seeds)
    patients = random.normal(92, 3, PATIENTS)
    dice = (
        patients
        + random.normal(0, 0.2, (count, seeds, 1))
        + random.normal(0, 1, (count, seeds, PATIENTS))
    )
    return [
        align({str(seed): Rows(ids(), {"dice": own}) for seed, own in enumerate(value)})
        for value in dice
    ]


def agreement(theirs: tuple[np.ndarray, np.ndarray], ours: Sequence[Estimate]) -> dict[str, str]:
    """Say how far the ends of the intervals are apart, as a share of the width.

    Resamples differ.
    """
    ends = np.array([[number.low, number.high] for number in ours], np.float64).T
    apart = np.abs(ends - np.stack(theirs)) / (theirs[1] - theirs[0])
    text = f"{apart.mean():.2g} on average, at most {apart.max():.2g}"
    return {"ends of our intervals from scipy's, share of the width": text}
