"""The graph convolution head (NLDL 2026 §3.1, after EchoGraphs, MICCAI 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.heads import HEADS, GraphHead

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class GCN(GraphHead):
    """Spiral convolutions over the contours: a node's neighbours are its whole contour, walked from the node on, and
    the same point in the other phase."""

    name: Literal["gcn"] = "gcn"

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """B x width -> B x phases x points x 2, coordinates in [0, 1] by training alone. ``outputs`` has that shape."""
        from echolm.heads.decoder import GraphDecoder
        from echolm.heads.spiral import spiral, spiral_indices

        phases, points = self.contours(outputs)
        return GraphDecoder(width, phases, points, self.channels, spiral(spiral_indices(phases, points)))
