"""Geometry that no ventricle has is a problem: rows in another order, and other units.

What EchoNet-Dynamic is known to hold stays usable: contours that cross themselves, axes drawn
either way, and unsteady hands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echolm.datasets.phantom.anatomy import trace
from echolm.datasets.phantom.generate import draw_beat
from echolm.datasets.volume_tracings import Phases, TracedRows, TracingError, phases
from echolm.geometry import contour_from_chords, dice, rasterise

SIZE = 112
SHORT = settings(max_examples=60)
hearts = st.integers(0, 500)


def traced(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of one heart at its traced frames, ED and ES: 21 x 4 each."""
    beat = draw_beat(0, number, number)
    motion = beat.motion
    return trace(beat.heart, motion, motion.ed), trace(beat.heart, motion, motion.es)


def judged(ed: np.ndarray, es: np.ndarray) -> Phases:
    """What is made of rows at frames 3 and 7 of a video of 10 frames."""
    frames = {3: ed.tolist(), 7: es.tolist()}
    lines = {3: list(range(2, 23)), 7: list(range(23, 44))}
    return phases(TracedRows(frames=frames, lines=lines, line=2), 10, [(SIZE, SIZE)])


def mask(rows: np.ndarray) -> np.ndarray:
    return rasterise(contour_from_chords(rows)[None], SIZE, SIZE)[0]


def turned(rows: np.ndarray, angle: float, mirrored: bool) -> np.ndarray:
    """The rows turned about the middle of the picture, and seen in a mirror."""
    points = rows.reshape(-1, 2) - SIZE / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    points = points @ np.array([[cosine, sine], [-sine, cosine]])
    if mirrored:
        points[:, 0] *= -1
    return (points + SIZE / 2).reshape(rows.shape)


@SHORT
@given(hearts, st.floats(0, 2 * np.pi), st.booleans(), st.floats(0.7, 1.2))
def test_a_ventricle_is_used_however_it_lies(
    heart: int, angle: float, mirrored: bool, zoom: float
) -> None:
    moved = []
    for rows in traced(heart):
        scaled = (rows - SIZE / 2) * zoom + SIZE / 2
        moved.append(turned(scaled, angle, mirrored))
    found = judged(*moved)
    assert (found.ed, found.es) == (3, 7)
    assert np.allclose(found.landmarks_ed, contour_from_chords(moved[0]), atol=1e-4)


@SHORT
@given(
    hearts,
    st.sets(st.integers(1, 20)),
    st.sets(st.integers(1, 20), max_size=8),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_what_the_published_tracings_hold_stays_usable(
    heart: int, exchanged: set[int], jumped: set[int], axis_reversed: bool, seed: int
) -> None:
    """Ends that are exchanged or lie in the wrong place along their chord, and a moving hand."""
    rng = np.random.default_rng(seed)
    ed, es = traced(heart)
    for row in exchanged:
        ed[row] = ed[row][[2, 3, 0, 1]]
    for row in jumped:
        chord = ed[row, 2:] - ed[row, :2]
        ed[row, 2:] = ed[row, :2] + 0.3 * chord
    if axis_reversed:
        es[0] = es[0][[2, 3, 0, 1]]
    ed[1:] += 0.4 * rng.standard_normal((20, 4))
    judged(ed, es)


@SHORT
@given(hearts, st.permutations(range(21)), st.booleans())
def test_rows_in_another_order_are_told_or_do_no_harm(
    heart: int, order: Sequence[int], of_es: bool
) -> None:
    ed, es = traced(heart)
    rows = (es if of_es else ed)[list(order)]
    try:
        judged(ed, rows) if of_es else judged(rows, es)
    except TracingError as error:
        assert error.line == (23 if of_es else 2)
        assert "valid: the long axis, then the chords" in str(error)
    else:
        assert dice(mask(rows), mask(es if of_es else ed)) > 0.9


def accidents(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Orders that spreadsheets and merges make of rows."""
    orders = {
        "the long axis last": np.r_[1:21, 0],
        "the long axis second": np.r_[1, 0, 2:21],
        "upside down": np.r_[20:-1:-1],
        "chords from the mitral plane": np.r_[0, 20:0:-1],
        "chords cut and put together": np.r_[0, 11:21, 1:11],
        "every second chord first": np.r_[0, 1:21:2, 2:21:2],
        "two chords exchanged": np.r_[0:4, 15, 5:15, 4, 16:21],
    }
    for column, name in enumerate(("X1", "Y1", "X2", "Y2")):
        by_text = sorted(range(21), key=lambda row, column=column: str(rows[row, column]))
        orders[f"{name} as text"] = np.array(by_text)
        orders[f"{name} descending"] = rows[:, column].argsort()[::-1]
    orders["X1 ascending"] = rows[:, 0].argsort()
    return orders


@pytest.mark.parametrize("heart", range(8))
def test_each_accident_that_moves_the_contour_is_told(heart: int) -> None:
    ed, es = traced(heart)
    true = mask(ed)
    told = 0
    for name, order in accidents(ed).items():
        rows = ed[order]
        try:
            judged(rows, es)
        except TracingError:
            told += 1
        else:
            assert dice(mask(rows), true) > 0.9, name
    assert told >= 8


def test_an_order_is_told_with_what_is_seen() -> None:
    ed, es = traced(3)
    cases = {
        "its first row crosses 1 of the 20 others, so it is not the long axis": np.r_[1:21, 0],
        "its chords do not follow one another along the long axis": np.r_[0, 11:21, 1:11],
        "its chords go from the mitral plane to the apex": np.r_[0, 20:0:-1],
    }
    for reason, order in cases.items():
        with pytest.raises(TracingError, match=f"^frame 3: {reason}; valid: the long axis, then"):
            judged(ed[order], es)
    ed[0, 2:] = ed[0, :2]
    with pytest.raises(TracingError, match="frame 3: its first row is a point, not the long axis"):
        judged(ed, es)


@SHORT
@given(hearts, st.floats(-3, np.log10(0.14)))
def test_smaller_units_are_told(heart: int, power: float) -> None:
    """Parts of the picture, centimetres, metres."""
    ed, es = traced(heart)
    with pytest.raises(TracingError, match=r"less than any ventricle.*other units\? valid: pixels"):
        judged(ed * 10**power, es * 10**power)


@SHORT
@given(hearts, st.floats(np.log10(3.2), 4))
def test_larger_units_are_told(heart: int, power: float) -> None:
    ed, es = traced(heart)
    with pytest.raises(TracingError, match="outside the picture of 112"):
        judged(ed * 10**power, es * 10**power)


def test_the_smallest_ventricle_is_measured_in_its_own_picture() -> None:
    """Six rows of EchoNet-Dynamic list 768 x 1024, and are traced on 112 x 112."""
    ed, es = (0.35 * (rows - 56) + 56 for rows in traced(1))
    frames = {3: ed.tolist(), 7: es.tolist()}
    rows = TracedRows(frames=frames, lines={3: [2] * 21, 7: [23] * 21}, line=2)
    phases(rows, 10, [(SIZE, SIZE), (768, 1024)])
    with pytest.raises(TracingError, match="less than any ventricle in a picture of 1024 x 768"):
        phases(rows, 10, [(768, 1024)])
