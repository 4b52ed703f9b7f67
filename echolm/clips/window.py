"""A stretch of frames at equal distances."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from echolm.clips import CLIPS, Clip
from echolm.clips.spread import spread
from echolm.errors import EchoLMError
from echolm.identity import Neutral


@CLIPS.register
class Window(Clip):
    """Every ``period``-th frame from a start: drawn in training, fixed in evaluation.

    In training the start is drawn anew for each sample and view. In the validation of an epoch the
    window lies in the middle. The final evaluation sees ``windows`` of them, from the first that
    fits to the last, and averages a sample's outputs. One window lies in the middle there too.

    What is seen of a video that is too short, ``short`` says.
    """

    name: Literal["window"] = "window"
    period: int = Field(default=1, ge=1)
    """Frames from one frame of the clip to the next."""
    windows: int = Field(default=1, ge=1)
    """Windows of a sample in the final evaluation."""
    short: Annotated[Literal["repeat", "loop"], Neutral("repeat")] = "repeat"
    """What a video that is too short gives.

    ``repeat``: its every ``period``-th frame is repeated, as evenly as the clip allows. ``loop``:
    it begins again at its end, so that beats of the heart follow each other. It may then start
    anywhere in training, and starts at its first frame in evaluation.
    """

    draws: ClassVar[bool] = True

    def passes(self) -> int:
        """Return ``windows``."""
        return self.windows

    def why_unsuitable(self, rule: str, count: int) -> str:
        """Say that a store by ``rule`` has no such stretch of frames, or return ''."""
        by = f"it was prepared by clip rule {rule}"
        span = (count - 1) * self.period + 1
        if first := re.fullmatch(r"first-(\d+)", rule):
            if int(first[1]) < span:
                return f"{by}, and {count} frames of period {self.period} span {span}"
        if every := re.fullmatch(r"every-(\d+)", rule):
            if self.period % int(every[1]):
                return f"{by}, whose valid periods are multiples of {every[1]}, not {self.period}"
        if re.match("ed-to-es-|uniform-", rule):
            return f"{by}, whose frames do not follow each other"
        if rule == "image" and count > 1:
            return f"{by}, which takes one frame"
        return ""

    def choose(
        self,
        held: np.ndarray,
        values: Mapping[str, Any],
        count: int,
        key: int | None,
        window: int | None,
    ) -> np.ndarray:
        """Return ``count`` frames, each ``period`` after the one before."""
        step = self._step(held)
        if self.short == "loop" and len(held) < (count - 1) * step + 1:
            start = 0 if key is None else key * len(held) >> 64
            return held[(start + step * np.arange(count)) % len(held)]
        fitting = min(count, (len(held) - 1) // step + 1)
        slack = len(held) - 1 - (fitting - 1) * step
        start = self._start(slack, key, window)
        return held[start + step * spread(fitting, count)]

    def _step(self, held: np.ndarray) -> int:
        """Return how many positions of ``held`` lie ``period`` frames apart.

        Raises:
            EchoLMError: the frames are not at equal distances that divide the period.
        """
        if len(held) == 1:
            return 1
        distances = np.diff(held)
        distance = int(distances[0])
        if (distances != distance).any() or self.period % distance:
            raise EchoLMError(
                f"clip {self.name} takes every {self.period}. frame, and the store does not hold "
                "them; prepare a store of whole videos: --clips all"
            )
        return self.period // distance

    def _start(self, slack: int, key: int | None, window: int | None) -> int:
        """Return the position of the first frame, from 0 to ``slack``."""
        if key is not None:
            return key * (slack + 1) >> 64
        if window is None or self.windows == 1:
            return slack // 2
        return slack * window // (self.windows - 1)
