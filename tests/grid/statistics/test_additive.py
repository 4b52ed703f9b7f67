"""Additive statistics against scikit-learn and scipy with sample weights, on generated EF rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from statistics_support import runs, with_columns

from grid.statistics import R2, Additive, Bias, Mae, Mean, Pearson, PooledDice, Rmse, Runs, Std


def weighted(one: Additive, values: Runs, weights: np.ndarray) -> float:
    return float(one.evaluate(values, weights[None])[0, 0])


@pytest.fixture(params=range(3))
def case(request: pytest.FixtureRequest) -> tuple[Runs, np.ndarray, np.ndarray, np.ndarray]:
    """Values of one row a patient with fractional weights; truth and prediction."""
    values = runs(1, 40, key=request.param)
    return (
        values,
        np.random.default_rng(request.param).uniform(0.1, 3, 40),
        values.column("truth")[0],
        values.column("prediction")[0],
    )


def test_regression_equals_scikit_learn(
    case: tuple[Runs, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    values, weights, truth, prediction = case
    expected = {
        Mean("dice"): np.average(values.column("dice")[0], weights=weights),
        Mae(): metrics.mean_absolute_error(truth, prediction, sample_weight=weights),
        Bias(): np.average(prediction - truth, weights=weights),
        Rmse(): metrics.root_mean_squared_error(truth, prediction, sample_weight=weights),
        R2(): metrics.r2_score(truth, prediction, sample_weight=weights),
    }
    for one, number in expected.items():
        assert weighted(one, values, weights) == pytest.approx(number, rel=1e-12), one.name


def test_correlation_and_spread_equal_numpy(
    case: tuple[Runs, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    values, weights, truth, prediction = case
    covariance = np.cov(truth, prediction, aweights=weights)
    assert weighted(Pearson(), values, weights) == pytest.approx(
        covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    )
    assert Pearson().full(values)[0] == pytest.approx(stats.pearsonr(truth, prediction).statistic)
    times = np.round(weights).astype(int)
    assert weighted(Std("truth"), values, times.astype(float)) == pytest.approx(
        np.sqrt(np.cov(truth, fweights=times))
    )
    assert weighted(Std("truth", 0), values, weights) == pytest.approx(
        np.sqrt(np.cov(truth, aweights=weights, ddof=0))
    )


def test_pooled_dice_is_over_all_frames_together() -> None:
    values = runs(1, 10, 3)
    inside, truth, prediction = (
        values.column(name)[0] for name in ("intersection", "area_truth", "area_prediction")
    )
    assert PooledDice().full(values)[0] == pytest.approx(
        200
        * np.average(inside, weights=values.weights)
        / np.average(truth + prediction, weights=values.weights)
    )


def test_r2_may_be_negative_and_is_undefined_without_variance() -> None:
    values = runs(1, 10)
    worse = with_columns(values, prediction=-values.column("truth"))
    assert R2().full(worse)[0] == pytest.approx(
        metrics.r2_score(worse.column("truth")[0], worse.column("prediction")[0])
    )
    assert R2().full(worse)[0] < 0
    constant = with_columns(values, truth=np.full((1, 10), 55.55))
    assert np.isnan(R2().full(constant)[0])
    assert np.isnan(Pearson().full(constant)[0])
    one_patient = np.eye(10)[:1]
    assert np.isnan(R2().evaluate(values, one_patient)[0, 0])
    assert np.isnan(Std("dice").evaluate(values, one_patient)[0, 0])


def test_a_large_offset_does_not_cancel() -> None:
    """Volumes in other units, say: sums of squares about zero would lose all digits."""
    values = runs(1, 40)
    moved = with_columns(
        values, truth=values.column("truth") + 1e9, prediction=values.column("prediction") + 1e9
    )
    for one in (R2(), Pearson(), Std("truth")):
        assert one.full(moved)[0] == pytest.approx(one.full(values)[0], rel=1e-5)
