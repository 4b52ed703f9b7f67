"""Estimating ED and ES: the frames of largest and smallest predicted area.

A landmark network contours only the two ends of a clip, and was trained on clips whose ends are ED
and ES. It follows each end's own frame, but the areas of both ends move together with the whole
clip. So the pair with the largest difference of its two areas is a poor choice
(``python -m tests.benchmarks.phases`` prints how poor). Instead every frame t is read as an end of
three short clips, d frames (60 ms) long, whose other end is hardly another picture:

    (t, t)       the still frame: its ED contour and its ES contour
    (t, t + d)   its ED contour
    (t - d, t)   its ES contour

The mean of these four areas, the *readings*, is the frame's predicted area. ED and ES are the
candidate pair, at most one second apart and in either order, of largest area at ED minus area at
ES. Candidates are first at most 32 frames spread over the file (of a longer one, over its first
five seconds), then the frames around the best pair, in steps a quarter as long each time. Where one
phase is given, the other is searched within one second of it.

The agreement says how far the readings point to the same frames: of the range of areas that a
reading meets, the share that lies between the chosen frames, mean over the readings. 100 %: each
has its largest area at ED and its smallest at ES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from echolm.errors import EchoLMError

RULE = "largest and smallest predicted area"
SPREAD = 32
"""Candidates of the first round."""
NEAR_S = 0.06
"""Seconds from end to end of a reading's clip."""
GAP_S = 1.0
"""Most seconds from ED to ES."""
SEARCHED_S = 5.0
"""Seconds of a file that are searched."""
FPS = 50.0
"""Assumed where a file does not tell its frame rate (that of most EchoNet-Dynamic videos)."""
FLAT = 1e-6
"""A range of areas below this share of the area is rounding."""

Pair = tuple[int, int]
Areas = Callable[[Sequence[Pair]], np.ndarray]
"""Numbers of the first and last frame of N clips -> N x 2 areas there, in pixels squared."""


@dataclass(frozen=True)
class PhaseEstimate:
    """ED and ES of a file, and how they were found."""

    ed: int
    """Number of the frame, from 0."""
    es: int
    estimated: tuple[str, ...]
    """The phases that were searched."""
    agreement: float
    """In 0-1."""
    passes: int
    """Clips that the network was run on."""


def estimate(
    areas: Areas, count: int, fps: float | None, ed: int | None = None, es: int | None = None
) -> PhaseEstimate:
    """Search ED and ES in a file, or one of them where the other is given.

    There are at most 200 passes at up to 100 frames per second.

    Args:
        areas: what the network measures.
        count: frames of the file.
        fps: frames a second. None: not known.
        ed: number of the frame. None: it is searched.
        es: likewise.

    Raises:
        EchoLMError: one frame, a given frame that is not there, or areas that do not depend on the
            frame.
    """
    _check(count, ed, es)
    rate = fps or FPS
    readings = _Readings(areas, count, max(1, round(NEAR_S * rate)))
    gap = max(1, round(GAP_S * rate))
    known = ed if es is None else es
    if known is None:
        searched = range(min(count, max(SPREAD, round(SEARCHED_S * rate))))
    else:
        searched = range(max(0, known - gap), min(count, known + gap + 1))
    pair = _search(readings, searched, ed, es, gap)

    estimated = []
    if ed is None:
        estimated.append("ED")
    if es is None:
        estimated.append("ES")
    return PhaseEstimate(
        ed=pair[0],
        es=pair[1],
        estimated=tuple(estimated),
        agreement=_agreement(readings, pair, estimated),
        passes=len(readings.of_clip),
    )


def _check(count: int, ed: int | None, es: int | None) -> None:
    if count < 2:
        raise EchoLMError(
            "holds 1 frame; ED and ES cannot be told apart in it; "
            "valid: 2 or more frames, or --ed 0 --es 0"
        )
    for frame in (ed, es):
        if frame is not None and not 0 <= frame < count:
            raise EchoLMError(f"has no frame {frame}; it holds {count} frames (0 to {count - 1})")


