"""Clips: which frames of an item a run sees. One file a component.

A clip rule (``echolm.stores.sampling``) chose the frames that a store holds. A run's clip chooses
from these: as many as its encoder reads, by their original numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from echolm.registry import Component, Registry

if TYPE_CHECKING:
    import numpy as np


class Clip(Component):
    """How the frames of a sample are chosen."""

    needs: ClassVar[tuple[str, ...]] = ()
    """The values of an item that it reads. Items without them are left out."""
    draws: ClassVar[bool] = False
    """Whether it draws from its key, so that frames differ between the epochs of training."""
    rule: ClassVar[str] = "all"
    """A clip rule whose stores suit it. Errors say to prepare by it."""

    def passes(self) -> int:
        """Return how many clips of a sample are seen in the final evaluation.

        The outputs of these passes are averaged by sample.
        """
        return 1

    def why_unsuitable(self, rule: str, count: int) -> str:
        """Say why a store lacks the frames that are chosen, or return ''.

        Args:
            rule: the clip rule by which the store was prepared.
            count: frames of a clip.
        """
        return ""

    def choose(
        self,
        held: np.ndarray,
        values: Mapping[str, Any],
        count: int,
        key: int | None,
        window: int | None,
    ) -> np.ndarray:
        """Return the original numbers of the clip's frames (count,), in the order of the clip.

        Args:
            held: original numbers of the frames that the store holds, ascending, at least one.
            values: the item's values. All that the clip ``needs`` are there.
            count: frames of the clip.
            key: 64 bits to draw from in training. None: evaluation, which draws nothing.
            window: which of the ``passes`` of the final evaluation it is, from 0. None: there is
                one pass.
        """
        raise TypeError(f"clip {self.name} does not implement choose")


CLIPS: Registry[Clip] = Registry(
    "clip", ["echolm.clips.ed_to_es", "echolm.clips.uniform", "echolm.clips.window"]
)
