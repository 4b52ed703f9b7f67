"""The search of ED and ES, with networks whose areas are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echolm.errors import EchoLMError
from echolm.predict.find_ed_es import Areas, Pair, estimate


def network(at_ed: np.ndarray, at_es: np.ndarray, log: list[Pair] | None = None) -> Areas:
    """One that measures its end frames: the first by ``at_ed``, the last by ``at_es``."""

    def areas(pairs: object) -> np.ndarray:
        rows = np.array(list(pairs))  # type: ignore[call-overload]
        assert rows.min() >= 0 and rows.max() < len(at_ed)
        if log is not None:
            log.extend((int(first), int(last)) for first, last in rows)
        return np.stack([at_ed[rows[:, 0]], at_es[rows[:, 1]]], 1)

    return areas


def beating(count: int, period: float, phase: float = 0.0) -> np.ndarray:
    """Areas of a heart: largest at ``phase``, smallest half a period later."""
    return 1000 + 300 * np.cos(2 * np.pi * (np.arange(count) - phase) / period)


@pytest.mark.parametrize(
    ("count", "period", "phase"),
    [(2, 2, 0), (20, 24, 3), (32, 40, 5), (45, 42, 12), (60, 64, 30), (175, 340, 9)],
)
def test_the_frames_of_largest_and_smallest_area(count: int, period: float, phase: float) -> None:
    """Exactly, where there is one beat; with an area at ED that is always larger."""
    areas = beating(count, period, phase)
    phases = estimate(network(areas + 200, areas), count, fps=count)
    assert (phases.ed, phases.es) == (int(areas.argmax()), int(areas.argmin()))
    assert phases.estimated == ("ED", "ES") and phases.agreement == pytest.approx(1)


@pytest.mark.parametrize("count", [2, 3, 32, 33, 60, 175, 250, 1000, 10_000])
@pytest.mark.parametrize("fps", [None, 30.0, 100.0])
def test_a_bounded_number_of_passes_and_none_twice(count: int, fps: float | None) -> None:
    log: list[Pair] = []
    areas = beating(count, 37.3)
    phases = estimate(network(areas, areas, log), count, fps)
    assert len(log) == len(set(log)) == phases.passes <= 200
    assert abs(phases.ed - phases.es) <= (fps or 50) and phases.ed != phases.es
    if count >= 175:
        assert areas[phases.ed] > 1290 and areas[phases.es] < 710, (
            "an ED and an ES of some beat, to 5 % of the contraction"
        )
    assert max(max(pair) for pair in log) < 5 * (fps or 50) + 6 or count < 300, (
        "five seconds are searched"
    )


def reference(
    read: Callable[[int, int], tuple[float, float]], count: int, near: int, gap: int
) -> tuple[int, int, float]:
    """All pairs of all frames: ED, ES and the agreement."""
    table = np.zeros((count, 4))
    for t in range(count):
        after = t + near if t + near < count else t - near if t >= near else t
        before = t - near if t >= near else t + near if t + near < count else t
        table[t] = [*read(t, t), read(t, after)[0], read(before, t)[1]]
    mean = table.mean(1)
    best = max(
        (round(mean[e] - mean[s], 9), -e, -s)
        for e in range(count)
        for s in range(count)
        if e != s and abs(e - s) <= gap
    )
    ed, es = -best[1], -best[2]
    return ed, es, float(max(0, np.mean((table[ed] - table[es]) / (table.max(0) - table.min(0)))))


@settings(max_examples=60)
@given(
    count=st.integers(2, 32), seed=st.integers(0, 2**32 - 1), fps=st.sampled_from([8.0, 17.0, 50.0])
)
def test_short_files_are_searched_whole(count: int, seed: int, fps: float) -> None:
    """Areas at random that depend on both ends: the result is that of a search of all pairs."""
    table = np.random.default_rng(seed).uniform(500, 1500, (count, count, 2))
    phases = estimate(lambda pairs: np.array([table[pair] for pair in pairs]), count, fps)
    ed, es, agreement = reference(
        lambda first, last: tuple(table[first, last]), count, max(1, round(0.06 * fps)), round(fps)
    )
    assert (phases.ed, phases.es) == (ed, es)
    assert phases.agreement == pytest.approx(agreement)


def test_at_most_one_second_apart() -> None:
    """The largest and the smallest area lie in different beats; a pair of one beat is chosen."""
    areas = beating(175, 43.0) + 40 * np.cos(np.pi * np.arange(175) / 175)
    phases = estimate(network(areas, areas), 175, 50)
    assert int(areas.argmin()) - int(areas.argmax()) > 50
    assert abs(phases.ed - phases.es) <= 50
    assert areas[phases.ed] - areas[phases.es] > 590


@pytest.mark.parametrize("count", [30, 175, 2000])
def test_one_phase_is_given(count: int) -> None:
    """The other is the best within a second of it, also far into a long file."""
    areas = beating(count, 41.0, phase=6)
    at = count - 9
    near = np.arange(max(0, at - 50), count)
    diastole, systole = (
        estimate(network(areas, areas), count, 50, es=at),
        estimate(network(areas, areas), count, 50, ed=at),
    )
    assert (diastole.es, diastole.estimated) == (at, ("ED",)) and (
        systole.ed,
        systole.estimated,
    ) == (at, ("ES",))
    assert areas[diastole.ed] == pytest.approx(areas[near[near != at]].max(), abs=2)
    assert areas[systole.es] == pytest.approx(areas[near[near != at]].min(), abs=2)
    assert diastole.agreement > 0.97 < systole.agreement


def test_agreement_falls_when_the_readings_point_elsewhere() -> None:
    """The last frame is measured later and later in the beat, at last at the opposite frames."""
    agreements = [
        estimate(network(beating(30, 30), beating(30, 30, late)), 30, 30).agreement
        for late in (0, 3, 7, 11)
    ]
    assert agreements == sorted(agreements, reverse=True)
    assert agreements[0] == pytest.approx(1) and agreements[-1] < 0.5


def test_the_same_again() -> None:
    areas = np.random.default_rng(0).uniform(900, 1100, 120)
    assert estimate(network(areas, areas), 120, 50) == estimate(network(areas, areas), 120, 50)


def test_what_cannot_be_estimated() -> None:
    areas = beating(30, 30)
    with pytest.raises(EchoLMError, match="holds 1 frame"):
        estimate(network(areas, areas), 1, 50)
    with pytest.raises(EchoLMError, match=r"no frame 30; it holds 30 frames \(0 to 29\)"):
        estimate(network(areas, areas), 30, 50, es=30)
    for flat in (
        np.full(30, 900.0),
        np.zeros(30),
        900 + 1e-5 * np.random.default_rng(0).uniform(size=30),
    ):
        with pytest.raises(EchoLMError, match="do not depend on the frames.*type --ed and --es"):
            estimate(network(flat, flat), 30, 50)
