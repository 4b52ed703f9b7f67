"""The graph convolution head (NLDL 2026 §3.1, after EchoGraphs, MICCAI 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.heads import HEADS, GraphHead

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class GCN(GraphHead):
    """Spiral convolutions over the contours.

    A node's neighbours are its whole contour, walked from the node on, and the same point in the
    other phase.
    """

    name: Literal["gcn"] = "gcn"

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs, which is (phases, points, 2).

        Coordinates are in [0, 1] by training alone.
        """
        from echolm.heads.decoder import GraphDecoder
        from echolm.heads.spiral import spiral, spiral_indices

        phases, points = self.contours(outputs)
        convolution = spiral(spiral_indices(phases, points))
        return GraphDecoder(width, phases, points, self.channels, convolution)
