"""Aligned rows.

The order of rows never matters, and what cannot be aligned is refused with the ids.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statistics_support import rows

from echolm.errors import EchoLMError
from grid.statistics import Mean, Rows, align
from grid.statistics.rows import same_patients


def of(patients: str, values: list[float], samples: str | None = None) -> Rows:
    return Rows(
        np.array(list(patients)),
        {"dice": np.array(values)},
        None if samples is None else np.array(list(samples)),
    )


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**32))
def test_rows_of_all_seeds_stand_in_one_order(patients: int, clips: int, key: int) -> None:
    random = np.random.default_rng(key)
    first = rows(random, patients + 3, clips)
    order = random.permutation(len(first.patient))
    assert first.sample is not None
    second = Rows(
        first.patient[order],
        {name: column[order] for name, column in first.columns.items()},
        first.sample[order],
    )
    found = align({"0": first, "1": second})
    for column in found.columns.values():
        assert np.array_equal(column[0], column[1])
    where = {sample: place for place, sample in enumerate(first.sample)}
    for place, (sample, owner) in enumerate(zip(found.samples, found.owner, strict=True)):
        assert found.columns["dice"][0, place] == first.columns["dice"][where[sample]]
        assert found.patients[owner] == first.patient[where[sample]]
    assert found.columns["scores"].shape == (2, len(order), 3)


def test_a_patient_weighs_one_or_its_number_of_rows() -> None:
    many = of("ppq", [90.0, 80.0, 70.0], "abc")
    by_patient, by_sample = align({"0": many}), align({"0": many}, unit="sample")
    assert by_patient.patient_weights.tolist() == [1, 1]
    assert by_sample.patient_weights.tolist() == [
        2,
        1,
    ]
    assert Mean("dice").full(by_patient) == [pytest.approx((85 + 70) / 2)]
    assert Mean("dice").full(by_sample) == [pytest.approx(80)]
    assert (
        Mean("dice").per_patient(by_patient).tolist()
        == Mean("dice").per_patient(by_sample).tolist()
        == [[85, 70]]
    )


@pytest.mark.parametrize(
    ("by_seed", "words"),
    [
        ({}, ["no run"]),
        ({"0": of("", [])}, ["seed 0", "no row"]),
        ({"0": of("pp", [1, 2])}, ["seed 0", "patient p is there more than once", "sample ids"]),
        ({"3": of("pq", [1, 2], "aa")}, ["seed 3", "sample a is there more than once", "one slot"]),
        (
            {"0": of("pq", [1, 2]), "1": of("p", [1])},
            ["seed 0 has 1 samples that seed 1 lacks (q)", "one store"],
        ),
        (
            {"0": of("p", [1]), "1": of("pqrst", [1, 2, 3, 4, 5])},
            ["seed 1 has 4 samples that seed 0 lacks (q, r, s, ...)"],
        ),
        (
            {"0": of("pq", [1, 2], "ab"), "1": of("qp", [1, 2], "ab")},
            ["sample a is of patient p in seed 0 and of patient q in seed 1"],
        ),
        ({"0": of("pq", [1, 2, 3])}, ["unequal length", "patient 2", "dice 3"]),
        (
            {"0": of("p", [1]), "1": Rows(np.array(["p"]), {"mke": np.array([1.0])})},
            ["seed 1 has columns mke 1, seed 0 dice 1"],
        ),
    ],
)
def test_what_cannot_be_aligned_is_refused(by_seed: dict[str, Rows], words: list[str]) -> None:
    with pytest.raises(EchoLMError) as error:
        align(by_seed, "r3d-18, mlp")
    assert "r3d-18, mlp" in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_values_of_other_patients_cannot_be_paired() -> None:
    first, second = align({"0": of("pqr", [1, 2, 3])}, "a"), align({"0": of("pqs", [1, 2, 3])}, "b")
    same_patients(first, first)
    with pytest.raises(EchoLMError, match=r"a has 1 patients that b lacks \(r\)"):
        same_patients(first, second)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(EchoLMError, match="has no column 'mke'; it has dice"):
        align({"0": of("p", [1])}).column("mke")
