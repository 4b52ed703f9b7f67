"""Coverage of the crossed bootstrap on values whose variances over seeds and patients are known.

``python -m pytest tests/grid/statistics/test_coverage.py -s`` prints the figures. A nominal 95 %
interval of 1,000 simulated values has a Monte-Carlo standard error of 0.7 %; the bounds are 93 %
(three of them below) and 98.5 % (the rule for few seeds is on the safe side where both parts
count).
"""

from __future__ import annotations

import numpy as np
import pytest
from statistics_support import ids, model

from grid.statistics import Mean, Resampled, Runs, crossed, crossed_difference, resample
from grid.statistics.resampling import seed_weights

COUNT = 1000
PATIENTS = 60
RESAMPLES = 1000
BOUNDS = (0.93, 0.985)
MIXES = {
    "seeds alone": (1.0, 0.0, 0.01),
    "patients alone": (0.0, 1.0, 0.05),
    "both": (1 / PATIENTS, 1.0, 0.3),
    "what a patient does in one seed": (0.0, 0.05, 1.0),
}
"""Variances over seeds, over patients, and of a patient in one seed alone."""


def values(tables: np.ndarray) -> list[Resampled]:
    """Simulated values as those of one table, in one set of resamples."""
    seeds, patients = tuple(str(seed) for seed in range(tables.shape[1])), ids(tables.shape[2])
    owner, weights = np.arange(len(patients)), np.ones(len(patients))
    return resample(
        [Runs("x", seeds, patients, patients, owner, weights, {"dice": own}) for own in tables],
        Mean("dice"),
        RESAMPLES,
    )


def covered(intervals: list[tuple[float, float]]) -> float:
    return float(np.mean([low <= 0 <= high for low, high in intervals]))


def plain(value: Resampled) -> tuple[float, float]:
    """The construction without the corrections.

    Drawn seeds on drawn patients, seeds scaled by S / (S - 1), percentiles.
    """
    drawn = (seed_weights(value.seeds, RESAMPLES) * value.draws.T).mean(1)
    over_all = value.draws.mean(0)
    low, high = np.quantile(
        over_all + np.sqrt(value.seeds / (value.seeds - 1)) * (drawn - over_all), [0.025, 0.975]
    )
    return float(low), float(high)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("mix", MIXES)
def test_a_nominal_95_percent_is_95_percent(mix: str, seeds: int) -> None:
    random = np.random.default_rng([seeds, *mix.encode()])
    found = values(model(random, COUNT, seeds, PATIENTS, *MIXES[mix]))
    own, theirs = (
        covered([crossed(one).interval() for one in found]),
        covered([plain(one) for one in found]),
    )
    print(
        f"{mix}, {seeds} seeds, {PATIENTS} patients: coverage {own:.3f}; plain construction "
        f"{theirs:.3f}"
    )
    assert BOUNDS[0] <= own <= BOUNDS[1]


@pytest.mark.parametrize("seeds", [(3, 3), (3, 10)])
@pytest.mark.parametrize("mix", ["both", "what a patient does in one seed"])
def test_so_is_that_of_a_difference_of_values_that_share_patients(
    mix: str, seeds: tuple[int, int]
) -> None:
    random = np.random.default_rng([*seeds, *mix.encode()])
    shared = model(random, COUNT, 1, PATIENTS, 0, 5, 0)
    first, second = (
        values(shared + model(random, COUNT, count, PATIENTS, *MIXES[mix])) for count in seeds
    )
    found = [crossed_difference(*pair) for pair in zip(first, second, strict=True)]
    own = covered([one.interval() for one in found])
    claimed = float(np.mean([one.p_value() < 0.05 for one in found]))
    print(f"difference, {mix}, {seeds} seeds: coverage {own:.3f}; p < 0.05 in {claimed:.3f}")
    assert BOUNDS[0] <= own <= BOUNDS[1]
    assert claimed == pytest.approx(1 - own, abs=0.01)


def test_why_it_is_not_the_plain_construction() -> None:
    """From three seeds, plain percentiles of seeds cover far too little.

    Of noise that is counted thrice, too much.
    """
    random = np.random.default_rng(11)
    few, thrice = (
        values(model(random, 400, 3, PATIENTS, *MIXES[mix]))
        for mix in ("seeds alone", "what a patient does in one seed")
    )
    assert covered([plain(one) for one in few]) < 0.88
    assert covered([plain(one) for one in thrice]) > 0.985
