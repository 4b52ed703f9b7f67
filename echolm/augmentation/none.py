"""No augmentation: frames are resized to what the encoder reads, and points with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.augmentation import AUGMENTATIONS, Augmentation

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@AUGMENTATIONS.register
class NoAugmentation(Augmentation):
    """Resize only, in training as in evaluation.

    These are the rows without augmentation of NLDL 2026, tables 2-4.
    """

    name: Literal["none"] = "none"

    def apply(
        self, clips: Tensor, points: Tensor, size: int, parameters: dict[str, np.ndarray] | None
    ) -> tuple[Tensor, Tensor]:
        """Resize by ``affine.resize``, whatever the parameters."""
        from echolm.augmentation import affine

        return affine.resize(clips, points, size)
