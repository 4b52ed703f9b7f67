"""Holm's adjustment against statsmodels, and which values are bold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statistics_support import model, value

from grid.statistics import Mean, Resampled, bold_caption, compare, holm, resample, significances

DICE = Mean("dice")


@settings(max_examples=15)  # statsmodels takes 40 ms a call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests  # it takes two seconds

    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(st.lists(st.one_of(st.floats(0, 1), st.just(np.nan)), max_size=10))
def test_what_was_not_compared_does_not_count(p_values: list[float]) -> None:
    there = [p for p in p_values if not np.isnan(p)]
    found = holm(p_values)
    assert found[~np.isnan(p_values)] == pytest.approx(holm(there))
    assert (np.isnan(found) == np.isnan(p_values)).all()


def column(gaps: list[float], key: int = 0, patients: int = 60) -> list[Resampled]:
    random = np.random.default_rng(key)
    shared = model(random, 1, 1, patients, 0, 25, 0)[0] + 90
    return resample(
        [
            value(shared + gap + model(random, 1, 3, patients, 0.005, 0.1, 1)[0], f"v{gap}")
            for gap in gaps
        ],
        DICE,
    )


def test_bold_is_the_best_and_what_is_not_worse_by_holm() -> None:
    first, second = column([0.0, -0.4, -2.0], 1), column([3.0, 0.0, 0.2], 5)
    found = significances([(first, "higher"), (second, "lower")])
    assert [[one.bold for one in own] for own in found] == [
        [True, True, False],
        [False, True, True],
    ]
    assert [[one.best for one in own] for own in found] == [
        [True, False, False],
        [False, True, False],
    ]
    pairs = [compare(first[0], own) for own in first[1:]] + [
        compare(second[1], own) for own in (second[0], second[2])
    ]
    from statsmodels.stats.multitest import multipletests

    expected = multipletests([pair.p for pair in pairs], method="holm")[1]
    compared = [one.adjusted for own in found for one in own if one.comparison]
    assert compared == pytest.approx(expected)


def test_holm_is_over_the_whole_table() -> None:
    """A difference that one comparison would decide is not decided among many."""
    close = column([0.0, -0.6], 3)
    p = compare(*close).p
    assert 0.001 < p < 0.05
    alone = significances([(close, "higher")])[0][1]
    many = significances([(close, "higher")] * 60)[0][1]
    assert not alone.bold
    assert alone.adjusted == pytest.approx(p)
    assert many.bold
    assert many.adjusted == pytest.approx(min(1, 60 * p))


def test_many_comparisons_do_not_end_at_the_number_of_resamples() -> None:
    far = column([0.0, -12.0], 6)
    assert not significances([(far, "higher")] * 600)[0][
        1
    ].bold  # 600 x 2 / 10,001 would be above 5 %


def test_missing_undefined_and_other_patients_are_not_bold_and_say_why() -> None:
    good, other = column([0.0], 1), column([1.0], 1, patients=50)
    undefined = resample([value(np.full((3, 60), np.nan), "nan")], DICE)
    found = significances([([*good, None, *undefined, *other], "lower")])[0]
    assert [one.bold for one in found] == [True, False, False, False]
    assert [one.reason for one in found] == [
        "",
        "missing",
        "mean dice is undefined",
        "has other patients than the best, v0.0",
    ]
    alone, nothing = significances([(good, "higher"), ([None, *undefined], "higher")])
    assert not alone[0].bold
    assert alone[0].best
    assert not any(one.bold or one.best for one in nothing)


def test_the_caption_says_what_bold_is() -> None:
    assert "over patients and seeds; Holm" in bold_caption([True, True])
    assert "too few" in bold_caption([False])
    both = bold_caption([True, False])
    assert (
        "over patients and seeds; patients only where a value or the best of its column has "
        "under 3 seeds; Holm"
    ) in both
    assert "too few" not in both
