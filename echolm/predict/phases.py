"""Estimating ED and ES: the frames of largest and smallest predicted area.

A landmark network contours only the two ends of a clip, and was trained on clips whose ends are ED and ES. It follows
each end's own frame, but the areas of both ends move together with the whole clip: the pair with the largest difference
of its two areas is a poor choice (``python -m tests.benchmarks.phases`` prints how poor). So every frame t is read as
an end of three short clips, d frames (60 ms) long, whose other end is hardly another picture:

    (t, t)       the still frame: its ED contour and its ES contour
    (t, t + d)   its ED contour
    (t - d, t)   its ES contour

The mean of these four areas, the *readings*, is the frame's predicted area. ED and ES are the candidate pair, at most
one second apart and in either order, of largest area at ED minus area at ES. Candidates are first at most 32 frames
spread over the file (of a longer one, over its first five seconds), then the frames around the best pair, in steps a
quarter as long each time. Where one phase is given, the other is searched within one second of it.

The agreement says how far the readings point to the same frames: of the range of areas that a reading meets, the
share that lies between the chosen frames, mean over the readings. 100 %: each has its largest area at ED and its
smallest at ES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from echolm.errors import EchoLMError

RULE = "largest and smallest predicted area"
SPREAD = 32
"""Candidates of the first round."""
NEAR_S, GAP_S, SEARCHED_S = 0.06, 1.0, 5.0
"""Seconds from end to end of a reading's clip; most seconds from ED to ES; seconds of a file that are searched."""
FPS = 50.0
"""Assumed where a file does not tell its frame rate (that of most EchoNet-Dynamic videos)."""
FLAT = 1e-6
"""A range of areas below this share of the area is rounding."""

Pair = tuple[int, int]
Areas = Callable[[Sequence[Pair]], np.ndarray]
"""Frame numbers of the first and last frame of N clips -> predicted areas N x 2 at these ends, in pixels squared."""


@dataclass(frozen=True)
class Estimate:
    """Frames from 0. ``estimated``: the phases that were searched; ``agreement`` in 0-1; ``passes``: clips that the
    network was run on."""

    ed: int
    es: int
    estimated: tuple[str, ...]
    agreement: float
    passes: int


def estimate(areas: Areas, count: int, fps: float | None, ed: int | None = None, es: int | None = None) -> Estimate:
    """Search ED and ES in a file of ``count`` frames, or one of them where the other is given.

    At most 200 passes at up to 100 frames per second. EchoLMError: one frame, a given frame that is not there, or areas
    that do not depend on the frame.
    """
    _check(count, ed, es)
    rate = fps or FPS
    readings = _Readings(areas, count, max(1, round(NEAR_S * rate)))
    gap = max(1, round(GAP_S * rate))
    given = ed if es is None else es
    searched = range(min(count, max(SPREAD, round(SEARCHED_S * rate))))
    if given is not None:
        searched = range(max(0, given - gap), min(count, given + gap + 1))
    pair = _search(readings, searched, ed, es, gap)
    missing = tuple(phase for phase, frame in (("ED", ed), ("ES", es)) if frame is None)
    return Estimate(*pair, missing, _agreement(readings, pair, missing), len(readings.known))


def _check(count: int, ed: int | None, es: int | None) -> None:
    if count < 2:
        raise EchoLMError("holds 1 frame; ED and ES cannot be told apart in it; valid: 2 or more frames, or --ed 0 --es 0")
    for given in (ed, es):
        if given is not None and not 0 <= given < count:
            raise EchoLMError(f"has no frame {given}; it holds {count} frames (0 to {count - 1})")


@dataclass
class _Readings:
    """The four readings of frames, each clip passed once. ``frames``: those read so far, with their readings (4,)."""

    areas: Areas
    count: int
    near: int
    known: dict[Pair, np.ndarray] = field(default_factory=dict)
    frames: dict[int, np.ndarray] = field(default_factory=dict)

    def read(self, frames: Iterable[int]) -> None:
        """Read the frames that have not been read."""
        clips = {t: ((t, t), (t, self._beside(t, 1)), (self._beside(t, -1), t)) for t in frames if t not in self.frames}
        new = [pair for pair in dict.fromkeys(pair for three in clips.values() for pair in three) if pair not in self.known]
        if new:
            self.known.update(zip(new, np.asarray(self.areas(new), np.float64), strict=True))
        for t, (still, forth, back) in clips.items():
            self.frames[t] = np.array([*self.known[still], self.known[forth][0], self.known[back][1]])

    def _beside(self, t: int, side: int) -> int:
        """The frame ``near`` frames after or before t; on the other side where the file ends; else t itself."""
        return next((other for other in (t + side * self.near, t - side * self.near) if 0 <= other < self.count), t)


def _search(readings: _Readings, searched: range, ed: int | None, es: int | None, gap: int) -> Pair:
    """Coarse to fine among the frames ``searched``."""
    step = -(-len(searched) // SPREAD)
    pair = _best(readings, _or_given(searched[::step], ed), _or_given(searched[::step], es), gap)
    while step > 1:
        finer = max(1, step // 4)
        eds, ess = (_around(frame, finer, step, searched) for frame in pair)
        pair = _best(readings, _or_given(eds, ed), _or_given(ess, es), gap)
        step = finer
    return pair


def _or_given(frames: Sequence[int], given: int | None) -> Sequence[int]:
    return frames if given is None else [given]


def _around(frame: int, finer: int, step: int, searched: range) -> list[int]:
    """The frame, and those nearer than ``step``."""
    reach = (step - 1) // finer * finer
    return [t for t in range(frame - reach, frame + step, finer) if t in searched]


def _best(readings: _Readings, eds: Sequence[int], ess: Sequence[int], gap: int) -> Pair:
    """The pair of largest difference, at most ``gap`` apart; of equal ones the first."""
    readings.read([*eds, *ess])
    area = {t: float(readings.frames[t].mean()) for t in [*eds, *ess]}
    pairs = [(e, s) for e in eds for s in ess if e != s and abs(e - s) <= gap]
    return max(pairs, key=lambda pair: area[pair[0]] - area[pair[1]])


def _agreement(readings: _Readings, pair: Pair, missing: tuple[str, ...]) -> float:
    """See above; a phase that was given misses nothing."""
    table = np.stack(list(readings.frames.values()))
    largest, smallest = table.max(0), table.min(0)
    extent = largest - smallest
    if not extent.mean() > FLAT * np.abs(table).mean():
        raise EchoLMError("the contours of this run do not depend on the frames, so ED and ES cannot be estimated; type --ed and --es")
    missed = np.zeros(len(extent))
    if "ED" in missing:
        missed += largest - readings.frames[pair[0]]
    if "ES" in missing:
        missed += readings.frames[pair[1]] - smallest
    moves = extent > 0
    return float(max(0.0, 1 - (missed[moves] / extent[moves]).mean()))
