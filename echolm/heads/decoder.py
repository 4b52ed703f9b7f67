"""Landmarks from a vector by graph convolutions, after EchoGraphs.

Nodes are frame-major: node ``phase * points + point``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

Convolution = Callable[[int, int], nn.Module]
"""(inputs, outputs) -> a module B x nodes x inputs -> B x nodes x outputs."""


class GraphDecoder(nn.Module):
    """One linear layer to node features, then graph convolutions with ELU between them.

    The last convolution gives two numbers a node and has no activation.

    Args:
        width: of the vector.
        phases: of the landmarks.
        points: of each phase.
        channels: widths of the convolutions, read from the last to the first.
        convolution: builds one of them.
        mapping: what the two numbers of a node are (see ``echolm.heads.gcn_fullyconnected``).
    """

    def __init__(
        self,
        width: int,
        phases: int,
        points: int,
        channels: tuple[int, ...],
        convolution: Convolution,
        mapping: Literal["frame-major", "released"] = "frame-major",
    ) -> None:
        super().__init__()
        self.phases = phases
        self.points = points
        self.mapping = mapping
        widths = [channels[-1], *reversed(channels), 2]
        self.expand = linear(width, phases * points * widths[0])
        self.convolutions = nn.ModuleList(convolution(*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map B x width to B x phases x points x 2."""
        nodes: Tensor = self.expand(x).unflatten(1, (self.phases * self.points, -1))
        for convolution in self.convolutions[:-1]:
            nodes = nn.functional.elu(convolution(nodes))
        nodes = self.convolutions[-1](nodes)
        if self.mapping == "frame-major":
            return nodes.unflatten(1, (self.phases, self.points))
        released = nodes.reshape(len(x), self.points, 2, self.phases)
        return released.permute(0, 3, 1, 2)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Build a linear layer with Xavier-uniform weights and zero bias (EchoGraphs)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
