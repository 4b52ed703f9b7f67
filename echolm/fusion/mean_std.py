"""Mean and standard deviation over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.encoders import Encoder
from echolm.fusion import FUSIONS, Fusion

if TYPE_CHECKING:
    from torch import nn

SMALLEST = 1e-12
"""Added to a variance, so that the gradient of its root is finite where nothing changes."""


@FUSIONS.register
class MeanStd(Fusion):
    """``Features.frames``, its mean over time beside its standard deviation over time.

    The mean alone says nothing of what moves.
    """

    needs = ("frames",)

    name: Literal["mean-std"] = "mean-std"

    def width(self, encoder: Encoder) -> int:
        """Return twice the width of a frame's vector."""
        return 2 * (encoder.token_width or encoder.width)

    def build(self, encoder: Encoder) -> nn.Module:
        """Build Features -> B x 2D: means, then deviations."""
        import torch
        from torch import nn

        class MeanAndDeviation(nn.Module):
            def forward(self, features):  # type: ignore[no-untyped-def]
                variance, mean = torch.var_mean(features.frames, dim=1, correction=0)
                return torch.cat([mean, (variance + SMALLEST).sqrt()], dim=1)

        return MeanAndDeviation()
