"""Splits drawn by a seed: whole patients, the shares asked for, nothing else decides."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echolm.datasets.drawn_split import draw_splits
from echolm.errors import EchoLMError

PATIENTS = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=60)


@given(patients=PATIENTS, seed=st.integers(0, 9), val=st.floats(0, 0.4), test=st.floats(0, 0.4))
def test_shares_are_of_patients(patients: list[str], seed: int, val: float, test: float) -> None:
    splits = draw_splits(patients, seed, val, test)
    assert set(splits) == set(patients)
    counts = Counter(splits.values())
    for split, share in (("val", val), ("test", test)):
        expected = max(1, round(share * len(splits))) if share and len(splits) >= 3 else 0
        assert counts[split] == expected


@given(patients=PATIENTS, seed=st.integers(0, 9), order=st.randoms())
def test_neither_order_nor_repetition_matters(
    patients: list[str], seed: int, order: object
) -> None:
    shuffled = patients * 2
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw_splits(patients, seed, 0.2, 0.2) == draw_splits(shuffled, seed, 0.2, 0.2)


def test_a_seed_is_another_draw_and_the_same_seed_the_same() -> None:
    patients = [f"P{number}" for number in range(100)]
    draws = [draw_splits(patients, seed, 0.2, 0.2) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_patient_more_moves_few_others() -> None:
    patients = [f"P{number}" for number in range(100)]
    before = draw_splits(patients, 0, 0.2, 0.2)
    after = draw_splits([*patients, "new"], 0, 0.2, 0.2)
    assert sum(before[patient] != after[patient] for patient in patients) <= 2


@pytest.mark.parametrize(
    ("val", "test", "reason"),
    [(-0.1, 0.2, "val is -0.1"), (0.2, 1.0, "test is 1.0"), (0.5, 0.5, "leave no patient to")],
)
def test_shares_that_cannot_be_are_refused(val: float, test: float, reason: str) -> None:
    with pytest.raises(EchoLMError, match=reason):
        draw_splits(["a", "b", "c"], 0, val, test)
