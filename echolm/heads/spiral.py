"""Spiral convolutions (Gong et al. 2019) over closed contours in one or more phases.

EchoGraphs uses them. Nodes are frame-major: node ``phase * points + point``. ``spiral_indices``
orders a node's neighbours as the authors of EchoGraphs state it (their correction of 2023),
``ascending_indices`` as the code they released does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echolm.heads.decoder import Convolution, linear


def spiral_indices(phases: int, points: int) -> Tensor:
    """Order each node's neighbours, itself first.

    First comes its phase's whole contour, starting at the node and walking on cyclically
    (``points`` entries), then the same point in the next phase, cyclically (one entry, none when
    there is one phase only).

    Returns:
        phases * points x length int64.
    """
    point = torch.arange(points)[:, None]
    step = torch.arange(points)
    return _with_next_phase(phases, (point + step) % points)


def ascending_indices(phases: int, points: int) -> Tensor:
    """Order neighbours as ``spiral_indices``, but the contour's other nodes by ascending index."""
    point = torch.arange(points)[:, None]
    entry = torch.arange(points)
    # Entry 0 is the node itself. It is left out of those that follow.
    others = entry - (entry <= point).long()
    return _with_next_phase(phases, torch.where(entry == 0, point, others))


def _with_next_phase(phases: int, contour: Tensor) -> Tensor:
    """Extend neighbours within one contour to all phases, with the same point in the next phase.

    Args:
        phases: their number.
        contour: points x length.
    """
    points = len(contour)
    phase = torch.arange(phases).view(-1, 1, 1)
    neighbours = phase * points + contour
    if phases > 1:
        next_phase = (phase + 1) % phases
        same_point = next_phase * points + torch.arange(points)[:, None]
        neighbours = torch.cat([neighbours, same_point], dim=2)
    return neighbours.flatten(0, 1)


class SpiralConv(nn.Module):
    """Concatenates the features of each node's neighbours, in order, and maps them.

    One linear layer does that. All nodes share its parameters.

    Args:
        inputs: width of a node's features.
        outputs: likewise.
        indices: nodes x length, the neighbours of each.
    """

    indices: Tensor

    def __init__(self, inputs: int, outputs: int, indices: Tensor) -> None:
        super().__init__()
        self.register_buffer("indices", indices, persistent=False)
        self.linear = linear(indices.shape[1] * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x nodes x inputs to B x nodes x outputs."""
        neighbours: Tensor = x[:, self.indices]
        outputs: Tensor = self.linear(neighbours.flatten(2))
        return outputs


def spiral(indices: Tensor) -> Convolution:
    """Return how spiral convolutions of any widths are built with these neighbours."""

    def build(inputs: int, outputs: int) -> nn.Module:
        return SpiralConv(inputs, outputs, indices)

    return build
