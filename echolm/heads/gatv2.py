"""Graph attention of Brody et al. (2022), torch-geometric's ``GATv2Conv``, over the contours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from echolm.heads import HEADS, GraphHead

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class GATv2(GraphHead):
    """The graph is that of ``gcnconv``. Each of the ``attention_heads`` gives a layer's full width, and they are
    averaged. Attention weights are not dropped."""

    name: Literal["gatv2"] = "gatv2"
    attention_heads: Annotated[int, Field(ge=1)] = 4

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """B x width -> B x phases x points x 2, coordinates in [0, 1] by training alone. ``outputs`` has that shape."""
        from echolm.heads.decoder import GraphDecoder
        from echolm.heads.geometric import attention_layer, contour_edges

        phases, points = self.contours(outputs)
        convolution = attention_layer(contour_edges(phases, points), phases * points, self.attention_heads)
        return GraphDecoder(width, phases, points, self.channels, convolution)
