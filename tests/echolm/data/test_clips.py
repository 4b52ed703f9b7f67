"""The clip rule: uniform frame numbers from ED to ES."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echolm.data.clips import CLIP_RULES, ed_to_es, stored_frames
from echolm.errors import EchoLMError

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


@given(ed=number, es=number)
def test_a_store_holds_what_its_clips_need(ed: int, es: int) -> None:
    count = max(ed, es) + 1
    for rule in CLIP_RULES:
        stored = stored_frames(rule, ed, es, count)
        assert (np.diff(stored) > 0).all() and set(ed_to_es(ed, es, 16).tolist()) <= set(stored.tolist())
    assert stored_frames("all", ed, es, count).tolist() == list(range(count))


def test_an_unknown_rule_lists_the_valid_ones() -> None:
    with pytest.raises(EchoLMError, match="did you mean 'ed-to-es-16'.*valid: all, ed-to-es-16"):
        stored_frames("ed-to-es-61", 0, 1, 2)
