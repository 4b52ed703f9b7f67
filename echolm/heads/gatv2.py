"""Graph attention of Brody et al. (2022), torch-geometric's ``GATv2Conv``, over the contours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from echolm.heads import HEADS, GraphHead

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class GATv2(GraphHead):
    """Graph attention on the graph of ``gcnconv``. Attention weights are not dropped."""

    imports = ("torch_geometric",)
    name: Literal["gatv2"] = "gatv2"
    attention_heads: Annotated[int, Field(ge=1)] = 4
    """Each gives a layer's full width, and they are averaged."""

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs, which is (phases, points, 2).

        Coordinates are in [0, 1] by training alone.
        """
        from echolm.heads.decoder import GraphDecoder
        from echolm.heads.geometric import attention_layer, contour_edges

        phases, points = self.contours(outputs)
        edges = contour_edges(phases, points)
        convolution = attention_layer(edges, phases * points, self.attention_heads)
        return GraphDecoder(width, phases, points, self.channels, convolution)
