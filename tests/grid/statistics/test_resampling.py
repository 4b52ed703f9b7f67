"""Shared resamples of patients: their distribution, and what does not change them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statistics_support import runs, value

from echolm.errors import EchoLMError
from grid.statistics import F1, R2, Auc, Mean, Median, PooledDice, resample, resampling
from grid.statistics.resampling import patient_weights, seed_weights


def all_weights(patients: int, resamples: int) -> np.ndarray:
    return np.concatenate([weights for _, weights in patient_weights(patients, resamples)])


def test_every_resample_draws_as_many_patients_as_there_are() -> None:
    weights = all_weights(20, 20_000)
    assert weights.shape == (20_000, 20)
    assert (weights.sum(1) == 20).all()
    covariance = np.cov(weights.T)
    expected = np.eye(20) - 1 / 20  # multinomial
    assert weights.mean(0) == pytest.approx(1, abs=5 * np.sqrt(0.95 / 20_000))
    assert covariance == pytest.approx(expected, abs=0.06)
    assert (
        stats.chisquare(
            np.bincount(weights[:, 0].astype(int), minlength=5)[:5],
            stats.binom.pmf(range(5), 20, 0.05) * 20_000,
            sum_check=False,
        ).pvalue
        > 1e-3
    )


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    before = all_weights(30, 100)
    values = runs(2, 30, 2)
    draws = [resample([values], one, 100)[0].draws for one in (R2(), Auc("label"))]
    monkeypatch.setattr(resampling, "CHUNK", 7 * 30)
    assert np.array_equal(all_weights(30, 100), before)
    places = [place for place, _ in patient_weights(30, 100)]
    assert places[0] == slice(0, 7)
    assert places[-1] == slice(98, 100)
    for one, expected in zip((R2(), Auc("label")), draws, strict=True):
        assert resample([values], one, 100)[0].draws == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "one",
    [Mean("dice"), R2(), PooledDice(), F1(1, "label", "guess"), Auc("label"), Median("dice")],
    ids=lambda one: one.name,
)
@pytest.mark.parametrize("clips", [1, 3])
def test_a_table_at_once_is_each_value_with_the_same_patients(one: Mean, clips: int) -> None:
    """Whatever the families do to be fast.

    Also for values whose patients have unequal numbers of rows.
    """
    values = [runs(1, 25, clips, key=1), runs(3, 25, clips, key=2), runs(2, 25, clips, key=3)]
    weights = all_weights(25, 60)
    for own, found in zip(values, resample(values, one, 60), strict=True):
        assert found.full == pytest.approx(one.full(own))
        assert found.draws.shape == (
            len(own.seeds),
            60,
        )
        assert found.draws == pytest.approx(one.evaluate(own, weights), rel=1e-12)


def test_printed_again_it_is_the_same_and_another_seed_draws_others() -> None:
    values = [runs(1, 25)]
    first, second = resample(values, R2(), 50)[0].draws, resample(values, R2(), 50)[0].draws
    assert np.array_equal(first, second)
    assert not np.array_equal(resample(values, R2(), 50, seed=1)[0].draws, first)


@pytest.mark.parametrize("one", [Mean("dice"), R2(), Auc("label")], ids=lambda one: one.name)
def test_the_interval_is_scipys_within_monte_carlo_error(one: Mean) -> None:
    """scipy.stats.bootstrap draws other resamples of the same kind."""
    values = runs(1, 60)

    def of_rows(*chosen: np.ndarray) -> float:
        times = np.bincount(chosen[0].astype(int), minlength=60).astype(float)
        return float(one.evaluate(values, times[None])[0, 0])

    theirs = stats.bootstrap(
        (np.arange(60),),
        of_rows,
        n_resamples=4000,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(5),
    )
    ours = resample([values], one, 4000)[0].draws[0]
    spread = np.nanstd(ours)
    assert np.nanquantile(ours, [0.025, 0.975]) == pytest.approx(
        list(theirs.confidence_interval), abs=0.2 * spread
    )
    assert spread == pytest.approx(theirs.standard_error, rel=0.05)


def test_seeds_are_drawn_independently_of_patients_and_of_the_other_side() -> None:
    own, other, patients = (
        seed_weights(4, 5000),
        seed_weights(4, 5000, side=1),
        all_weights(20, 5000),
    )
    assert (own.sum(1) == 4).all()
    assert own.mean(0) == pytest.approx(1, abs=0.06)
    for column in (other, patients):
        assert np.abs(np.corrcoef(own[:, 0], column[:, 0])[0, 1]) < 4 / np.sqrt(5000)


def test_other_patients_are_refused() -> None:
    one, other = value(np.zeros((1, 5)), "a"), value(np.zeros((1, 6)), "b")
    with pytest.raises(EchoLMError, match=r"b has 1 patients that a lacks \(p0005\)"):
        resample([one, other], Mean("dice"))
    assert resample([], Mean("dice")) == []
