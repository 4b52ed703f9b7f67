"""The frames from end-diastole to end-systole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from echolm.clips import CLIPS, Clip
from echolm.clips.spread import spread
from echolm.stores.sampling import ed_to_es


@CLIPS.register
class EdToEs(Clip):
    """Frames evenly from ED (first) to ES (last), repeated where the gap is shorter than the clip.

    It is the clip of NLDL 2026 §3.1. An item needs the numbers of both frames.
    """

    name: Literal["ed-to-es"] = "ed-to-es"
    needs: ClassVar[tuple[str, ...]] = ("ed", "es")
    rule: ClassVar[str] = "ed-to-es-16"

    def why_unsuitable(self, rule: str, count: int) -> str:
        """Say that a store by ``rule`` does not hold the frames from ED to ES, or return ''."""
        if rule in ("all", "ed-to-es-16"):
            return ""
        return f"it was prepared by clip rule {rule}"

    def choose(
        self,
        held: np.ndarray,
        values: Mapping[str, Any],
        count: int,
        key: int | None,
        window: int | None,
    ) -> np.ndarray:
        """Return ``count`` frames from ED to ES.

        Where the store lacks one of them, they are spread over those that it holds.
        """
        ed, es = int(values["ed"]), int(values["es"])
        wanted = ed_to_es(ed, es, count)
        if np.isin(wanted, held).all() or not np.isin([ed, es], held).all():
            return wanted
        between = held[(held >= min(ed, es)) & (held <= max(ed, es))]
        if es < ed:
            between = between[::-1]
        return between[spread(len(between), count)]


DEFAULT_CLIP = EdToEs()
"""The clip of runs that name none."""
