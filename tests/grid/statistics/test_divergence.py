"""Runs that failed to train are told from runs that trained badly."""

from __future__ import annotations

import numpy as np
from statistics_support import runs, value

from grid.statistics import R2, Mean, Resampled, diverged, resample, told


def seeds(*means: float, spread: float = 4.0) -> Resampled:
    patients = np.random.default_rng(0).normal(0, spread, 200)
    return resample([value(np.array(means)[:, None] + patients - patients.mean())], Mean("dice"), 10)[0]


def test_not_better_than_a_model_that_looks_at_no_image() -> None:
    found = diverged(seeds(78.0, 93.0, 75.0, spread=40), "higher", baseline=78.0)
    assert [one.seed for one in found] == ["0", "2"] and "looks at no image" in str(found[0])
    assert [one.seed for one in diverged(seeds(9.0, 2.0, spread=40), "lower", baseline=8.5)] == ["0"]
    assert not diverged(seeds(78.0, 75.0), "higher")
    assert told(found) == "seeds 0, 2 diverged (78.00, 75.00: not better than 78.00, which looks at no image)"
    assert told(found[:1]) == str(found[0]) == "seed 0 diverged (78.00 is not better than 78.00, which looks at no image)"


def test_far_below_its_best_seed() -> None:
    """PanEcho k = 16, MLP, augmentation: 77.42 where others reach 93."""
    found = diverged(seeds(92.9, 77.42, 93.1), "higher")
    assert [(one.seed, round(one.value, 2)) for one in found] == [("1", 77.42)] and "best seed" in str(found[0])
    assert [one.seed for one in diverged(seeds(2.3, 6.55, 2.2, spread=1), "lower")] == ["1"]


def test_the_spread_between_trainings_is_not_divergence() -> None:
    assert not diverged(seeds(93.1, 92.6, 90.4), "higher")
    assert not diverged(seeds(77.33, 73.4, 71.4, spread=11), "higher", baseline=70)  # 2 % of the data: patients differ by 11


def test_a_value_that_is_no_number() -> None:
    found = diverged(seeds(93.0, np.nan, 92.8), "higher", baseline=70)
    assert [one.seed for one in found] == ["1"] and "nan" in str(found[0])
    assert len(diverged(seeds(np.nan, np.nan), "higher")) == 2


def test_statistics_without_a_value_a_patient_are_held_against_the_baseline() -> None:
    two = resample([runs(2, 60)], R2(), 10)[0]
    assert not diverged(two, "higher", baseline=0.0)
    assert len(diverged(two, "higher", baseline=2.0)) == 2
