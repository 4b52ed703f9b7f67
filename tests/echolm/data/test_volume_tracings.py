"""The contour rule and the naming of phases."""

from __future__ import annotations

import numpy as np
import pytest

from echolm.data.volume_tracings import Traced, TracingError, phases

SIZE = (100, 200)
"""Height and width of the picture."""


def traced(*frames: tuple[int, float], rows: int = 21) -> Traced:
    """Frames in file order, each as wide as said: chord i from (-width, i) to (width, i)."""
    made = Traced(line=2)
    for number, width in frames:
        made.frames[number] = [[0.0, 0.0, 0.0, 20.0]] + [[-width, i, width, i] for i in range(1, rows)]
        first = 2 + rows * (len(made.frames) - 1)
        made.lines[number] = list(range(first, first + rows))
    return made


def test_contour_of_a_hand_worked_example() -> None:
    made = traced((4, 5.0), (9, 3.0))
    made.frames[4] = [[99, 99, 99, 99]] + [[i, 10 + i, 100 - i, 50 + i] for i in range(1, 21)]
    found = phases(made, 10, SIZE)
    points = found.landmarks_ed if found.ed == 4 else found.landmarks_es
    assert points.shape == (40, 2) and points.dtype == np.float32
    assert points[0].tolist() == [1, 11] and points[19].tolist() == [20, 30]
    assert points[20].tolist() == [80, 70] and points[39].tolist() == [99, 51]
    assert not (points == 99).all(1).any()


@pytest.mark.parametrize("order", [((46, 9.0), (61, 5.0)), ((61, 5.0), (46, 9.0))])
def test_ed_is_the_larger_area_whichever_row_comes_first(order: tuple[tuple[int, float], ...]) -> None:
    found = phases(traced(*order), 100, SIZE)
    assert (found.ed, found.es) == (46, 61)
    assert np.ptp(found.landmarks_ed[:, 0]) == 18 and np.ptp(found.landmarks_es[:, 0]) == 10


def test_ed_may_come_after_es_in_time() -> None:
    assert phases(traced((3, 5.0), (20, 9.0)), 21, SIZE).ed == 20


def test_equal_areas_make_the_earlier_frame_ed() -> None:
    assert phases(traced((20, 9.0), (3, 9.0)), 21, SIZE).ed == 3


@pytest.mark.parametrize(
    ("made", "line", "reason"),
    [
        (Traced(), 0, "exactly two traced frames, has 0"),
        (traced((3, 9.0)), 2, r"has 1 \(3\)"),
        (traced((3, 9.0), (5, 8.0), (7, 7.0)), 2, r"has 3 \(3, 5, 7\)"),
        (traced((3, 9.0), (5, 8.0), rows=20), 2, "frame 3 is traced by 20 rows, not 21"),
        (traced((3, 9.0), (5, 8.0), rows=22), 2, "22 rows"),
        (traced((3, 9.0), (10, 8.0)), 23, "frame 10 is outside the video's 10 frames"),
        (traced((-1, 9.0), (3, 8.0)), 2, "frame -1 is outside"),
        (traced((3, 9.0), (5, 0.0)), 23, "frame 5 encloses no area"),
    ],
)
def test_what_cannot_be_used_says_where_and_why(made: Traced, line: int, reason: str) -> None:
    with pytest.raises(TracingError, match=reason) as caught:
        phases(made, 10, SIZE)
    assert caught.value.line == line


@pytest.mark.parametrize("value", [1e39, 1e308, 1e9, -1e9, 401.0, -201.0])
@pytest.mark.filterwarnings("error")
def test_a_point_far_outside_the_picture_names_its_row_and_field(value: float) -> None:
    made = traced((3, 9.0), (5, 8.0))
    made.frames[5][7][2] = value
    with pytest.raises(TracingError, match=r"X2 is .*, far outside the picture of 200 pixels; valid: -200 to 400$") as caught:
        phases(made, 10, SIZE)
    assert caught.value.line == 23 + 7
    made.frames[5][7][2], made.frames[5][0][1] = 8.0, value
    with pytest.raises(TracingError, match=r"Y1 is .*, far outside the picture of 100 pixels; valid: -100 to 200$") as caught:
        phases(made, 10, SIZE)
    assert caught.value.line == 23


def test_a_tracing_a_little_beyond_the_picture_is_used() -> None:
    made = traced((3, 9.0), (5, 8.0))
    made.frames[5][0] = [-20.0, -10.0, 230.0, 130.0]
    made.frames[5][9][0], made.frames[5][9][2] = -200.0, 400.0
    assert phases(made, 10, SIZE).landmarks_ed[8].tolist() == [-200, 9]
