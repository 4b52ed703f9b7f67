"""The graph convolution head of EchoGraphs (MICCAI 2022) as its authors released it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.heads import HEADS, GraphHead

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class GCNFullyConnected(GraphHead):
    """As ``gcn``, but the order of a node's neighbours is the released one.

    That is the node itself, all other nodes of its phase by ascending index, and the same index in
    the other phase.
    """

    name: Literal["gcn-fullyconnected"] = "gcn-fullyconnected"
    mapping: Literal["frame-major", "released"] = "frame-major"
    """What the outputs of node n are.

    ``frame-major``: (x, y) of point n mod points in phase n div points, as the graph's edges mean
    it. ``released``: the authors' code reads its nodes x 2 outputs as (point, axis, phase) in
    memory order. With two phases, node n is then axis n mod 2 of point n div 2, and its two
    channels are the phases. Temporal edges then join points half a contour apart. Of the released
    code, only this defect is optional. The spatial order above is always that of the release.
    """

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs, which is (phases, points, 2).

        Coordinates are in [0, 1] by training alone.
        """
        from echolm.heads.decoder import GraphDecoder
        from echolm.heads.spiral import ascending_indices, spiral

        phases, points = self.contours(outputs)
        convolution = spiral(ascending_indices(phases, points))
        return GraphDecoder(width, phases, points, self.channels, convolution, self.mapping)
