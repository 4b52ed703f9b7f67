"""Graph convolutions of Kipf and Welling (2017), torch-geometric's ``GCNConv``, over contours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.heads import HEADS, GraphHead

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class GCNConv(GraphHead):
    """Graph convolutions on the graph of NLDL 2026 §3.1.

    It has edges between adjacent points of a contour, which is closed, and between the same point
    in neighbouring phases. Neighbours have no order, unlike in ``gcn``.
    """

    imports = ("torch_geometric",)
    name: Literal["gcnconv"] = "gcnconv"

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs, which is (phases, points, 2).

        Coordinates are in [0, 1] by training alone.
        """
        from echolm.heads.decoder import GraphDecoder
        from echolm.heads.geometric import contour_edges, gcn_layer

        phases, points = self.contours(outputs)
        convolution = gcn_layer(contour_edges(phases, points), phases * points)
        return GraphDecoder(width, phases, points, self.channels, convolution)
