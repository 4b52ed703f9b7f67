"""The verdict on a published number: the rule's boundaries, and what it will not decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statistics_support import model, value

from grid.statistics import (
    RULE,
    DivergedRun,
    FarBehindRun,
    Mean,
    OurResult,
    PublishedResult,
    our_result,
    published_result,
    resample,
    verdict,
)

SEEDS = (92.9, 93.1, 93.3)
ALLOWED = stats.t.ppf(0.975, 2) * 0.2 * np.sqrt(1 + 1 / 3)


@given(st.floats(-3, 3))
def test_the_same_test_set_is_the_prediction_interval_for_one_more_run(distance: float) -> None:
    found = verdict(PublishedResult(93.1 + distance), OurResult(SEEDS), same_test_set=True)
    assert found.allowed == pytest.approx(ALLOWED)
    if abs(abs(distance) - ALLOWED) > 1e-6:
        assert found.outcome == ("reproduced" if abs(distance) < ALLOWED else "differs")
    assert found.text.startswith(found.outcome)
    assert f"{ALLOWED:.2f}" in found.text
    assert "S = 3" in found.text


def test_one_more_run_of_the_same_kind_is_reproduced_19_times_of_20() -> None:
    random = np.random.default_rng(0)
    for seeds in (3, 8):
        runs = random.normal(90, 0.3, (4000, seeds + 1))
        share = np.mean(
            [
                verdict(PublishedResult(own[0]), OurResult(tuple(own[1:])), True).outcome
                == "reproduced"
                for own in runs
            ]
        )
        assert share == pytest.approx(0.95, abs=0.011)  # three Monte-Carlo standard errors


@pytest.mark.parametrize(("seeds", "words"), [(1, "run 2 more seeds"), (2, "run 1 more seed")])
def test_under_three_seeds_it_is_not_decidable(seeds: int, words: str) -> None:
    found = verdict(PublishedResult(93.1), OurResult(SEEDS[:seeds]), True)
    assert found.outcome == "not decidable"
    assert found.text.endswith(words)
    assert found.allowed is None


def test_another_test_set_adds_the_intervals_of_both_sets_of_patients() -> None:
    found = verdict(PublishedResult(95.0, sem=0.5), OurResult(SEEDS, sem=0.3), same_test_set=False)
    assert found.allowed == pytest.approx(
        np.sqrt(
            ALLOWED**2 + (stats.norm.ppf(0.975) * 0.5) ** 2 + (stats.norm.ppf(0.975) * 0.3) ** 2
        )
    )
    assert found.outcome == "differs"
    assert "our patients" in found.text
    assert "their patients" in found.text
    assert (
        verdict(PublishedResult(95.0, sem=1.0), OurResult(SEEDS, sem=0.3), False).outcome
        == "reproduced"
    )
    for lacking in (
        verdict(PublishedResult(93.1), OurResult(SEEDS, sem=0.3), False),
        verdict(PublishedResult(93.1, sem=0.3), OurResult(SEEDS), False),
    ):
        assert lacking.outcome == "not decidable"
        assert "no spread over patients" in lacking.text


def test_a_number_read_off_a_figure_may_be_off_by_the_reading() -> None:
    just_off = 93.1 + ALLOWED + 0.04
    assert verdict(published_result(just_off), OurResult(SEEDS), True).outcome == "differs"
    found = verdict(
        published_result(
            just_off,
            note="read off the figure's vector paths, +-0.05; augmentation mixed between points",
        ),
        OurResult(SEEDS),
        True,
    )
    assert found.outcome == "reproduced"
    assert "reading 0.05" in found.text


@pytest.mark.parametrize(
    ("note", "error"),
    [
        ("", 0.0),
        ("quoted by the paper, +-1", 0.0),
        ("read off the figure's vector paths, one decimal", 0.05),
        ("read off a plot, +-0.2; single runs", 0.2),
        ("read off a plot, +-2", 2.0),
    ],
)
def test_the_reading_error_is_the_one_that_the_row_states(note: str, error: float) -> None:
    assert published_result(93.0, note=note).reading == error
    assert "else 0.05 in the unit of the axis" in RULE


def test_phantom_data_are_never_comparable() -> None:
    for seeds in (SEEDS, SEEDS[:1]):
        for same in (True, False):
            found = verdict(
                PublishedResult(93.1, 0.1),
                OurResult(seeds, 0.1, (DivergedRun("0", 1.0, "x"),), synthetic=True),
                same,
            )
            assert found.outcome == "not comparable"
            assert "phantom" in found.text


def test_a_seed_far_behind_does_not_widen_the_interval_until_all_fits() -> None:
    flagged = FarBehindRun("2", 77.42, 93.1)
    ours = OurResult((93.0, 93.1, 77.42), far_behind=(flagged,))
    found = verdict(PublishedResult(85.0), ours, True)
    assert found.outcome == "not decidable"
    assert "seed 2 is far behind its best seed (77.42; the best 93.10)" in found.text
    assert "diverged" not in found.text
    assert (
        verdict(PublishedResult(85.0), OurResult((93.0, 93.1, 77.42)), True).outcome == "reproduced"
    )  # what would be said without


def test_an_undefined_value_decides_nothing() -> None:
    assert (
        verdict(PublishedResult(93.1), OurResult((93.0, np.nan, 93.1)), True).outcome
        == "not decidable"
    )


def test_published_rows_give_their_standard_error() -> None:
    assert published_result(93.13, 3.11, "std over 1264 test videos") == PublishedResult(
        93.13, pytest.approx(3.11 / np.sqrt(1264))
    )  # type: ignore[arg-type]
    assert (
        published_result(
            6.41, 0.1, "95% t-interval over 50 random test subsets (printed as 95% CI)"
        ).sem
        is None
    )
    assert published_result(92.78).sem is None


def test_our_side_comes_from_the_resampled_value() -> None:
    table = model(np.random.default_rng(0), 1, 3, 200, 0.1, 9, 1)[0] + 90
    found = our_result(resample([value(table)], Mean("dice"))[0])
    assert found.values == pytest.approx(tuple(table.mean(1)))
    assert found.sem == pytest.approx(stats.sem(table.mean(0)), rel=0.03)


def test_the_rule_is_printed_with_its_numbers() -> None:
    for words in (
        "t(S - 1, 0.975)",
        "sqrt(1 + 1/S)",
        "reading error",
        "another test set",
        "3 seeds",
        "diverged",
        "far behind its best seed",
        "Phantom",
    ):
        assert words in RULE


def test_the_page_on_statistics_has_the_rule_as_tables_print_it() -> None:
    assert RULE in " ".join(
        (Path(__file__).parents[3] / "docs" / "statistics.md").read_text(encoding="utf-8").split()
    )
