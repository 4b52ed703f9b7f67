"""Which frames of a clip are ED and ES, by what a landmark network predicts: an estimate, where nobody has said it.

The rule. A landmark network sees a clip from frame ``e`` to frame ``s`` and draws the ventricle at both ends. Candidate
pairs are all (e, s), in either order in time, of frames on an even grid that lie within ``reach`` of each other. A
frame's area as ED is the mean over its partners s of the area drawn at e; as ES likewise. Of the pairs, the one with the
largest difference of these means is kept: the largest predicted ED area and the smallest predicted ES area within one
heart beat. Its two frames are then moved, one after the other, to the best frames between the grid's.

The agreement is the correlation over grid frames of the two areas, as ED and as ES: two answers about the same frames. A
network that follows the beat agrees with itself; one that draws a mean contour does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError

RULE = "largest and smallest predicted area over candidate pairs"
REACH_S = 0.7
"""Seconds between ED and ES, at most (a slow heart's systole or diastole)."""
REACH_FRAMES = 35
"""The same in frames, where a file does not say its rate (EchoNet-Dynamic: 50 a second)."""
PASSES = 240
"""Forward passes of the search on the grid, at most."""
DOUBTFUL = 0.5
"""An agreement below this is told as doubtful."""

Pair = tuple[int, int]
Areas = Callable[[Sequence[Pair]], np.ndarray]


@dataclass(frozen=True)
class Phases:
    """Estimated ED and ES (0-based frames), the agreement (-1 to 1, NaN where it is not defined), forward passes spent."""

    ed: int
    es: int
    agreement: float
    passes: int


def candidate_pairs(count: int, reach: int, passes: int = PASSES) -> tuple[int, list[Pair]]:
    """The finest grid step, and its pairs, for which there are at most ``passes`` pairs."""
    for step in range(1, count):
        grid = range(0, count, step)
        pairs = [(e, s) for e in grid for s in grid if 0 < abs(e - s) <= max(reach, step)]
        if len(pairs) <= passes:
            return step, pairs
    return max(1, count - 1), [(0, count - 1), (count - 1, 0)]


def find_phases(areas: Areas, count: int, fps: float | None, passes: int = PASSES, ed: int | None = None, es: int | None = None) -> Phases:
    """Search ED and ES among ``count`` frames; ``ed`` or ``es`` may be given, then the other is searched.

    ``areas(pairs)``: N x 2, the area drawn at the first and at the last frame of each pair's clip. EchoLMError: one frame.
    """
    if count < 2:
        raise EchoLMError(f"{count} frame; a search for ED and ES needs at least 2")
    reach = max(1, round(REACH_S * fps) if fps else REACH_FRAMES)
    step, pairs = candidate_pairs(count, reach, passes)
    if ed is not None or es is not None:
        step, pairs = 1, _around(count, reach, ed, es)
    found = np.asarray(areas(pairs))
    as_ed, as_es = _means(pairs, found[:, 0], 0), _means(pairs, found[:, 1], 1)
    best = max(pairs, key=lambda pair: (as_ed[pair[0]] - as_es[pair[1]], -pair[0], -pair[1]))
    spent = len(pairs)
    for end in (0, 1) if step > 1 else ():
        near = _between(best, end, step, count)
        moved = np.asarray(areas(near))[:, end]
        best = near[int(moved.argmax() if end == 0 else moved.argmin())]
        spent += len(near)
    return Phases(*best, _agreement(as_ed, as_es), spent)


def _around(count: int, reach: int, ed: int | None, es: int | None) -> list[Pair]:
    """The pairs with one given frame."""
    given = ed if ed is not None else es
    assert given is not None
    if given >= count:
        raise EchoLMError(f"frame {given} is asked for, and there are {count}: 0 to {count - 1}")
    others = [other for other in range(count) if 0 < abs(other - given) <= reach]
    return [(given, other) if ed is not None else (other, given) for other in others]


def _between(best: Pair, end: int, step: int, count: int) -> list[Pair]:
    """The best pair with one end moved by less than a step, the end as it is first."""
    moved = [best[end] + by for by in sorted(range(1 - step, step), key=abs)]
    pairs = [(frame, best[1]) if end == 0 else (best[0], frame) for frame in moved if 0 <= frame < count]
    return [pair for pair in pairs if pair[0] != pair[1]]


def _means(pairs: Sequence[Pair], areas: np.ndarray, end: int) -> dict[int, float]:
    frames = np.array([pair[end] for pair in pairs])
    return {int(frame): float(areas[frames == frame].mean()) for frame in np.unique(frames)}


def _agreement(as_ed: dict[int, float], as_es: dict[int, float]) -> float:
    frames = sorted(set(as_ed) & set(as_es))
    both = np.array([[as_ed[frame], as_es[frame]] for frame in frames])
    if len(frames) < 3 or not both.std(0).all():
        return float("nan")
    return float(np.corrcoef(both.T)[0, 1])
