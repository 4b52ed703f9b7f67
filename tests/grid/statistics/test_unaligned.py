"""Means and spreads against closed forms written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.statistics import OVER_PATIENTS, OVER_SEEDS, Spread, patient_means, std_over_patients, std_over_seeds

NUMBER = st.floats(-1e3, 1e3)
ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), NUMBER), min_size=1, max_size=20)
SEEDS = st.dictionaries(st.sampled_from(["0", "1", "2", "7"]), ROWS, min_size=1)


def arrays(rows: list[tuple[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([patient for patient, _ in rows]), np.array([value for _, value in rows])


def by_hand(rows: list[tuple[str, float]]) -> tuple[float, float | None]:
    """Mean and sample standard deviation over patients, in plain Python."""
    patients = sorted({patient for patient, _ in rows})
    means = []
    for patient in patients:
        own = [value for other, value in rows if other == patient]
        means.append(math.fsum(own) / len(own))
    mean = math.fsum(means) / len(means)
    if len(means) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in means) / (len(means) - 1))


def test_worked_example() -> None:
    first = (np.array(["p", "q", "q", "r"]), np.array([80.0, 90.0, 94.0, 98.0]))  # patients 80, 92, 98
    second = (np.array(["p", "q", "r"]), np.array([82.0, 82.0, 88.0]))
    spread = std_over_patients({"0": first, "1": second})
    assert spread.mean == pytest.approx((90 + 84) / 2)
    assert spread.spread == pytest.approx((math.sqrt(84) + math.sqrt(12)) / 2)
    assert (spread.kind, spread.patients, spread.seeds) == (OVER_PATIENTS, 3, 2)
    over_seeds = std_over_seeds({"0": first, "1": second})
    assert over_seeds == Spread(spread.mean, pytest.approx(math.sqrt(2 * 9)), OVER_SEEDS, 3, 2)  # type: ignore[arg-type]


@given(SEEDS)
def test_equals_the_formulas_written_out(seeds: dict[str, list[tuple[str, float]]]) -> None:
    values = {seed: arrays(rows) for seed, rows in seeds.items()}
    hand = [by_hand(rows) for rows in seeds.values()]
    mean = math.fsum(mean for mean, _ in hand) / len(hand)
    spread = std_over_patients(values)
    assert spread.mean == pytest.approx(mean, abs=1e-9)
    if any(std is None for _, std in hand):
        assert spread.spread is None
    else:
        assert spread.spread == pytest.approx(math.fsum(std or 0.0 for _, std in hand) / len(hand), abs=1e-9)
    assert spread.patients == len({patient for rows in seeds.values() for patient, _ in rows})
    seeds_spread = std_over_seeds(values)
    if len(hand) == 1:
        assert seeds_spread.spread is None
    else:
        variance = math.fsum((own - mean) ** 2 for own, _ in hand) / (len(hand) - 1)
        assert seeds_spread.spread == pytest.approx(math.sqrt(variance), abs=1e-9)


@given(ROWS, st.randoms())
def test_the_order_of_rows_does_not_matter(rows: list[tuple[str, float]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert patient_means(*arrays(rows)) == pytest.approx(patient_means(*arrays(shuffled)), abs=1e-9)


@given(ROWS, st.integers(1, 4))
def test_repeating_every_clip_of_a_patient_changes_nothing(rows: list[tuple[str, float]], times: int) -> None:
    one, many = std_over_patients({"0": arrays(rows)}), std_over_patients({"0": arrays(rows * times)})
    assert many.mean == pytest.approx(one.mean, abs=1e-9)
    assert many.patients == one.patients


def test_nan_is_shown_not_left_out() -> None:
    spread = std_over_patients({"0": (np.array(["p", "q"]), np.array([1.0, np.nan]))})
    assert math.isnan(spread.mean)
    assert spread.spread is not None and math.isnan(spread.spread)


def test_nothing_to_average_is_an_error() -> None:
    empty = (np.array([], dtype=str), np.array([]))
    for values in ({}, {"0": empty}):
        with pytest.raises(ValueError, match="at least one"):
            std_over_patients(values)
        with pytest.raises(ValueError, match="at least one"):
            std_over_seeds(values)
