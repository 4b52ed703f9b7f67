"""The parts of the crossed bootstrap against their formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statistics_support import model, runs, value, with_columns

from grid.statistics import R2, Auc, Mean, crossed, crossed_difference, resample
from grid.statistics.crossed_bootstrap import (
    _widening,
    patients_only,
    quantile_of_sorted,
    seed_component,
    widening,
)
from grid.statistics.resampling import shared_variance

RANDOM = np.random.default_rng(7)


def parts(table: np.ndarray) -> tuple[float, float, float]:
    """Variances of a table (S, P) by analysis of variance.

    Seeds' means, what seeds share of a patient, and what they do not.
    """
    seeds, patients = table.shape
    means, residual = (
        table.mean(1),
        table - table.mean(1, keepdims=True) - table.mean(0) + table.mean(),
    )
    noise = np.square(residual).sum() / (seeds - 1) / (patients - 1)
    return means.var(ddof=1), table.mean(0).var(ddof=1) - noise / seeds, noise


@pytest.mark.parametrize("seeds", [3, 4, 10])
def test_the_variance_is_that_of_the_two_way_analysis_of_variance(seeds: int) -> None:
    """s^2 / S + (patients' own) / P: Obuchowski and Rockette's. Nothing is counted twice."""
    table = model(RANDOM, 1, seeds, 80, 0.02, 1, 1)[0]
    found = crossed(resample([value(table)], Mean("dice"), 20_000)[0])
    seed, patient, _ = parts(table)
    assert found.crossed
    assert found.seed_df == seeds - 1
    assert found.seed_variance == pytest.approx(seed / seeds, rel=1e-9)
    assert found.patient_variance == pytest.approx(
        patient / 80, rel=0.06
    )  # Monte Carlo over 20,000 resamples


def test_a_difference_adds_the_seeds_of_both_and_keeps_what_patients_do_not_share() -> None:
    common = model(RANDOM, 1, 1, 80, 0, 4, 0)[0]
    first, second = (common + model(RANDOM, 1, seeds, 80, 0.02, 0.5, 1)[0] for seeds in (3, 5))
    values = resample([value(first), value(second)], Mean("dice"), 20_000)
    found = crossed_difference(*values)
    between = np.cov(first.mean(0), second.mean(0))[0, 1]
    patient = parts(first)[1] + parts(second)[1] - 2 * between
    variances = first.mean(1).var(ddof=1) / 3, second.mean(1).var(ddof=1) / 5
    assert found.patient_variance == pytest.approx(patient / 80, rel=0.1)
    assert found.seed_variance == pytest.approx(sum(variances))
    assert found.seed_df == pytest.approx(
        sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 4)
    )
    assert found.estimate == pytest.approx(first.mean() - second.mean())


def test_welchs_degrees_of_freedom_are_scipys() -> None:
    first, second = RANDOM.normal(0, 1, 4), RANDOM.normal(0, 3, 7)
    variance, df = seed_component([first, second])
    theirs = stats.ttest_ind(first, second, equal_var=False)
    assert df == pytest.approx(theirs.df)
    assert (first.mean() - second.mean()) / np.sqrt(variance) == pytest.approx(theirs.statistic)


def test_without_patients_variance_it_is_about_the_t_interval_over_seeds() -> None:
    """Ten seeds.

    Their resamples are nearly normal. Three: the same width to some per cent, from ten possible
    means.
    """
    for seeds, tolerance in ((10, 0.06), (3, 0.15)):
        means = RANDOM.normal(0, 1, seeds)
        found = crossed(resample([value(np.repeat(means[:, None], 30, 1))], Mean("dice"))[0])
        low, high = found.interval()
        t = stats.t.interval(0.95, seeds - 1, means.mean(), stats.sem(means))
        assert high - low == pytest.approx(t[1] - t[0], rel=tolerance)


def test_with_equal_seeds_it_is_about_the_t_interval_over_patients() -> None:
    own = RANDOM.normal(0, 1, 40)
    low, high = crossed(resample([value(np.repeat(own[None], 3, 0))], Mean("dice"))[0]).interval()
    assert (low, high) == pytest.approx(
        stats.t.interval(0.95, 39, own.mean(), stats.sem(own)), abs=0.06 * (high - low)
    )


def test_under_three_seeds_only_patients_count() -> None:
    table = model(RANDOM, 1, 2, 50, 100, 1, 0.1)[0]
    both = resample([value(table), value(table[:1])], Mean("dice"))
    for own in both:
        found = crossed(own)
        assert not found.crossed
        assert found.seed_variance == 0
        assert found.patient_variance == pytest.approx(own.draws.mean(0).var() * 50 / 49, rel=1e-3)
    three = resample([value(np.concatenate([table, table[:1]])), value(table)], Mean("dice"))
    assert not crossed_difference(*three).crossed


def test_patients_only_are_plain_percentiles() -> None:
    own = resample([runs(2, 40)], R2(), 999)[0]
    assert patients_only(own).interval(0.9) == pytest.approx(
        tuple(np.quantile(own.draws.mean(0), [0.05, 0.95]))
    )


def test_the_interval_turns_with_the_sign_and_moves_with_the_unit() -> None:
    table = model(RANDOM, 1, 3, 50, 0.02, 1, 1)[0]
    plain, turned, moved = (
        crossed(own).interval()
        for own in resample([value(table), value(-table), value(10 * table + 5)], Mean("dice"))
    )
    assert turned == pytest.approx((-plain[1], -plain[0]))
    assert moved == pytest.approx((10 * plain[0] + 5, 10 * plain[1] + 5))


@pytest.mark.parametrize("null", [-0.2, 0.0, 0.1, 0.9])
def test_p_is_the_level_of_the_interval_that_just_reaches_the_null(null: float) -> None:
    table = model(np.random.default_rng(3), 1, 3, 60, 0.02, 1, 1)[0]
    found = crossed(resample([value(table)], Mean("dice"))[0])
    p = found.p_value(null)
    inside = [
        found.interval(1 - p + step)[0] <= null <= found.interval(1 - p + step)[1]
        for step in (-0.002, 0.002)
        if 0 < 1 - p + step < 1
    ]
    assert inside in ([False, True], [True], [False])
    assert 2 / 10_001 <= p <= 1


def test_p_goes_on_beyond_the_last_draw() -> None:
    """Patients alone: that of the paired t-test. Continuous where the draws end, and falling."""
    own = RANDOM.normal(0, 1, 60)
    found = crossed(resample([value(own[None])], Mean("dice"))[0])
    for null in (0.8, 1.5):
        assert found.p_value(null) == pytest.approx(stats.ttest_1samp(own, null).pvalue, rel=0.2)
    table = model(RANDOM, 1, 3, 60, 0.02, 1, 1)[0]
    three = crossed(resample([value(table)], Mean("dice"))[0])
    last = three.draws[-1]
    within, beyond = three.p_value(last - 1e-9), three.p_value(last + 1e-9)
    assert beyond <= within == pytest.approx(4 / 10_001)
    assert beyond > 2e-6
    assert three.p_value(20 * last) < three.p_value(10 * last) < 5e-5


def test_resamples_without_a_class_are_left_out_and_counted() -> None:
    values = runs(3, 12)
    rare = with_columns(values, label=np.repeat(np.eye(12)[:1], 3, 0))
    found = crossed(resample([rare], Auc("label"), 4000)[0])
    assert found.undefined == pytest.approx((1 - 1 / 12) ** 12, abs=0.03)
    assert np.isfinite(found.interval()).all()


def test_a_nan_one_patient_and_no_variance() -> None:
    table = model(RANDOM, 1, 3, 8, 1, 1, 1)[0]
    table[1, 1] = np.nan
    assert np.isnan(crossed(resample([value(table)], Mean("dice"), 50)[0]).interval()).all()
    assert np.isnan(
        crossed(resample([value(np.ones((3, 1)))], Mean("dice"), 50)[0]).interval()
    ).all()
    constant = crossed(resample([value(np.full((3, 8), 2.5))], Mean("dice"), 50)[0])
    assert constant.interval() == (2.5, 2.5)
    assert constant.p_value(0) == pytest.approx(2 / 51)
    assert constant.p_value(2.5) == 1


def test_what_seeds_share_needs_no_equal_spread() -> None:
    draws = RANDOM.normal(0, 1, (3, 500)) * np.array([[1], [2], [5]])
    covariance = np.cov(draws, ddof=0)
    assert shared_variance(draws) == pytest.approx((covariance.sum() - np.trace(covariance)) / 6)


def test_widening_is_a_ratio_of_quantiles() -> None:
    u = np.array([0.001, 0.025, 0.3, 0.975])
    assert widening(2, u) == pytest.approx(stats.t.ppf(u, 2) / stats.norm.ppf(u))
    assert widening(2, np.array([0.5])) == pytest.approx(
        stats.norm.pdf(0) / stats.t.pdf(0, 2), rel=1e-4
    )
    assert (widening(np.inf, u) == 1).all()


@pytest.mark.parametrize("count", [33, 999, 1000, 10_000])
@pytest.mark.parametrize("df", [1, 2, 2.37, 3.99, 9, 47, 1263, 1e6, np.inf])
def test_the_widening_of_many_draws_is_that_of_each(df: float, count: int) -> None:
    probabilities = (np.arange(count) + 0.5) / count
    want = widening(df, probabilities)
    np.testing.assert_allclose(_widening(df, count), want, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 9_999, 10_000])
def test_the_quantile_of_sorted_draws_is_numpys(count: int) -> None:
    draws = np.sort(np.random.default_rng(count).normal(0, 3, count))
    for probability in (0.0, 0.025, 0.05, 0.3, 0.5, 0.95, 0.975, 1.0):
        assert quantile_of_sorted(draws, probability) == np.quantile(draws, probability)
