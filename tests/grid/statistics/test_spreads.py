"""Standard deviations over patients and over seeds against closed forms written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.statistics import KINDS, Estimate, Mean, Rows, align

NUMBER = st.floats(-1e3, 1e3)
PATIENTS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=20)
TABLES = PATIENTS.flatmap(
    lambda patients: st.tuples(
        st.just(patients),
        st.lists(
            st.lists(NUMBER, min_size=len(patients), max_size=len(patients)), min_size=1, max_size=4
        ),
    )
)
DICE = Mean("dice")


def number(kind: str, patients: list[str], seeds: list[list[float]]) -> Estimate:
    clips = np.array([f"clip{at}" for at in range(len(patients))])
    rows = {
        str(seed): Rows(np.array(patients), {"dice": np.array(own)}, clips)
        for seed, own in enumerate(seeds)
    }
    return KINDS[kind].number(align(rows), DICE)


def by_hand(patients: list[str], values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation over patients, in plain Python."""
    means = []
    for patient in sorted(set(patients)):
        own = [value for other, value in zip(patients, values, strict=True) if other == patient]
        means.append(math.fsum(own) / len(own))
    mean = math.fsum(means) / len(means)
    if len(means) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in means) / (len(means) - 1))


def test_worked_example() -> None:
    patients, seeds = (
        ["p", "q", "q", "r"],
        [[80.0, 90.0, 94.0, 98.0], [82.0, 80.0, 84.0, 88.0]],
    )  # 80, 92, 98 and 82, 82, 88
    spread = (math.sqrt(84) + math.sqrt(12)) / 2
    assert number("std-over-patients", patients, seeds) == Estimate(
        87.0, "std-over-patients", 3, 2, pytest.approx(spread)
    )  # type: ignore[arg-type]
    assert number("std-over-seeds", patients, seeds) == Estimate(
        87.0, "std-over-seeds", 3, 2, pytest.approx(math.sqrt(18))
    )  # type: ignore[arg-type]


@given(TABLES)
def test_equals_the_formulas_written_out(table: tuple[list[str], list[list[float]]]) -> None:
    patients, seeds = table
    hand = [by_hand(patients, own) for own in seeds]
    mean = math.fsum(mean for mean, _ in hand) / len(hand)
    found = number("std-over-patients", patients, seeds)
    assert found.estimate == pytest.approx(mean, abs=1e-9)
    assert found.patients == len(set(patients))
    if any(std is None for _, std in hand):
        assert found.spread is None
    else:
        assert found.spread == pytest.approx(
            math.fsum(std or 0.0 for _, std in hand) / len(hand), abs=1e-9
        )
    over_seeds = number("std-over-seeds", patients, seeds).spread
    if len(hand) == 1:
        assert over_seeds is None
    else:
        variance = math.fsum((own - mean) ** 2 for own, _ in hand) / (len(hand) - 1)
        assert over_seeds == pytest.approx(math.sqrt(variance), abs=1e-9)


@given(TABLES, st.integers(2, 4))
def test_repeating_every_clip_of_a_patient_changes_nothing(
    table: tuple[list[str], list[list[float]]], times: int
) -> None:
    patients, seeds = table
    one, many = (
        number("std-over-patients", patients, seeds),
        number("std-over-patients", patients * times, [own * times for own in seeds]),
    )
    assert many.estimate == pytest.approx(one.estimate, abs=1e-9)
    assert many.patients == one.patients
    assert many.spread == (None if one.spread is None else pytest.approx(one.spread, abs=1e-9))


def test_nan_is_shown_not_left_out() -> None:
    found = number("std-over-patients", ["p", "q"], [[1.0, np.nan]])
    assert math.isnan(found.estimate)
    assert found.spread is not None
    assert math.isnan(found.spread)
