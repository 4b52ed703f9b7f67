"""Augmentation of training clips and their points.

It is drawn per sample from a key, and applied to a batch on its device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.registry import Component, Registry

if TYPE_CHECKING:
    from torch import Tensor


class Augmentation(Component):
    """A recipe.

    Geometry convention: the integer coordinate (x, y) is the centre of a pixel. Resizing W -> W'
    maps x to (x + 0.5) * W' / W - 0.5. There is one channel throughout. Padding is black, before
    the encoder's normalisation.
    """

    def draw(self, keys: np.ndarray) -> dict[str, np.ndarray]:
        """Draw the parameters of each sample, for ``apply`` and for inspection.

        Args:
            keys: uint64, B.

        Returns:
            Name -> array with B rows. A row depends on its key alone.
        """
        return {}

    def apply(
        self, clips: Tensor, points: Tensor, size: int, parameters: dict[str, np.ndarray] | None
    ) -> tuple[Tensor, Tensor]:
        """Resize and, with ``parameters``, augment.

        Args:
            clips: B x T x H x W uint8.
            points: B x N x 2 float (x, y) in pixels of H x W.
            size: of the frames that are returned.
            parameters: what ``draw`` gave. None: resize alone (evaluation).

        Returns:
            B x T x size x size float32 in 0-255, and B x N x 2 points in pixels of size x size.
        """
        raise TypeError(f"augmentation {self.name} does not implement apply")

    def describe(self, key: int) -> dict[str, Any]:
        """Draw the parameters of one key, as plain values."""
        parameters = self.draw(np.array([key], np.uint64))
        return {name: rows[0].tolist() for name, rows in parameters.items()}


AUGMENTATIONS: Registry[Augmentation] = Registry(
    "augmentation",
    ["echolm.augmentation.none", "echolm.augmentation.bhoodoo2026", "echolm.augmentation.flips"],
)
