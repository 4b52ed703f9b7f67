"""Which frames a clip chooses, from which stores, and what it draws from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from echolm.clips import CLIPS, Clip
from echolm.clips.spread import spread
from echolm.clips.window import Window
from echolm.errors import EchoLMError
from echolm.randomness import fold, sample_keys
from echolm.stores.sampling import ed_to_es

counts = st.integers(1, 40)
number = st.integers(0, 300)


def chosen(clip: Clip, held: list[int] | np.ndarray, count: int, **values: int) -> list[int]:
    """The frames of evaluation."""
    return clip.choose(np.array(held), values, count, None, None).tolist()


def clip(name: str, **fields: int) -> Clip:
    return CLIPS.parse({"name": name, **fields})


@given(available=st.integers(1, 200), count=counts)
def test_positions_are_spread_evenly_from_the_first_to_the_last(available: int, count: int) -> None:
    places = spread(available, count)
    assert len(places) == count and (np.diff(places) >= 0).all() and places[0] == 0
    if available >= count > 1:
        steps = np.diff(places)
        assert places[-1] == available - 1 and steps.max() - steps.min() <= 1
        exact = np.linspace(0, available - 1, count)
        assert np.array_equal(places, np.floor(exact + 1e-9))
    if available < count:
        times = Counter(places.tolist())
        assert set(times) == set(range(available))
        assert max(times.values()) - min(times.values()) <= 1


@given(ed=number, es=number, count=counts)
def test_ed_to_es_is_what_landmarks_always_had(ed: int, es: int, count: int) -> None:
    """From a store of whole videos, and from one of the 16 frames for encoders of 16."""
    everything = np.arange(max(ed, es) + 1)
    expected = ed_to_es(ed, es, count).tolist()
    assert chosen(clip("ed-to-es"), everything, count, ed=ed, es=es) == expected
    stored = np.unique(ed_to_es(ed, es, 16))
    expected = ed_to_es(ed, es, 16).tolist()
    assert chosen(clip("ed-to-es"), stored, 16, ed=ed, es=es) == expected


@given(ed=number, es=number, count=st.integers(2, 70))
def test_ed_to_es_repeats_the_stored_frames_for_an_encoder_of_more(
    ed: int, es: int, count: int
) -> None:
    stored = np.unique(ed_to_es(ed, es, 16))
    frames = chosen(clip("ed-to-es"), stored, count, ed=ed, es=es)
    assert len(frames) == count and set(frames) <= set(stored.tolist())
    assert (frames[0], frames[-1]) == (ed, es)
    assert frames == sorted(frames, reverse=es < ed)
    if count == 32 and len(stored) == 16:
        assert set(Counter(frames).values()) == {2}


@given(length=st.integers(1, 200), count=counts)
def test_uniform_runs_from_the_first_held_frame_to_the_last(length: int, count: int) -> None:
    held = np.arange(length) * 3 + 7
    frames = chosen(clip("uniform"), held, count)
    assert frames == held[spread(length, count)].tolist()


@given(
    length=st.integers(1, 120),
    count=counts,
    period=st.integers(1, 6),
    key=st.integers(0, 2**64 - 1),
)
def test_a_window_that_fits_has_its_period_and_lies_within(
    length: int, count: int, period: int, key: int
) -> None:
    window = clip("window", period=period)
    assume(length > (count - 1) * period)
    for drawn in (key, None):
        frames = window.choose(np.arange(length), {}, count, drawn, None)
        assert frames.shape == (count,) and frames[0] >= 0 and frames[-1] < length
        assert (np.diff(frames) == period).all()
    before, after = frames[0], length - 1 - frames[-1]
    assert 0 <= after - before <= 1, "in evaluation it lies in the middle"


@given(length=st.integers(1, 60), count=st.integers(2, 40), period=st.integers(1, 6))
def test_a_short_video_repeats_its_frames_evenly(length: int, count: int, period: int) -> None:
    assume(length <= (count - 1) * period)
    frames = chosen(clip("window", period=period), range(length), count)
    times = Counter(frames)
    assert len(frames) == count and frames == sorted(frames)
    assert max(times.values()) - min(times.values()) <= 1
    assert set(np.diff(sorted(times)).tolist()) <= {period}
    assert len(times) == -(-length // period), "as many as there are at this period"


def test_worked_windows() -> None:
    held = np.arange(20)
    four = clip("window", period=2, windows=4)
    starts = [four.choose(held, {}, 5, None, window)[0] for window in range(4)]
    assert starts == [0, 3, 7, 11]
    assert four.choose(held, {}, 5, None, 3).tolist() == [11, 13, 15, 17, 19]
    assert chosen(four, held, 5) == [5, 7, 9, 11, 13]
    assert chosen(clip("window"), [0], 3) == [0, 0, 0]


def test_starts_are_drawn_evenly_from_keys_and_from_nothing_else() -> None:
    window = clip("window", period=2)
    keys = fold(sample_keys([str(number) for number in range(6000)]), "clip").tolist()
    starts = [int(window.choose(np.arange(15), {}, 5, key, None)[0]) for key in keys]
    counted = np.bincount(starts, minlength=7)
    assert len(counted) == 7
    expected = 6000 / 7
    assert ((counted - expected) ** 2 / expected).sum() < 22.5, "chi-squared of 6, p = 0.001"
    assert starts == [int(window.choose(np.arange(15), {}, 5, key, 2)[0]) for key in keys]
    ends = [window.choose(np.arange(15), {}, 5, key, None)[0] for key in (0, 2**64 - 1)]
    assert ends == [0, 6]


def test_a_store_of_every_second_frame_gives_windows_of_even_periods() -> None:
    held = np.arange(0, 60, 2)
    frames = clip("window", period=4).choose(held, {}, 8, 123456789 << 32, None)
    assert (np.diff(frames) == 4).all() and set(frames.tolist()) <= set(held.tolist())
    with pytest.raises(EchoLMError, match="takes every 3. frame, and the store does not hold them"):
        chosen(clip("window", period=3), held, 8)
    with pytest.raises(EchoLMError, match="--clips all"):
        chosen(clip("window"), [0, 1, 5], 2)


RULES = {"all", "ed-to-es-16", "uniform-16", "uniform-32", "first-32", "every-2", "image"}


@pytest.mark.parametrize(
    ("name", "suits"),
    [
        ("ed-to-es", {"all", "ed-to-es-16"}),
        ("uniform", {"all", "uniform-16", "uniform-32", "every-2", "image"}),
        ("window", {"all", "first-32", "every-2"}),
    ],
)
def test_which_stores_suit_a_clip_of_sixteen_frames(name: str, suits: set[str]) -> None:
    fields = {"period": 2} if name == "window" else {}
    found = {rule for rule in RULES if not clip(name, **fields).why_unsuitable(rule, 16)}
    assert found == suits
    for rule in RULES - found:
        reason = clip(name, **fields).why_unsuitable(rule, 16)
        assert reason.startswith(f"it was prepared by clip rule {rule}")
    assert clip(name, **fields).rule in suits


def test_the_first_frames_are_enough_or_not() -> None:
    window = Window(period=2)
    assert window.why_unsuitable("first-32", 16) == ""
    assert window.why_unsuitable("first-32", 17) == (
        "it was prepared by clip rule first-32, and 17 frames of period 2 span 33"
    )
    assert window.why_unsuitable("every-4", 16) == (
        "it was prepared by clip rule every-4, whose valid periods are multiples of 4, not 2"
    )


def test_a_clip_under_a_name_that_is_taken_is_refused() -> None:
    from typing import Literal

    class Other(Clip):
        """Frames of another kind."""

        name: Literal["uniform"] = "uniform"

    with pytest.raises(EchoLMError, match="clip 'uniform' is registered twice"):
        CLIPS.register(Other)
    assert CLIPS.names() == ["ed-to-es", "uniform", "window"]