@dataclass
class _Readings:
    """The four readings of frames. Each clip is passed once."""

    areas: Areas
    count: int
    """Frames of the file."""
    near: int
    """Frames from end to end of a reading's clip."""
    of_clip: dict[Pair, np.ndarray] = field(default_factory=dict)
    """Areas (2,) at the ends of the clips passed so far."""
    of_frame: dict[int, np.ndarray] = field(default_factory=dict)
    """Readings (4,) of the frames read so far."""

    def read(self, frames: Iterable[int]) -> None:
        """Read the frames that have not been read."""
        clips_of = {}
        new: dict[Pair, None] = {}  # in order, each once
        for frame in frames:
            if frame in self.of_frame:
                continue
            clips_of[frame] = self._clips(frame)
            for clip in clips_of[frame]:
                if clip not in self.of_clip:
                    new[clip] = None
        if new:
            areas = np.asarray(self.areas(list(new)), np.float64)
            self.of_clip.update(zip(new, areas, strict=True))
        for frame, (still, forth, back) in clips_of.items():
            at_first = self.of_clip[forth][0]
            at_last = self.of_clip[back][1]
            self.of_frame[frame] = np.array([*self.of_clip[still], at_first, at_last])

    def _clips(self, frame: int) -> tuple[Pair, Pair, Pair]:
        """Return the still frame, the clip that begins with it, and the one that ends with it."""
        after = self._beside(frame, self.near)
        before = self._beside(frame, -self.near)
        return (frame, frame), (frame, after), (before, frame)

    def _beside(self, frame: int, distance: int) -> int:
        """Return the frame at this distance, on the other side where the file ends, else itself."""
        for other in (frame + distance, frame - distance):
            if 0 <= other < self.count:
                return other
        return frame


def _search(readings: _Readings, searched: range, ed: int | None, es: int | None, gap: int) -> Pair:
    """Search the best pair, coarse to fine, among the frames ``searched``."""
    step = -(-len(searched) // SPREAD)
    candidates = searched[::step]
    pair = _best(readings, _or_given(candidates, ed), _or_given(candidates, es), gap)
    while step > 1:
        finer = max(1, step // 4)
        near_ed, near_es = (_around(frame, finer, step, searched) for frame in pair)
        pair = _best(readings, _or_given(near_ed, ed), _or_given(near_es, es), gap)
        step = finer
    return pair


def _or_given(frames: Sequence[int], frame: int | None) -> Sequence[int]:
    return frames if frame is None else [frame]


def _around(frame: int, finer: int, step: int, searched: range) -> list[int]:
    """Return the frame, and those nearer than ``step``, ``finer`` apart."""
    reach = (step - 1) // finer * finer
    return [near for near in range(frame - reach, frame + step, finer) if near in searched]


def _best(
    readings: _Readings, ed_frames: Sequence[int], es_frames: Sequence[int], gap: int
) -> Pair:
    """Return the pair of largest difference, at most ``gap`` apart, the first of equal ones."""
    readings.read([*ed_frames, *es_frames])
    area = {}
    for frame in [*ed_frames, *es_frames]:
        area[frame] = float(readings.of_frame[frame].mean())

    pairs = []
    for ed in ed_frames:
        for es in es_frames:
            if ed != es and abs(ed - es) <= gap:
                pairs.append((ed, es))
    return max(pairs, key=lambda pair: area[pair[0]] - area[pair[1]])


def _agreement(readings: _Readings, pair: Pair, estimated: Sequence[str]) -> float:
    """Compute the agreement (see above). A phase that was given misses nothing."""
    table = np.stack(list(readings.of_frame.values()))
    largest, smallest = table.max(0), table.min(0)
    extent = largest - smallest
    if not extent.mean() > FLAT * np.abs(table).mean():
        raise EchoLMError(
            "the contours of this run do not depend on the frames, "
            "so ED and ES cannot be estimated; type --ed and --es"
        )
    missed = np.zeros(len(extent))
    if "ED" in estimated:
        missed += largest - readings.of_frame[pair[0]]
    if "ES" in estimated:
        missed += readings.of_frame[pair[1]] - smallest
    moves = extent > 0
    return float(max(0.0, 1 - (missed[moves] / extent[moves]).mean()))
