"""Mirrored frames, as Echo-Vision-FM trains with (Zhang et al., Nat Commun 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from echolm.augmentation import AUGMENTATIONS, Augmentation
from echolm.randomness import generators

if TYPE_CHECKING:
    from torch import Tensor

Chance = Annotated[float, Field(ge=0, le=1)]


@AUGMENTATIONS.register
class Flips(Augmentation):
    """Mirror all frames of a clip left to right, and top to bottom, each with its own chance.

    The text says random flips with a probability of 0.5, and the released code flips both ways. A
    mirrored heart is on the wrong side of the body, so the default follows the paper, not anatomy.
    Points follow. Contours keep the order of their points.
    """

    name: Literal["flips"] = "flips"
    horizontal: Chance = 0.5
    """Chance that left and right change places."""
    vertical: Chance = 0.5
    """Chance that top and bottom change places."""

    def draw(self, keys: np.ndarray) -> dict[str, np.ndarray]:
        """Draw which samples are mirrored (see ``Augmentation.draw``)."""
        uniform = np.array([generator.random(2) for generator in generators(keys)]).reshape(-1, 2)
        return {
            "horizontal": uniform[:, 0] < self.horizontal,
            "vertical": uniform[:, 1] < self.vertical,
        }

    def apply(
        self, clips: Tensor, points: Tensor, size: int, parameters: dict[str, np.ndarray] | None
    ) -> tuple[Tensor, Tensor]:
        """Resize, then mirror: no pixel of a resized frame is sampled twice."""
        import torch

        from echolm.augmentation import affine

        clips, points = affine.resize(clips, points, size)
        if parameters is None:
            return clips, points
        for name, coordinate, dimension in (("horizontal", 0, -1), ("vertical", 1, -2)):
            rows = torch.from_numpy(np.flatnonzero(parameters[name])).to(clips.device)
            if not len(rows):
                continue
            clips[rows] = clips[rows].flip(dimension)
            points[rows, :, coordinate] = size - 1 - points[rows, :, coordinate]
        return clips, points
