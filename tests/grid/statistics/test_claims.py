"""The probability that a claimed superiority is false.

``python -m pytest tests/grid/statistics/test_claims.py -s`` prints the figures of the simulation.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statistics_support import ids, model

from echolm.errors import EchoLMError
from grid.statistics import Mean, Median, Resampled, Runs, resample
from grid.statistics.claims import (
    LEVEL,
    claim,
    false_claim_of_means,
    false_claim_of_proportions,
    tie_groups,
)

PATIENTS = 60
RESAMPLES = 400
PAIRS = 1000


def values(tables: np.ndarray) -> list[Resampled]:
    """Values (count, S, P) as those of one table."""
    seeds, patients = tuple(str(seed) for seed in range(tables.shape[1])), ids(tables.shape[2])
    owner, weights = np.arange(len(patients)), np.ones(len(patients))
    runs = []
    for number, own in enumerate(tables):
        name = f"value {number}"
        runs.append(Runs(name, seeds, patients, patients, owner, weights, {"dice": own}))
    return resample(runs, Mean("dice"), RESAMPLES)


@given(
    st.integers(2, 300),
    st.integers(0, 2**32 - 1),
    st.floats(-3, 3, allow_nan=False),
    st.floats(-2, 2, allow_nan=False),
)
def test_with_seeds_off_it_is_the_closed_form(
    patients: int, key: int, shift: float, common: float
) -> None:
    """The closed form on the patients' values is the paired t-test's one-sided p."""
    random = np.random.default_rng(key)
    shared = common * random.normal(size=patients)
    own, other = shared + random.normal(size=(2, patients)) + [[0], [shift]]
    first, second = values(np.stack([own, other])[:, None])
    one = claim(first, second, "higher", seeds=False)
    better, worse = (own, other) if own.mean() >= other.mean() else (other, own)
    expected = stats.ttest_rel(better, worse, alternative="greater").pvalue
    assert one.false == pytest.approx(expected, abs=1e-9)
    correlation = np.corrcoef(own, other)[0, 1]
    closed = false_claim_of_means(
        abs(own.mean() - other.mean()),
        better.std(ddof=1),
        worse.std(ddof=1),
        correlation,
        patients,
    )
    assert one.false == pytest.approx(closed, abs=1e-9)
    assert (one.patient_share, one.seed_share) == (1, 0)


@pytest.mark.parametrize(("better", "worse", "both"), [(0.9, 0.8, 0.75), (0.6, 0.6, 0.4)])
def test_of_accuracies_it_is_that_of_dirichlet_draws(
    better: float, worse: float, both: float
) -> None:
    cases = 50
    counts = [cases * (better - both), cases * (worse - both)]
    rest = cases - sum(counts)
    drawn = np.random.default_rng(0).dirichlet([counts[0] + 1, counts[1] + 1, rest + 2], 400_000)
    exact = false_claim_of_proportions(better, worse, both, cases)
    assert exact == pytest.approx((drawn[:, 0] <= drawn[:, 1]).mean(), abs=0.003)


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_the_better_value_is_the_one_that_is_claimed(direction: str) -> None:
    random = np.random.default_rng(3)
    tables = random.normal(size=(2, 3, PATIENTS)) + np.array([[[0.0]], [[1.0]]])
    first, second = values(tables)
    for pair in ((first, second), (second, first)):
        one = claim(*pair, direction)  # type: ignore[arg-type]
        assert one.better == ("value 1" if direction == "higher" else "value 0")
        assert one.advantage == pytest.approx(abs(first.estimate - second.estimate))
        assert one.supported and one.false < 0.05


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    "mix", [(0.05, 1.0, 0.3), (1.0, 0.0, 0.01), (0.0, 1.0, 0.5)], ids=["both", "seeds", "patients"]
)
def test_false_claims_are_as_rare_as_they_say(seeds: int, mix: tuple[float, ...]) -> None:
    """Equal networks: the claim that the first is better is supported with the nominal rate.

    It may be less often: the rule for few seeds is on the safe side where both parts count.
    """
    random = np.random.default_rng([seeds, *(int(100 * part) for part in mix)])
    shared = model(random, PAIRS, 1, PATIENTS, 0, 2, 0)
    first = values(shared + model(random, PAIRS, seeds, PATIENTS, *mix))
    second = values(shared + model(random, PAIRS, seeds, PATIENTS, *mix))
    claims = [claim(*pair, "higher") for pair in zip(first, second, strict=True)]
    false = np.array([one.false for one in claims])
    pairs = zip(first, second, strict=True)
    better_first = np.array([own.estimate >= other.estimate for own, other in pairs])
    rate = float(np.mean(better_first & (false < LEVEL)))
    print(f"{seeds} seeds, {mix}: a false claim is supported in {rate:.3f}, nominal {LEVEL:g}")
    error = np.sqrt(LEVEL * (1 - LEVEL) / PAIRS)
    assert 0.015 <= rate <= LEVEL + 3 * error
    without = [claim(*pair, "higher", seeds=False) for pair in zip(first, second, strict=True)]
    if mix[0]:
        unaware = float(np.mean(better_first & [one.supported for one in without]))
        assert unaware > rate, "a test that knows of patients alone claims too much"


def test_without_seeds_a_statistic_of_all_patients_varies_by_patients_alone() -> None:
    """A median has no value for each patient: trainings that differ much do not count then."""
    random = np.random.default_rng(2)
    tables = model(random, 2, 3, PATIENTS, 4.0, 1.0, 0.1) + np.array([[[0.0]], [[1.0]]])
    patients = ids(PATIENTS)
    owner, weights = np.arange(PATIENTS), np.ones(PATIENTS)
    runs = [
        Runs(str(at), ("0", "1", "2"), patients, patients, owner, weights, {"dice": own})
        for at, own in enumerate(tables)
    ]
    first, second = resample(runs, Median("dice"), RESAMPLES)
    assert first.per_patient is None
    with_seeds = claim(first, second, "higher")
    without = claim(first, second, "higher", seeds=False)
    assert with_seeds.counts_seeds and not without.counts_seeds
    draws = first.draws.mean(0) - second.draws.mean(0)
    error = draws.std() * np.sqrt(PATIENTS / (PATIENTS - 1))
    expected = stats.t.sf(without.advantage / error, PATIENTS - 1)
    assert without.false == pytest.approx(expected, abs=1e-9)
    assert without.false < with_seeds.false


def test_the_shares_of_the_variance_are_those_of_the_model() -> None:
    random = np.random.default_rng(5)
    seeds, seed_variance, patient_variance = 12, 0.5, 30.0
    shares = []
    for _ in range(60):
        pair = model(random, 2, seeds, PATIENTS, seed_variance, patient_variance, 0.5)
        shares.append(claim(*values(pair), "higher").patient_share)
    of_patients = patient_variance / PATIENTS
    of_seeds = (seed_variance + 0.5 / PATIENTS) / seeds
    assert np.mean(shares) == pytest.approx(of_patients / (of_patients + of_seeds), abs=0.03)


def test_values_that_cannot_be_told_apart_form_a_group() -> None:
    random = np.random.default_rng(0)
    levels = np.array([5.0, 0.0, 5.001, 0.001, 2.5])
    tables = levels[:, None, None] + random.normal(0, 0.5, (5, 3, PATIENTS))
    groups = tie_groups(values(tables), "higher")
    assert [set(group) for group in groups] == [{0, 2}, {4}, {1, 3}]
    assert [set(group) for group in tie_groups(values(tables), "lower")] == [{1, 3}, {4}, {0, 2}]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: false_claim_of_means(-1, 1, 1, 0, 9), "advantage -1"),
        (lambda: false_claim_of_means(1, 1, 1, 2, 9), "correlation 2"),
        (lambda: false_claim_of_means(1, 1, 1, 0, 1), "1 cases"),
        (lambda: false_claim_of_means(1, -1, 1, 0, 9), "at least 0"),
        (lambda: false_claim_of_proportions(0.5, 0.6, 0.4, 9), "the larger first"),
        (lambda: false_claim_of_proportions(0.9, 0.8, 0.1, 9), "0.1 of cases right in both"),
    ],
)
def test_numbers_out_of_range_are_refused(call: object, message: str) -> None:
    with pytest.raises(EchoLMError, match=message):
        call()  # type: ignore[operator]


def test_equal_values_are_a_toss() -> None:
    same = np.random.default_rng(1).normal(size=(1, 3, PATIENTS)).repeat(2, 0)
    assert claim(*values(same), "higher").false == pytest.approx(0.5)
    assert false_claim_of_means(0, 1, 1, 1, 10) == 0.5
    assert false_claim_of_means(1, 1, 1, 1, 10) == 0
