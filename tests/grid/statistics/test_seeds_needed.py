"""How many seeds: the answer is checked by running them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statistics_support import model, value

from grid.statistics import (
    Mean,
    Resampled,
    compare,
    crossed_difference,
    resample,
    seeds_needed,
)
from grid.statistics.seeds_needed import detectable

DICE = Mean("dice")
PATIENTS = 100


def pair(
    gap: float,
    seeds: tuple[int, int],
    patient: float = 0.1,
    seed: float = 0.05,
    key: int = 0,
    resamples: int = 4000,
) -> list[Resampled]:
    random = np.random.default_rng(key)
    shared = model(random, 1, 1, PATIENTS, 0, 25, 0)[0] + 90
    tables = [shared + model(random, 1, count, PATIENTS, seed, patient, 0.2)[0] for count in seeds]
    tables[0] += gap - (
        tables[0].mean() - tables[1].mean()
    )  # so that the difference seen is the gap
    return resample([value(tables[0], "gcn"), value(tables[1], "mlp")], DICE, resamples)


def test_what_is_decided_needs_no_more() -> None:
    found = seeds_needed(*pair(2.0, (3, 5)))
    assert (found.outcome, found.more, found.total) == (
        "decided",
        (0, 0),
        (3, 5),
    )
    assert "is decided" in found.text


def test_under_three_seeds_the_spread_over_seeds_is_not_known() -> None:
    found = seeds_needed(*pair(2.0, (1, 4)))
    assert (found.outcome, found.more, found.total) == (
        "unknown",
        (2, 0),
        (3, 4),
    )
    assert "run 3 of each and ask again" in found.text


def test_when_patients_dominate_no_number_of_seeds_decides() -> None:
    found = seeds_needed(*pair(0.1, (3, 3), patient=4.0, seed=0.001))
    assert (found.outcome, found.more) == ("patients", (0, 0))
    assert "no number of seeds would do it" in found.text
    assert "100 patients" in found.text
    assert seeds_needed(*pair(0.0, (3, 3))).outcome == "patients"


def test_more_seeds_than_anybody_would_run_is_not_the_same_as_none() -> None:
    """Patients alone would let it be decided, from a thousand seeds on."""
    first, second = pair(0.02, (3, 3), patient=0.0, seed=0.5)
    found = seeds_needed(first, second)
    assert (found.outcome, found.more) == (
        "beyond",
        (0, 0),
    )
    assert "more than 1,000 seeds of each" in found.text
    assert "no number" not in found.text


def test_the_number_is_the_least_that_has_the_power() -> None:
    first, second = pair(0.25, (4, 6))
    found = seeds_needed(first, second)
    total = found.total[0]
    assert found.outcome == "needed"
    assert found.total[0] == found.total[1]
    assert found.more == (total - 4, total - 6)
    spreads = first.full.var(ddof=1), second.full.var(ddof=1)
    patients = crossed_difference(first, second).patient_variance
    reach = detectable(spreads, patients, np.array([total - 1, total]), 0.8, 0.95)
    assert reach[0] > abs(found.comparison.difference) >= reach[1]
    assert f"{found.more[0]} and {found.more[1]} more seeds ({total} of each)" in found.text


def test_more_power_takes_more_seeds_and_a_larger_difference_fewer() -> None:
    half, most = (seeds_needed(*pair(0.2, (3, 3)), power=power).total[0] for power in (0.5, 0.9))
    assert half < seeds_needed(*pair(0.2, (3, 3))).total[0] < most
    assert seeds_needed(*pair(0.3, (3, 3))).total[0] < seeds_needed(*pair(0.2, (3, 3))).total[0]


def test_seeds_that_did_not_decide_are_not_said_to_be_enough() -> None:
    """With little power asked for, the seeds at hand have it; still they did not decide."""
    sides = pair(0.2, (3, 3))
    found = seeds_needed(*sides, power=0.01)
    assert found.comparison.p > 0.05, found.text
    assert (found.outcome, found.more, found.total) == (
        "needed",
        (1, 1),
        (4, 4),
    ), found.text
    assert seeds_needed(*pair(0.2, (3, 4)), power=0.01).more == (1, 0), (
        "equal numbers have not been tried"
    )


def test_with_seeds_alone_it_is_the_power_of_a_t_test() -> None:
    """Against the noncentral t distribution, where patients do not differ."""
    reach = detectable((1.0, 1.0), 0.0, np.array([20]), 0.8, 0.95)[0]
    df, noncentrality = 38, reach / np.sqrt(2 / 20)
    assert stats.nct.sf(stats.t.ppf(0.975, df), df, noncentrality) == pytest.approx(0.8, abs=0.01)


def test_that_many_seeds_do_decide_as_often_as_they_should() -> None:
    """Simulated afresh with the true variances.

    The share of decided differences is the power, 80 %, within 10 %.
    """
    seed, patient, noise, gap = 0.05, 0.1, 0.2, 0.35
    spread = seed + noise / PATIENTS
    counts = np.arange(3, 200)
    seeds = int(
        counts[detectable((spread, spread), 2 * patient / PATIENTS, counts, 0.8, 0.95) <= gap][0]
    )
    random = np.random.default_rng(1)
    decided = []
    for _ in range(150):
        tables = [
            model(random, 1, seeds, PATIENTS, seed, patient, noise)[0] + own for own in (gap, 0)
        ]
        decided.append(
            crossed_difference(*resample([value(one) for one in tables], DICE, 500)).p_value()
            < 0.05
        )
    assert np.mean(decided) == pytest.approx(0.8, abs=0.1)


def test_a_difference_below_the_margin_is_to_be_shown_equal() -> None:
    """As many seeds as it says do show it, as often as it says."""
    first, second = pair(0.05, (3, 3), patient=0.05, seed=0.05)
    found = seeds_needed(first, second, margin=0.3)
    assert found.outcome == "needed"
    assert "equal within ±0.3 is not shown yet" in found.text
    assert "would show it with 80 % chance" in found.text
    assert seeds_needed(first, second, margin=3.0).outcome == "equal"
    assert seeds_needed(first, second, margin=3.0).more == (0, 0)
    assert seeds_needed(first, second, margin=0.0501).outcome == "beyond"
    assert seeds_needed(*pair(2.0, (3, 3)), margin=0.5).outcome == "decided", "it is larger"
    assert seeds_needed(*pair(0.1, (2, 3)), margin=0.5).outcome == "unknown"
    seeds = found.total[0]
    shown = []
    for key in range(60):
        sides = pair(0.05, (seeds, seeds), patient=0.05, seed=0.05, key=key, resamples=400)
        shown.append(compare(*sides, margin=0.3).equivalent)
    # ``pair`` fixes the difference that is seen, so that it is shown at least as often.
    assert np.mean(shown) > 0.7
