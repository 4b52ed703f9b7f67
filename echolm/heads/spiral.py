"""Spiral convolutions (Gong et al. 2019) over closed contours in one or more phases, as EchoGraphs uses them.

Nodes are frame-major: node ``phase * points + point``. ``spiral_indices`` orders a node's neighbours as the authors of
EchoGraphs state it (their correction of 2023), ``ascending_indices`` as the code they released does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echolm.heads.decoder import Convolution, linear


def spiral_indices(phases: int, points: int) -> Tensor:
    """phases * points x length int64: each node's ordered neighbours, itself first.

    First its phase's whole contour, starting at the node and walking on cyclically (``points`` entries), then the
    same point in the next phase, cyclically (one entry; none when there is one phase only).
    """
    return _with_next_phase(phases, (torch.arange(points)[:, None] + torch.arange(points)) % points)


def ascending_indices(phases: int, points: int) -> Tensor:
    """As ``spiral_indices``, but the contour's other nodes follow the node itself by ascending index."""
    point, place = torch.arange(points)[:, None], torch.arange(points)
    return _with_next_phase(phases, torch.where(place == 0, point, place - (place <= point).long()))


def _with_next_phase(phases: int, contour: Tensor) -> Tensor:
    """The neighbours within one contour (points x length) -> those in all phases, with the same point in the next."""
    points = len(contour)
    phase = torch.arange(phases).view(-1, 1, 1)
    parts = [phase * points + contour]
    if phases > 1:
        parts.append((phase + 1) % phases * points + torch.arange(points)[:, None])
    return torch.cat(parts, dim=2).flatten(0, 1)


class SpiralConv(nn.Module):
    """Concatenates the features of each node's neighbours, in order, and maps them by one linear layer.

    ``indices``: nodes x length. Parameters are shared by all nodes.
    """

    indices: Tensor

    def __init__(self, inputs: int, outputs: int, indices: Tensor) -> None:
        super().__init__()
        self.register_buffer("indices", indices, persistent=False)
        self.linear = linear(indices.shape[1] * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """B x nodes x inputs -> B x nodes x outputs."""
        neighbours: Tensor = x[:, self.indices]
        outputs: Tensor = self.linear(neighbours.flatten(2))
        return outputs


def spiral(indices: Tensor) -> Convolution:
    """Spiral convolutions of any widths with these neighbours."""
    return lambda inputs, outputs: SpiralConv(inputs, outputs, indices)
