"""Clip rules: which frames they choose, what they need, and which stores hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echolm.errors import EchoLMError
from echolm.stores.sampling import (
    SAMPLING_RULES,
    SamplingRule,
    UniformN,
    ed_to_es,
    frames_to_store,
    why_unsuitable,
)

number = st.integers(0, 1001)


@given(ed=number, es=number, frames=st.integers(2, 64))
def test_starts_at_ed_ends_at_es_and_never_turns_back(ed: int, es: int, frames: int) -> None:
    clip = ed_to_es(ed, es, frames)
    assert clip.shape == (frames,) and clip[0] == ed and clip[-1] == es
    steps = np.diff(clip) * (1 if es >= ed else -1)
    assert (steps >= 0).all() and steps.max() - steps.min() <= 1
    assert (steps == 0).any() == (abs(es - ed) < frames - 1)


@given(ed=number, es=number, frames=st.integers(2, 64))
def test_is_the_stated_formula_truncated_toward_ed(ed: int, es: int, frames: int) -> None:
    expected = [ed + int(np.trunc(i * (es - ed) / (frames - 1))) for i in range(frames)]
    assert ed_to_es(ed, es, frames).tolist() == expected


@given(ed=number, es=number, frames=st.integers(2, 64))
def test_swapping_time_mirrors_the_clip(ed: int, es: int, frames: int) -> None:
    assert (ed_to_es(ed, es, frames) + ed_to_es(-ed, -es, frames) == 0).all()


def test_worked_examples() -> None:
    assert ed_to_es(46, 61, 16).tolist() == list(range(46, 62))
    assert ed_to_es(10, 6, 16).tolist() == [10, 10, 10, 10, 9, 9, 9, 9, 8, 8, 8, 8, 7, 7, 7, 6]
    assert ed_to_es(7, 30, 1).tolist() == [7]
    assert ed_to_es(5, 5, 16).tolist() == [5] * 16


def test_no_frames_is_an_error() -> None:
    with pytest.raises(EchoLMError, match="valid: 1 or more"):
        ed_to_es(0, 5, 0)


def rule(name: str) -> SamplingRule:
    return SAMPLING_RULES.parse(name)


@given(ed=number, es=number)
def test_a_store_holds_what_its_clips_need(ed: int, es: int) -> None:
    values, count = {"ed": ed, "es": es}, max(ed, es) + 1
    for name in SAMPLING_RULES.names():
        chosen = rule(name).choose(values, count)
        stored = frames_to_store(rule(name), values, count)
        assert (np.diff(stored) > 0).all() and set(stored.tolist()) == set(chosen.tolist())
        assert stored[0] >= 0 and stored[-1] < count
    assert rule("ed-to-es-16").choose(values, count).tolist() == ed_to_es(ed, es, 16).tolist()


def test_rules_that_need_no_values() -> None:
    def chosen(name: str, count: int) -> list[int]:
        return rule(name).choose({}, count).tolist()

    assert chosen("all", 5) == [0, 1, 2, 3, 4]
    assert chosen("image", 5) == [0]
    assert chosen("uniform-16", 16) == list(range(16))
    assert chosen("uniform-16", 46) == list(range(0, 46, 3))
    assert chosen("uniform-16", 1) == [0] * 16
    assert chosen("first-32", 32) == chosen("first-32", 1000) == list(range(32))
    assert chosen("first-32", 16) == [frame for frame in range(16) for _ in range(2)]
    assert chosen("first-32", 3) == [0] * 11 + [1] * 11 + [2] * 10
    assert chosen("first-32", 1) == [0] * 32


@given(frames=st.integers(1, 1000), count=st.integers(1, 3000))
def test_evenly_spaced_frames_hold_the_first_and_the_last(frames: int, count: int) -> None:
    chosen = rule(f"uniform-{frames}").choose({}, count)
    assert len(chosen) == frames and chosen[0] == 0
    assert chosen[-1] == (count - 1 if frames > 1 else 0)
    steps = np.diff(chosen)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


@given(step=st.integers(1, 1000), count=st.integers(1, 3000))
def test_every_pth_frame(step: int, count: int) -> None:
    assert rule(f"every-{step}").choose({}, count).tolist() == list(range(0, count, step))


@given(count=st.integers(1, 3000))
def test_a_rule_with_a_number_is_the_rule_with_that_name(count: int) -> None:
    numbered = UniformN(name="uniform-16")
    named = rule("uniform-16")
    assert type(named) is not UniformN
    assert numbered.choose({}, count).tolist() == named.choose({}, count).tolist()


@pytest.mark.parametrize(
    "name", ["uniform-0", "uniform-1001", "every-0", "uniform-007", "every-99999", "uniform--3"]
)
def test_a_number_out_of_range_is_told(name: str) -> None:
    with pytest.raises(EchoLMError, match="from 1 to 1000"):
        rule(name)


def test_rules_with_a_number_are_told_with_the_others() -> None:
    for name in ("uniform", "uniform-N", "every-P", "every"):
        with pytest.raises(EchoLMError, match="uniform-N and every-P with a number from 1 to 1000"):
            rule(name)
    assert rule("every-3").name == "every-3" and rule("every-3").needs == ()


def test_an_item_without_a_needed_value_is_refused_in_words() -> None:
    for values in ({"ed": 3}, {"ed": 3, "es": None}):
        with pytest.raises(
            EchoLMError, match="has no value es, which clip rule ed-to-es-16 needs.*--clips all"
        ):
            frames_to_store(rule("ed-to-es-16"), values, 10)


def test_an_unknown_rule_lists_the_valid_ones() -> None:
    with pytest.raises(
        EchoLMError,
        match="did you mean 'ed-to-es-16'.*valid: all, ed-to-es-16, first-32, image, uniform-16",
    ):
        rule("ed-to-es-61")


@pytest.mark.parametrize(
    ("info", "sampling", "reason"),
    [
        ({"clips": "all"}, "", ""),
        ({"clips": "ed-to-es-16"}, "ed-to-es-16", ""),
        ({}, "ed-to-es-16", ""),
        ({"clips": "all", "items": 3}, "ed-to-es-16", ""),  # from before values were counted
        ({"clips": "all", "items": 3, "values": {"ed": 3, "es": 3}}, "ed-to-es-16", ""),
        ({"clips": "all", "items": 3, "values": {}}, "uniform-16", ""),
        (
            {"clips": "all", "items": 3, "values": {"ed": 3, "es": 2}},
            "ed-to-es-16",
            "items without es: 1 of 3",
        ),
        ({"clips": "uniform-16"}, "ed-to-es-16", "it was prepared by clip rule uniform-16"),
        ({"clips": "ed-to-es-16"}, "all", "it was prepared by clip rule ed-to-es-16"),
    ],
)
def test_whether_a_store_holds_the_frames_of_a_rule(
    info: dict[str, Any], sampling: str, reason: str
) -> None:
    assert why_unsuitable(info, sampling) == reason
