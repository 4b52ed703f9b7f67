"""Paired comparisons against scipy, and what they claim."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statistics_support import model, runs, value, with_columns

from echolm.errors import EchoLMError
from grid.statistics import R2, Auc, Mean, Resampled, compare, resample
from grid.statistics.comparison import p_text

DICE = Mean("dice")


def pair(
    gap: float, seeds: tuple[int, int] = (3, 3), key: int = 0, patients: int = 80
) -> list[Resampled]:
    """Two values of the same patients, whose patients differ far more than the two do."""
    random = np.random.default_rng(key)
    shared = model(random, 1, 1, patients, 0, 25, 0)[0] + 90
    tables = [shared + model(random, 1, count, patients, 0.01, 0.1, 1)[0] for count in seeds]
    return resample([value(tables[0] + gap, "gcn"), value(tables[1], "mlp")], DICE)


def test_wilcoxon_is_scipys_on_the_patients_means_over_seeds() -> None:
    first, second = pair(0.3)
    assert first.per_patient is not None
    assert second.per_patient is not None
    expected = stats.wilcoxon(first.per_patient.mean(0), second.per_patient.mean(0)).pvalue
    assert compare(first, second).wilcoxon == pytest.approx(expected)
    assert compare(first, first).wilcoxon == 1.0
    assert compare(*resample([runs(2), runs(2, key=1)], R2())).wilcoxon is None


def test_one_run_each_is_the_paired_bootstrap() -> None:
    """Patients only: close to the paired t-test, whatever patients have in common."""
    first, second = pair(0.3, (1, 1))
    found = compare(first, second)
    differences = first.runs.column("dice")[0] - second.runs.column("dice")[0]
    theirs = stats.ttest_rel(first.runs.column("dice")[0], second.runs.column("dice")[0])
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(
        (interval.low, interval.high), abs=0.1 * stats.sem(differences)
    )
    assert found.p == pytest.approx(theirs.pvalue, rel=0.3, abs=0.002)


def test_pairing_by_patient_is_what_finds_small_differences() -> None:
    first, second = pair(1.0)
    found = compare(first, second)
    assert found.crossed
    assert found.p < 0.01
    assert found.low > 0
    assert (
        stats.ttest_ind(*(own.runs.column("dice").mean(0) for own in (first, second))).pvalue > 0.05
    )
    reverse = compare(second, first)
    assert (reverse.low, reverse.high) == pytest.approx((-found.high, -found.low), abs=0.02)


def test_one_seed_says_what_cannot_be_claimed() -> None:
    found = compare(*pair(1.0, (1, 3)))
    assert not found.crossed
    assert "cannot be claimed" in found.claim
    assert "2 more of gcn" in found.claim
    assert "of mlp" not in found.claim
    assert found.claim in found.sentence()
    assert compare(*pair(1.0)).claim == ""


def test_equivalence_is_two_one_sided_tests_at_five_percent() -> None:
    """Against the t-tests of one run each, at margins about the one that just decides."""
    first, second = pair(0.05, (1, 1))
    differences = first.runs.column("dice")[0] - second.runs.column("dice")[0]
    low, high = stats.t.interval(0.90, 79, differences.mean(), stats.sem(differences))
    edge = max(-low, high)
    for margin, expected in ((0.9 * edge, False), (1.1 * edge, True)):
        lower = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
        upper = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        assert (max(lower, upper) < 0.05) == expected
        assert compare(first, second, margin).equivalent == expected
    assert compare(first, second).equivalent is None
    text = compare(first, second, 1.5 * edge).sentence()
    assert "Equivalent within" in text
    assert "90 % interval" in text
    assert "Not shown to be equivalent" in compare(first, second, 0.5 * edge).sentence()


def test_any_statistic_can_be_compared() -> None:
    values = resample(
        [
            runs(3, 60, key=1),
            with_columns(runs(3, 60, key=1), score=np.random.default_rng(0).normal(size=(3, 60))),
        ],
        Auc("label"),
    )
    found = compare(*values)
    assert found.difference > 0.3
    assert found.low > 0
    assert found.p < 0.05
    assert found.statistic == "auc"


def test_what_was_resampled_apart_is_refused() -> None:
    one, other = runs(1, 20), runs(1, 21, name="other")
    with pytest.raises(EchoLMError, match="only values of one test set"):
        compare(resample([one], DICE, 50)[0], resample([other], DICE, 50)[0])
    with pytest.raises(EchoLMError, match="pass both to one call of resample"):
        compare(resample([one], DICE, 50)[0], resample([one], R2(), 50)[0])
    with pytest.raises(EchoLMError, match="margin 0: must be above 0"):
        compare(*pair(0), margin=0)


def test_p_as_text() -> None:
    assert [p_text(p) for p in (0.0002, 0.012, 0.0999, 0.5)] == [
        "p < 0.001",
        "p = 0.012",
        "p = 0.100",
        "p = 0.50",
    ]


@pytest.mark.parametrize("seeds", [(3, 3), (1, 1)])
def test_a_difference_with_nan_is_undefined_in_words(seeds: tuple[int, int]) -> None:
    """Never ``+nan``, nor seeds to run that would not help."""
    first, second = pair(1.0, seeds)
    table = first.runs.column("dice").copy()
    table[0, 0] = np.nan
    found = compare(*resample([value(table, "gcn"), second.runs], DICE))
    assert np.isnan(found.difference)
    assert "undefined" in found.sentence()
    assert "nan" not in found.sentence()
    assert found.claim == ""
    assert "Seeds to run" not in found.sentence()


def test_the_verdict_is_one_word() -> None:
    """By the interval and the direction; what lies within the margin is equal, whatever its p."""
    above, below = compare(*pair(2.0)), compare(*pair(-2.0))
    assert (above.word("higher"), below.word("higher")) == ("better", "worse")
    assert (above.word("lower"), below.word("lower")) == ("worse", "better")
    assert above.word(None) == "different"
    open_one = compare(*pair(0.0))
    assert open_one.word("higher") == "undecided"
    within = compare(*pair(2.0), margin=50)
    assert within.p < 0.05
    assert within.word("higher") == "equal within the margin"
    assert compare(*pair(0.0), margin=1e-6).word("higher") == "undecided"
    lost = resample([value(np.full((3, 5), np.nan)), value(np.ones((3, 5)))], DICE)
    assert compare(*lost).word("higher") == "undefined"
