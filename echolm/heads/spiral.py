"""Spiral convolutions (Gong et al. 2019) over closed contours in one or more phases, as EchoGraphs uses them.

Nodes are frame-major: node ``phase * points + point``. Two things follow the method as its authors state it and not
the code they released: a node's neighbours are ordered by walking round the contour from the node (their correction
of 2023), and outputs are read frame-major, so that a temporal edge joins the same anatomical point.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def spiral_indices(phases: int, points: int) -> Tensor:
    """phases * points x length int64: each node's ordered neighbours, itself first.

    First its phase's whole contour, starting at the node and walking on cyclically (``points`` entries), then the
    same point in the next phase, cyclically (one entry; none when there is one phase only).
    """
    phase = torch.arange(phases).view(-1, 1, 1)
    point = torch.arange(points).view(1, -1, 1)
    contour = phase * points + (point + torch.arange(points)) % points
    parts = [contour]
    if phases > 1:
        parts.append((phase + 1) % phases * points + point)
    return torch.cat(parts, dim=2).flatten(0, 1)


class SpiralConv(nn.Module):
    """Concatenates the features of each node's neighbours, in order, and maps them by one linear layer.

    ``indices``: nodes x length. Parameters are shared by all nodes.
    """

    indices: Tensor

    def __init__(self, inputs: int, outputs: int, indices: Tensor) -> None:
        super().__init__()
        self.register_buffer("indices", indices, persistent=False)
        self.linear = _linear(indices.shape[1] * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """B x nodes x inputs -> B x nodes x outputs."""
        neighbours: Tensor = x[:, self.indices]
        outputs: Tensor = self.linear(neighbours.flatten(2))
        return outputs


class SpiralDecoder(nn.Module):
    """A vector -> landmarks: one linear layer to node features, then spiral convolutions with ELU between them.

    ``channels`` are read from the last to the first; the last convolution gives (x, y) and has no activation.
    """

    def __init__(self, width: int, phases: int, points: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.phases, self.points, self.channels = phases, points, channels[-1]
        widths = [channels[-1], *reversed(channels), 2]
        indices = spiral_indices(phases, points)
        self.expand = _linear(width, phases * points * widths[0])
        self.convolutions = nn.ModuleList(SpiralConv(a, b, indices) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """B x width -> B x phases x points x 2."""
        nodes: Tensor = self.expand(x).view(len(x), self.phases * self.points, self.channels)
        for convolution in self.convolutions[:-1]:
            nodes = nn.functional.elu(convolution(nodes))
        nodes = self.convolutions[-1](nodes)
        return nodes.view(len(x), self.phases, self.points, 2)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Xavier-uniform weights, zero bias (EchoGraphs)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
