"""Which frames make a clip, and which frames a clip store holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from echolm.errors import EchoLMError
from echolm.registry import suggest


def ed_to_es(ed: int, es: int, frames: int) -> np.ndarray:
    """Original frame numbers (``frames``,) uniformly from ED to ES: ``ed + trunc(i * (es - ed) / (frames - 1))``.

    The first is ``ed`` and the last ``es``, exactly. Numbers descend when ES comes before ED and repeat when the gap
    is shorter than the clip (NLDL 2026 §3.1: ED is the first frame, ES the last). One frame: ED alone.
    """
    if frames < 1:
        raise EchoLMError(f"a clip of {frames} frames; valid: 1 or more")
    if frames == 1:
        return np.array([ed], np.int64)
    steps = np.arange(frames, dtype=np.int64) * abs(es - ed) // (frames - 1)
    return ed + (steps if es >= ed else -steps)


CLIP_RULES: dict[str, Callable[[int, int, int], np.ndarray]] = {
    "ed-to-es-16": lambda ed, es, count: np.unique(ed_to_es(ed, es, 16)),
    "all": lambda ed, es, count: np.arange(count, dtype=np.int64),
}
"""Clip rule -> the frames a store holds of an item (ED frame, ES frame, number of frames of the video), ascending.

``ed-to-es-16``: those of the 16-frame landmark clip (NLDL 2026 §3.1). ``all``: the whole video.
"""


def stored_frames(rule: str, ed: int, es: int, count: int) -> np.ndarray:
    """Original frame numbers, ascending and unique, that a store of clip rule ``rule`` holds of one item."""
    return CLIP_RULES[check_rule(rule)](ed, es, count)


def check_rule(rule: str) -> str:
    """``rule`` itself, or an error that lists the valid clip rules."""
    if rule not in CLIP_RULES:
        raise EchoLMError(f"unknown clip rule {rule!r}; {suggest(rule, CLIP_RULES)}")
    return rule
