"""Frames from the whole of a video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from echolm.clips import CLIPS, Clip
from echolm.clips.spread import spread

PARTS = ("ed-to-es-", "first-")
"""How the names of clip rules begin whose stores hold a part of a video."""


@CLIPS.register
class Uniform(Clip):
    """Frames evenly over those that the store holds, the first and the last among them.

    Where an item has fewer, each is repeated, as evenly as the clip allows.
    """

    name: Literal["uniform"] = "uniform"

    def why_unsuitable(self, rule: str, count: int) -> str:
        """Say that a store by ``rule`` holds a part of each video, or return ''."""
        if rule.startswith(PARTS):
            return f"it was prepared by clip rule {rule}, which takes a part of a video"
        return ""

    def choose(
        self,
        held: np.ndarray,
        values: Mapping[str, Any],
        count: int,
        key: int | None,
        window: int | None,
    ) -> np.ndarray:
        """Return ``count`` of the frames ``held``, from the first to the last."""
        return held[spread(len(held), count)]
