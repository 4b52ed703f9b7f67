"""The contour rule and the naming of phases."""

from __future__ import annotations

import numpy as np
import pytest

from echolm.datasets.volume_tracings import TracedRows, TracingError, phases

SIZES = [(100, 200)]
"""Height and width of the picture."""


def traced(*frames: tuple[int, float], rows: int = 21) -> TracedRows:
    """Frames in file order, each as wide as said: chord i from (-width, i) to (width, i)."""
    tracing = TracedRows(line=2)
    for number, width in frames:
        tracing.frames[number] = [[0.0, 0.0, 0.0, 20.0]] + [
            [-width, i, width, i] for i in range(1, rows)
        ]
        first = 2 + rows * (len(tracing.frames) - 1)
        tracing.lines[number] = list(range(first, first + rows))
    return tracing


def test_contour_of_a_hand_worked_example() -> None:
    tracing = traced((4, 5.0), (9, 3.0))
    tracing.frames[4] = [[99, 3, 99, 99]] + [[i, 10 + i, 200 - i, 20 + i] for i in range(1, 21)]
    result = phases(tracing, 10, SIZES)
    points = result.landmarks_ed if result.ed == 4 else result.landmarks_es
    assert points.shape == (40, 2) and points.dtype == np.float32
    assert points[0].tolist() == [1, 11] and points[19].tolist() == [20, 30]
    assert points[20].tolist() == [180, 40] and points[39].tolist() == [199, 21]
    assert not (points == 99).all(1).any()


@pytest.mark.parametrize("order", [((46, 9.0), (61, 5.0)), ((61, 5.0), (46, 9.0))])
def test_ed_is_the_larger_area_whichever_row_comes_first(
    order: tuple[tuple[int, float], ...],
) -> None:
    result = phases(traced(*order), 100, SIZES)
    assert (result.ed, result.es) == (46, 61)
    assert np.ptp(result.landmarks_ed[:, 0]) == 18 and np.ptp(result.landmarks_es[:, 0]) == 10


def test_ed_may_come_after_es_in_time() -> None:
    assert phases(traced((3, 5.0), (20, 9.0)), 21, SIZES).ed == 20


def test_equal_areas_make_the_earlier_frame_ed() -> None:
    assert phases(traced((20, 9.0), (3, 9.0)), 21, SIZES).ed == 3


@pytest.mark.parametrize(
    ("tracing", "line", "reason"),
    [
        (TracedRows(), 0, "exactly two traced frames, has 0"),
        (traced((3, 9.0)), 2, r"has 1 \(3\)"),
        (traced((3, 9.0), (5, 8.0), (7, 7.0)), 2, r"has 3 \(3, 5, 7\)"),
        (traced((3, 9.0), (5, 8.0), rows=20), 2, "frame 3 is traced by 20 rows, not 21"),
        (traced((3, 9.0), (5, 8.0), rows=22), 2, "22 rows"),
        (traced((3, 9.0), (10, 8.0)), 23, "frame 10 is outside the video's 10 frames"),
        (traced((-1, 9.0), (3, 8.0)), 2, "frame -1 is outside"),
        (traced((3, 9.0), (5, 0.0)), 23, "frame 5 encloses no area"),
    ],
)
def test_what_cannot_be_used_says_where(tracing: TracedRows, line: int, reason: str) -> None:
    with pytest.raises(TracingError, match=reason) as caught:
        phases(tracing, 10, SIZES)
    assert caught.value.line == line


@pytest.mark.parametrize("value", [1e39, 1e308, 1e9, -1e9, 401.0, -201.0])
@pytest.mark.filterwarnings("error")
def test_a_point_far_outside_the_picture_names_its_row_and_field(value: float) -> None:
    tracing = traced((3, 9.0), (5, 8.0))
    tracing.frames[5][7][2] = value
    with pytest.raises(
        TracingError, match=r"X2 is .*, far outside the picture of 200 pixels; valid: -200 to 400$"
    ) as caught:
        phases(tracing, 10, SIZES)
    assert caught.value.line == 23 + 7
    tracing.frames[5][7][2], tracing.frames[5][0][1] = 8.0, value
    with pytest.raises(
        TracingError, match=r"Y1 is .*, far outside the picture of 100 pixels; valid: -100 to 200$"
    ) as caught:
        phases(tracing, 10, SIZES)
    assert caught.value.line == 23


def test_a_tracing_a_little_beyond_the_picture_is_used() -> None:
    tracing = traced((3, 9.0), (5, 8.0))
    tracing.frames[5][0] = [0.0, -10.0, 0.0, 130.0]
    tracing.frames[5][9][0], tracing.frames[5][9][2] = -200.0, 400.0
    assert phases(tracing, 10, SIZES).landmarks_ed[8].tolist() == [-200, 9]
