"""Runs that diverged are told from runs far behind their best seed, and from values of no use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statistics_support import rows, runs, value

from grid.statistics import (
    R2,
    Auc,
    Mean,
    Median,
    PooledDice,
    Resampled,
    Rmse,
    Rows,
    Statistic,
    align,
    describe_diverged,
    describe_far_behind,
    diverged,
    not_better,
    resample,
    runs_far_behind,
)


def seeds(*means: float, spread: float = 4.0) -> Resampled:
    patients = np.random.default_rng(0).normal(0, spread, 200)
    return resample(
        [value(np.array(means)[:, None] + patients - patients.mean())], Mean("dice"), 10
    )[0]


def test_not_better_than_the_mean_contour_is_of_the_mean_over_seeds_and_no_divergence() -> None:
    """69.89 beside 69.94 is a network of no use, not a training that failed."""
    close = seeds(69.93, 69.89, 69.85)
    assert not_better(close, "higher", 69.94)
    assert not_better(close, "higher", close.estimate)
    assert not diverged(close)
    assert not runs_far_behind(close, "higher")
    assert not not_better(seeds(69.89, 70.5), "higher", 69.94), (
        "one seed below is not the mean below"
    )
    assert not_better(seeds(9.0, 8.8), "lower", 8.5)
    assert not not_better(seeds(9.0, 7.0), "lower", 8.5)
    assert not not_better(seeds(np.nan, 60.0), "higher", 69.94), "of no number nothing is told"


def test_runs_of_one_reason_are_told_together() -> None:
    lost = diverged(seeds(np.nan, 93.0, np.nan))
    assert describe_diverged(lost) == "seeds 0, 2 diverged (mean dice is nan)"
    assert describe_diverged(lost[:1]) == str(lost[0]) == "seed 0 diverged (mean dice is nan)"
    behind = runs_far_behind(seeds(20.0, 93.0, 30.0), "higher")
    assert describe_far_behind(behind) == (
        "seeds 0, 2 are far behind their best seed (20.00, 30.00; the best 93.00)"
    )
    assert describe_far_behind(behind[:1], 0) == (
        "seed 0 is far behind its best seed (20; the best 93)"
    )


def test_far_behind_its_best_seed_is_no_divergence() -> None:
    """PanEcho k = 16, MLP, augmentation: 77.42 where others reach 93."""
    shown = seeds(92.9, 77.42, 93.1)
    behind = runs_far_behind(shown, "higher")
    assert [(one.seed, round(one.value, 2), round(one.best, 2)) for one in behind] == [
        ("1", 77.42, 93.1)
    ]
    assert not diverged(shown)
    assert [one.seed for one in runs_far_behind(seeds(2.3, 6.55, 2.2, spread=1), "lower")] == ["1"]


def test_the_spread_between_trainings_is_not_far() -> None:
    assert not runs_far_behind(seeds(93.1, 92.6, 90.4), "higher")
    # 2 % of the data: patients differ by 11
    assert not runs_far_behind(seeds(77.33, 73.4, 71.4, spread=11), "higher")


def test_a_value_that_is_no_number_diverged_and_is_not_behind() -> None:
    shown = seeds(93.0, np.nan, 92.8)
    assert [one.seed for one in diverged(shown)] == ["1"]
    assert not runs_far_behind(shown, "higher")
    assert len(diverged(seeds(np.nan, np.inf))) == 2
    assert not runs_far_behind(seeds(np.nan, 20.0), "higher"), "one seed has no better one"


@given(
    st.lists(
        st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf])),
        min_size=1,
        max_size=6,
    )
)
def test_a_run_has_one_of_the_two_words_at_most(means: list[float]) -> None:
    shown = seeds(*means)
    lost = {one.seed for one in diverged(shown)}
    assert lost == {str(at) for at, mean in enumerate(means) if not np.isfinite(mean)}
    for better in ("higher", "lower"):
        assert not lost & {one.seed for one in runs_far_behind(shown, better)}  # type: ignore[arg-type]


def found_in(statistic: Statistic, changed: dict[str, np.ndarray]) -> list[str]:
    """The seeds far behind of three sound ones and of ``bad``, whose columns are ``changed``."""
    first = rows(np.random.default_rng(0), 60)
    by_seed = {}
    for seed in ("0", "1", "2", "bad"):
        noise = np.random.default_rng(len(by_seed)).normal(0, 1, 60)
        own = {
            "prediction": first.columns["prediction"] + noise,
            "score": first.columns["score"] - noise,
            "dice": first.columns["dice"] + noise,
        }
        by_seed[seed] = Rows(
            first.patient,
            {**first.columns, **own, **(changed if seed == "bad" else {})},
            first.sample,
        )
    found = resample([align(by_seed, "value")], statistic, 500)[0]
    better = "lower" if statistic.label == "rmse" else "higher"
    return [one.seed for one in runs_far_behind(found, better)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statistic",
    [R2(), Auc(truth="label"), Rmse(), Median("dice"), PooledDice()],
    ids=lambda one: one.label,
)
def test_statistics_without_a_value_a_patient_take_the_spread_of_their_draws(
    statistic: Statistic,
) -> None:
    """For a mean both are the same quantity."""
    noise = np.random.default_rng(5).normal(0, 1, 60)
    area = np.full(60, 1000.0)
    bad = {
        "prediction": 200 + 90 * noise,
        "score": noise,
        "dice": 40 + noise,
        "intersection": area / 20,
        "area_truth": area,
        "area_prediction": area,
    }
    assert found_in(statistic, {}) == []
    assert found_in(statistic, bad) == ["bad"]
    mean = resample([runs(2, 60)], Mean("dice"))[0]
    of_draws = np.sqrt(mean.patients) * mean.draws[0].std()
    assert of_draws == pytest.approx(mean.per_patient[0].std(), rel=0.03)  # type: ignore[index]
    assert not not_better(resample([runs(2, 60)], R2(), 10)[0], "higher", 0.0)


def test_what_does_not_differ_between_patients_sets_no_limit() -> None:
    """All right but one of a hundred is not two times nothing behind all right."""
    table = np.ones((2, 100))
    table[1, 0] = 0
    assert not runs_far_behind(resample([value(table)], Mean("dice"), 10)[0], "higher")
