"""No interval ends beyond what is possible, and cutting it costs no coverage.

``python -m pytest tests/grid/statistics/test_bounds.py -s`` prints the coverage of cut intervals,
and of intervals made on a logit (Dice) or log scale (errors) by the delta method. A nominal 95 % of
300 simulated values has a Monte-Carlo standard error of 1.3 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statistics_support import ids, value

from grid.statistics import (
    ANY,
    CORRELATION,
    KINDS,
    PERCENT,
    POSITIVE,
    SHARE,
    STATISTICS,
    Bounds,
    Estimate,
    Mean,
    Resampled,
    Runs,
    compare,
    crossed,
    resample,
)
from grid.statistics.bounds import cut_interval

COUNT, SEEDS, RESAMPLES = 300, 3, 1000
numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, numbers, st.sampled_from([SHARE, PERCENT, CORRELATION, POSITIVE, ANY]))
def test_a_possible_value_is_in_the_cut_interval_if_it_was_in_the_whole(
    estimate: float, one: float, other: float, bounds: Bounds
) -> None:
    low, high = sorted((one, other))
    cut_low, cut_high, text = cut_interval(estimate, low, high, bounds)
    if not bounds.holds(estimate):
        assert (cut_low, cut_high, text) == (low, high, "")
        return
    assert bool(text) == ((cut_low, cut_high) != (low, high))
    if low <= estimate <= high:
        assert bounds.holds(cut_low)
        assert bounds.holds(cut_high)
        assert cut_low <= estimate <= cut_high
        for possible in (bounds.cut(one), bounds.cut(0.3), bounds.cut(other)):
            assert (low <= possible <= high) == (cut_low <= possible <= cut_high)


def dice(random: np.random.Generator, patients: int) -> np.ndarray:
    """Dice in % of a true mean of 95, skewed towards 0, (COUNT, S, P)."""
    missed = 0.05 * random.gamma(1.0, 1.0, (COUNT, 1, patients))
    missed = missed * random.gamma(20, 1 / 20, (COUNT, SEEDS, patients))
    missed = missed * random.gamma(50, 1 / 50, (COUNT, SEEDS, 1))
    return 100 * (1 - missed)


def errors(random: np.random.Generator, patients: int) -> np.ndarray:
    """Errors of a true mean of 3, skewed upwards, (COUNT, S, P)."""
    return 0.6 * (100 - dice(random, patients))


CASES: dict[str, tuple[Any, float, Bounds]] = {
    "dice": (dice, 95.0, PERCENT),
    "errors": (errors, 3.0, POSITIVE),
}


def on_scale(estimate: float, low: float, high: float, bounds: Bounds) -> tuple[float, float]:
    """The interval on a logit or log scale, by the delta method."""
    if bounds.high is None:
        return tuple(estimate * np.exp((end - estimate) / estimate) for end in (low, high))  # type: ignore[return-value]
    share = estimate / bounds.high
    ends = []
    for end in (low, high):
        deviation = (end - estimate) / bounds.high / (share * (1 - share))
        logit = np.log(share / (1 - share)) + deviation
        ends.append(bounds.high / (1 + np.exp(-logit)))
    return ends[0], ends[1]


@pytest.mark.parametrize("patients", [3, 10, 60])
@pytest.mark.parametrize("case", CASES)
def test_cutting_keeps_the_coverage(case: str, patients: int) -> None:
    simulate, truth, bounds = CASES[case]
    tables = simulate(np.random.default_rng(patients), patients)
    seeds, owner = tuple(map(str, range(SEEDS))), np.arange(patients)
    runs = []
    for table in tables:
        columns = {"dice": table}
        names = ids(patients)
        runs.append(Runs("x", seeds, names, names, owner, np.ones(patients), columns))
    whole, cut, scaled, widths = [], [], [], []
    for one in resample(runs, Mean("dice"), RESAMPLES):
        low, high = crossed(one).interval()
        whole.append(low <= truth <= high)
        cut_low, cut_high, _ = cut_interval(one.estimate, low, high, bounds)
        assert bounds.holds(cut_low)
        assert bounds.holds(cut_high)
        cut.append(cut_low <= truth <= cut_high)
        scaled_low, scaled_high = on_scale(one.estimate, low, high, bounds)
        scaled.append(scaled_low <= truth <= scaled_high)
        widths.append((cut_high - cut_low, scaled_high - scaled_low))
    own, other = np.median(widths, 0)
    print(
        f"{case}, {patients} patients, {SEEDS} seeds: coverage {np.mean(cut):.3f} cut (median "
        f"width {own:.2f}), {np.mean(scaled):.3f} on its scale ({other:.2f})"
    )
    assert cut == whole
    assert np.mean(cut) > 0.8


def two_patients(low: float, high: float, bounds: Bounds) -> Resampled:
    """Three seeds of two patients."""
    table = np.array([[low, high], [low + 1, high], [low, high - 1]])
    return resample([value(table)], Mean("dice"), bounds=bounds)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_interval_stays_in_the_range(kind: str) -> None:
    """And what a figure shades does too."""
    shown = two_patients(60, 98, PERCENT)
    spread = KINDS[kind]
    if not hasattr(spread, "of"):
        return
    number = spread.of(shown)
    assert number.low is not None
    assert number.high is not None
    assert 0 <= number.low <= number.estimate <= number.high <= 100
    assert number.band == (number.low, number.high)
    assert spread.of(two_patients(60, 98, ANY)).bounds is ANY


def test_a_cut_end_is_marked_and_told() -> None:
    number = KINDS["crossed-95"].of(two_patients(60, 98, PERCENT))  # type: ignore[attr-defined]
    assert number.text().endswith(", 100]")
    assert any("the interval is cut at " in note for note in number.notes)
    assert any("100, the largest possible value" in note for note in number.notes)
    sure = KINDS["crossed-95"].of(two_patients(70, 71, PERCENT))  # type: ignore[attr-defined]
    assert not any("cut" in note for note in sure.notes)
    assert Estimate(99.0, "std-over-seeds", 5, 3, spread=4.0, bounds=PERCENT).band == (95, 100)
    assert Estimate(99.0, "std-over-seeds", 5, 3).band is None


def test_the_interval_of_a_difference_stays_where_differences_lie() -> None:
    runs = [value(np.array([[1.0, 99.0]] * 3)), value(np.array([[98.0, 2.0]] * 3))]
    for first, second in (resample(runs, Mean("dice"), bounds=PERCENT),):
        comparison = compare(first, second, margin=5)
        assert -100 <= comparison.low <= comparison.high <= 100
        assert comparison.equivalence is not None
        assert min(comparison.equivalence) >= -100
    free = compare(*resample(runs, Mean("dice")))
    assert free.low < -100


def test_every_statistic_says_its_range_or_leaves_it_to_its_column() -> None:
    """A new one has to decide."""
    ranges = {label: one.bounds for label, one in STATISTICS.items()}
    assert ranges == {
        "mean": ANY,
        "median": ANY,
        "bias": ANY,
        "mae": POSITIVE,
        "rmse": POSITIVE,
        "std": POSITIVE,
        "r2": Bounds(high=1),
        "pearson": CORRELATION,
        "spearman": CORRELATION,
        "pooled dice": PERCENT,
        **dict.fromkeys(("accuracy", "f1", "macro f1", "balanced accuracy"), SHARE),
        **dict.fromkeys(("auc", "macro auc", "auprc", "ece", "share within"), SHARE),
        **dict.fromkeys(("sensitivity", "specificity"), SHARE),
        **dict.fromkeys(("mse", "nll"), POSITIVE),
        **dict.fromkeys(("lower limit", "upper limit"), ANY),
        **dict.fromkeys(("calibration slope", "calibration intercept"), ANY),
        "brier": Bounds(0, 2),
        "weighted kappa": CORRELATION,
    }
