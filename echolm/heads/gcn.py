"""The graph convolution head (NLDL 2026 §3.1, after EchoGraphs, MICCAI 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from echolm.errors import EchoLMError
from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class GCN(Head):
    """Spiral convolutions over the contours, one node a point and phase.

    ``channels`` are read from the last to the first (EchoGraphs' configuration; NLDL 2026 gives no widths).
    """

    landmarks_only: ClassVar[bool] = True

    name: Literal["gcn"] = "gcn"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 32, 32, 48)

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """B x width -> B x phases x points x 2, coordinates in [0, 1] by training alone. ``outputs`` has that shape."""
        from echolm.heads.spiral import SpiralDecoder

        if len(outputs) != 3 or outputs[-1] != 2:
            raise EchoLMError(f"head gcn gives landmarks (phases, points, 2), not outputs of shape {outputs}")
        phases, points, _ = outputs
        return SpiralDecoder(width, phases, points, self.channels)
