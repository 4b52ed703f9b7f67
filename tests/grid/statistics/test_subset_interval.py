"""Echo-Vision-FM's ±, from its description (science.md section 6.5), and what it is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statistics_support import model, runs, value, with_columns

from echolm.errors import EchoLMError
from grid.statistics import R2, Auc, CrossedBootstrap, Mean, SubsetAndCrossed, SubsetTInterval

DICE = Mean("dice")


def test_it_is_the_t_interval_of_fifty_draws_of_sixteen_batches_of_eight() -> None:
    values = runs(2, 400)
    draws = SubsetTInterval().draws(values, R2())
    low, high = stats.t.interval(0.95, 49, draws.mean(), stats.sem(draws))
    found = SubsetTInterval().number(values, R2())
    assert len(draws) == 50
    assert found.estimate == pytest.approx(draws.mean())
    assert found.spread == pytest.approx((high - low) / 2)
    assert found.estimate != pytest.approx(
        R2().full(values).mean(), rel=1e-6
    )  # not the value on the test set


@pytest.mark.parametrize(("samples", "batches"), [(400, 16), (60, 6), (17, 1)])
def test_a_draw_is_of_whole_batches_in_the_order_of_sample_ids(samples: int, batches: int) -> None:
    """Seen through a statistic that tells which samples were drawn.

    Each has its own power of two.
    """
    for batch in range(-(-samples // 8)):
        member = (np.arange(samples) // 8 == batch).astype(float)
        shares = SubsetTInterval().draws(value(member[None]), DICE)
        sizes = {8 * batches, 8 * (batches - 1) + samples % 8} if samples % 8 else {8 * batches}
        size = 8 if (batch + 1) * 8 <= samples else samples % 8
        assert {round(share, 12) for share in shares} <= {0.0} | {
            round(size / total, 12) for total in sizes
        }


def test_draws_are_of_samples_not_of_patients() -> None:
    values = runs(1, 30, 3)
    alone = value(values.column("dice")[0][np.argsort(values.samples)][None])
    assert SubsetTInterval().draws(values, DICE) == pytest.approx(
        SubsetTInterval().draws(alone, DICE)
    )


def test_it_is_no_interval_for_the_population() -> None:
    """It covers the true value of a nominal 95 % far more seldom.

    Nothing in it knows of patients or trainings.
    """
    tables = model(np.random.default_rng(0), 100, 1, 400, 0, 1, 0)
    covered = [
        abs(number.estimate) <= (number.spread or 0)
        for number in (SubsetTInterval().number(value(one), DICE) for one in tables)
    ]
    assert np.mean(covered) < 0.7
    wide = CrossedBootstrap(resamples=500).number(value(tables[0]), DICE)
    assert wide.high is not None
    assert wide.low is not None
    assert wide.high - wide.low > 3 * (SubsetTInterval().number(value(tables[0]), DICE).spread or 0)
    assert "is judged by the value on the whole test set" in SubsetTInterval().caption(
        "400 patients", "1 seed"
    )
    assert (
        "95" not in (caption := SubsetTInterval().caption("400 patients", "1 seed"))
        or "not how sure the value is" in caption
    )


def test_draws_without_a_class_are_left_out_and_counted() -> None:
    values = runs(1, 200)
    label = np.zeros((1, 200))
    label[0, np.argsort(values.samples)[:8]] = (
        1  # one batch of 25, absent from a third of the draws
    )
    found = SubsetTInterval().number(with_columns(values, label=label), Auc("label"))
    assert found.notes
    assert "auc is undefined in" in found.notes[0]
    assert found.spread is not None
    nowhere = SubsetTInterval().number(with_columns(values, label=0 * label), Auc("label"))
    assert np.isnan(nowhere.estimate)
    assert nowhere.spread is None


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(
        EchoLMError,
        match="16 test samples are 2 batches of 8; subset-draws-95 needs 3; valid here: crossed-95",
    ):
        SubsetTInterval().number(value(np.zeros((1, 16))), DICE)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_authors_spread_stands_beside_our_interval(seeds: int) -> None:
    """The value and the brackets are those of the default kind, whatever the ± is."""
    values = runs(seeds, 60)
    both = SubsetAndCrossed().number(values, R2())
    ours = CrossedBootstrap().number(values, R2())
    authors = SubsetTInterval().number(values, R2())
    assert (both.estimate, both.low, both.high) == (ours.estimate, ours.low, ours.high)
    assert both.spread == authors.spread
    assert both.label == ours.label
    assert both.band == ours.band
    digits = f"{both.estimate:.2f} ± {both.spread:.2f} [{both.low:.2f}, {both.high:.2f}]"
    assert both.text(2) == digits
    caption = SubsetAndCrossed().caption("60 patients", "3 seeds")
    assert caption.startswith("± is a 95 % t-interval over 50 subsets, as Echo-Vision-FM prints it")
    assert "In brackets: 95 % bootstrap interval" in caption


def test_too_few_batches_have_our_interval_alone_and_a_note() -> None:
    values = runs(3, 16)
    both = SubsetAndCrossed().number(values, R2())
    ours = CrossedBootstrap().number(values, R2())
    assert both.spread is None
    assert (both.estimate, both.low, both.high) == (ours.estimate, ours.low, ours.high)
    assert both.notes[-1] == (
        "16 test samples are 2 batches of 8, where the ± over random subsets needs 3"
    )
