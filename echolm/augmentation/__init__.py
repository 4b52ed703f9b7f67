"""Augmentation: training clips and their points, drawn per sample from a key, applied to a batch on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.registry import Component, Registry

if TYPE_CHECKING:
    from torch import Tensor


class Augmentation(Component):
    """A recipe.

    Geometry convention: the integer coordinate (x, y) is the centre of a pixel; resizing W -> W' maps x to
    (x + 0.5) * W' / W - 0.5. One channel throughout; padding is black, before the encoder's normalisation.
    """

    def draw(self, keys: np.ndarray) -> dict[str, np.ndarray]:
        """The parameters of each sample, from its key (uint64, B): name -> array with B rows.

        A row depends on its key alone. For inspection and for ``apply``.
        """
        return {}

    def apply(
        self, clips: Tensor, points: Tensor, size: int, parameters: dict[str, np.ndarray] | None
    ) -> tuple[Tensor, Tensor]:
        """Resize and, with ``parameters``, augment.

        clips: B x T x H x W uint8. points: B x N x 2 float (x, y) in pixels of H x W. Returns B x T x size x size
        float32 in 0-255 and B x N x 2 points in pixels of size x size. ``parameters`` None: resize alone (evaluation).
        """
        raise TypeError(f"augmentation {self.name} does not implement apply")

    def describe(self, key: int) -> dict[str, Any]:
        """The parameters of one key as plain values."""
        return {name: row[0].tolist() for name, row in self.draw(np.array([key], np.uint64)).items()}


AUGMENTATIONS: Registry[Augmentation] = Registry(
    "augmentation", ["echolm.augmentation.none", "echolm.augmentation.bhoodoo2026"]
)
