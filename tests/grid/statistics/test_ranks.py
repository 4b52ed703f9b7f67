"""Median and Spearman's correlation against numpy and scipy, with and without ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statistics_support import runs, value, with_columns

from grid.statistics import Median, Spearman

NUMBERS = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12)


@given(NUMBERS)
def test_the_median_is_numpys(numbers: list[float]) -> None:
    assert Median("dice").full(value(np.array([numbers])))[0] == np.median(numbers)


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=12).filter(
        lambda pairs: any(w for _, w in pairs)
    )
)
def test_the_weighted_median_is_that_of_repeated_values_whatever_the_weights_sum_to(
    pairs: list[tuple[int, int]],
) -> None:
    numbers, times = (np.array(column, float) for column in zip(*pairs, strict=True))
    expected = np.median(np.repeat(numbers, times.astype(int)))
    for factor in (1, 1 / 3, 0.1):
        assert Median("dice").evaluate(value(numbers[None]), factor * times[None])[0, 0] == expected


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("key", range(3))
def test_spearman_is_scipys(key: int, ties: bool) -> None:
    values = runs(2, 25, key=key, ties=ties)
    for seed in range(2):
        expected = stats.spearmanr(
            values.column("truth")[seed], values.column("prediction")[seed]
        ).statistic
        assert Spearman().full(values)[seed] == pytest.approx(expected, rel=1e-12)


def test_spearman_reads_order_alone() -> None:
    values = runs(1, 25)
    bent = with_columns(values, prediction=np.exp(values.column("prediction") / 10))
    weights = np.random.default_rng(0).uniform(0, 3, (4, 25))
    assert Spearman().evaluate(bent, weights) == pytest.approx(
        Spearman().evaluate(values, weights), rel=1e-12
    )
    assert np.isnan(Spearman().full(with_columns(values, prediction=np.ones((1, 25))))[0])
