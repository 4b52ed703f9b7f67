"""The verdict on a published number: the rule's boundaries, and what it will not decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statistics_support import model, value

from grid.statistics import RULE, Diverged, Mean, Ours, Theirs, ours, resample, theirs, verdict

SEEDS = (92.9, 93.1, 93.3)
ALLOWED = stats.t.ppf(0.975, 2) * 0.2 * np.sqrt(1 + 1 / 3)


@given(st.floats(-3, 3))
def test_the_same_test_set_is_the_prediction_interval_for_one_more_run(distance: float) -> None:
    found = verdict(Theirs(93.1 + distance), Ours(SEEDS), same_test_set=True)
    assert found.allowed == pytest.approx(ALLOWED)
    if abs(abs(distance) - ALLOWED) > 1e-6:
        assert found.outcome == ("reproduced" if abs(distance) < ALLOWED else "differs")
    assert found.text.startswith(found.outcome) and f"{ALLOWED:.2f}" in found.text and "S = 3" in found.text


def test_one_more_run_of_the_same_kind_is_reproduced_19_times_of_20() -> None:
    random = np.random.default_rng(0)
    for seeds in (3, 8):
        runs = random.normal(90, 0.3, (4000, seeds + 1))
        share = np.mean([verdict(Theirs(own[0]), Ours(tuple(own[1:])), True).outcome == "reproduced" for own in runs])
        assert share == pytest.approx(0.95, abs=0.011)  # three Monte-Carlo standard errors


@pytest.mark.parametrize(("seeds", "words"), [(1, "run 2 more seeds"), (2, "run 1 more seed")])
def test_under_three_seeds_it_is_not_decidable(seeds: int, words: str) -> None:
    found = verdict(Theirs(93.1), Ours(SEEDS[:seeds]), True)
    assert found.outcome == "not decidable" and found.text.endswith(words) and found.allowed is None


def test_another_test_set_adds_the_intervals_of_both_sets_of_patients() -> None:
    found = verdict(Theirs(95.0, sem=0.5), Ours(SEEDS, sem=0.3), same_test_set=False)
    assert found.allowed == pytest.approx(np.sqrt(ALLOWED**2 + (stats.norm.ppf(0.975) * 0.5) ** 2 + (stats.norm.ppf(0.975) * 0.3) ** 2))
    assert found.outcome == "differs" and "our patients" in found.text and "their patients" in found.text
    assert verdict(Theirs(95.0, sem=1.0), Ours(SEEDS, sem=0.3), False).outcome == "reproduced"
    for lacking in (verdict(Theirs(93.1), Ours(SEEDS, sem=0.3), False), verdict(Theirs(93.1, sem=0.3), Ours(SEEDS), False)):
        assert lacking.outcome == "not decidable" and "no spread over patients" in lacking.text


def test_a_number_read_off_a_figure_may_be_off_by_the_reading() -> None:
    just_off = 93.1 + ALLOWED + 0.04
    assert verdict(theirs(just_off), Ours(SEEDS), True).outcome == "differs"
    found = verdict(theirs(just_off, note="read off the figure's vector paths, +-0.05; augmentation mixed between points"), Ours(SEEDS), True)
    assert found.outcome == "reproduced" and "reading 0.05" in found.text


@pytest.mark.parametrize(
    ("note", "error"),
    [("", 0.0), ("quoted by the paper, +-1", 0.0), ("read off the figure's vector paths, one decimal", 0.05), ("read off a plot, +-0.2; single runs", 0.2), ("read off a plot, +-2", 2.0)],
)  # fmt: skip
def test_the_reading_error_is_the_one_that_the_row_states(note: str, error: float) -> None:
    assert theirs(93.0, note=note).reading == error and "else 0.05 in the unit of the axis" in RULE


def test_phantom_data_are_never_comparable() -> None:
    for seeds in (SEEDS, SEEDS[:1]):
        for same in (True, False):
            found = verdict(Theirs(93.1, 0.1), Ours(seeds, 0.1, (Diverged("0", 1.0, "x"),), synthetic=True), same)
            assert found.outcome == "not comparable" and "phantom" in found.text


def test_a_diverged_run_does_not_widen_the_interval_until_all_fits() -> None:
    flagged = Diverged("2", 77.42, "far behind", "77.42")
    found = verdict(Theirs(85.0), Ours((93.0, 93.1, 77.42), diverged=(flagged,)), True)
    assert found.outcome == "not decidable" and "seed 2 diverged (77.42 is far behind)" in found.text
    assert verdict(Theirs(85.0), Ours((93.0, 93.1, 77.42)), True).outcome == "reproduced"  # what would be said without


def test_an_undefined_value_decides_nothing() -> None:
    assert verdict(Theirs(93.1), Ours((93.0, np.nan, 93.1)), True).outcome == "not decidable"


def test_published_rows_give_their_standard_error() -> None:
    assert theirs(93.13, 3.11, "std over 1264 test videos") == Theirs(93.13, pytest.approx(3.11 / np.sqrt(1264)))  # type: ignore[arg-type]
    assert theirs(6.41, 0.1, "95% t-interval over 50 random test subsets (printed as 95% CI)").sem is None
    assert theirs(92.78).sem is None


def test_our_side_comes_from_the_resampled_value() -> None:
    table = model(np.random.default_rng(0), 1, 3, 200, 0.1, 9, 1)[0] + 90
    found = ours(resample([value(table)], Mean("dice"))[0])
    assert found.values == pytest.approx(tuple(table.mean(1)))
    assert found.sem == pytest.approx(stats.sem(table.mean(0)), rel=0.03)


def test_the_rule_is_printed_with_its_numbers() -> None:
    for words in ("t(S - 1, 0.975)", "sqrt(1 + 1/S)", "reading error", "another test set", "3 seeds", "diverged", "Phantom"):
        assert words in RULE


def test_the_readme_has_the_rule_as_tables_print_it() -> None:
    assert RULE in " ".join((Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8").split())
