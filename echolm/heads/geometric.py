"""Convolutions of torch-geometric on the graph of closed contours in one or more phases.

Nodes are frame-major: node ``phase * points + point``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv, GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from echolm.heads.decoder import Convolution


def contour_edges(phases: int, points: int) -> Tensor:
    """Return the edges of contours as 2 x edges int64 (from, to).

    They are between adjacent points of each contour, whose last joins its first, and between the
    same point in neighbouring phases. They ascend, go in both directions, and have no loops.
    """
    numbers = torch.arange(phases * points).view(phases, points)
    along = torch.stack([numbers, numbers.roll(-1, dims=1)]).flatten(1)
    across = torch.stack([numbers[:-1], numbers[1:]]).flatten(1)
    edges = torch.cat([along, across], dim=1)
    both = torch.cat([edges, edges.flip(0)], dim=1)
    return both[:, both[0] != both[1]].unique(dim=1)


class GCNLayer(nn.Module):
    """``GCNConv`` on one graph: D^-1/2 (A + I) D^-1/2 X W + b.

    Its normalised adjacency is computed once.
    """

    edges: Tensor
    weights: Tensor

    def __init__(self, inputs: int, outputs: int, edges: Tensor, nodes: int) -> None:
        super().__init__()
        edges, weights = gcn_norm(edges, num_nodes=nodes)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        self.convolution = GCNConv(inputs, outputs, normalize=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x nodes x inputs to B x nodes x outputs."""
        outputs: Tensor = self.convolution(x, self.edges, self.weights)
        return outputs


class AttentionLayer(nn.Module):
    """``GATv2Conv`` with self-loops, its ``heads`` averaged.

    It takes no batch axis, so a batch is one graph of unconnected copies.
    """

    edges: Tensor

    def __init__(self, inputs: int, outputs: int, edges: Tensor, nodes: int, heads: int) -> None:
        super().__init__()
        self.register_buffer("edges", edges, persistent=False)
        self.nodes = nodes
        self.convolution = GATv2Conv(inputs, outputs, heads=heads, concat=False, dropout=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x nodes x inputs to B x nodes x outputs."""
        batch = len(x)
        first_nodes = torch.arange(batch, device=x.device)[:, None] * self.nodes
        edges = (self.edges[:, None] + first_nodes).flatten(1)
        outputs: Tensor = self.convolution(x.flatten(0, 1), edges)
        return outputs.unflatten(0, (batch, self.nodes))


def gcn_layer(edges: Tensor, nodes: int) -> Convolution:
    """Return how graph convolutions of any widths are built on this graph."""

    def build(inputs: int, outputs: int) -> nn.Module:
        return GCNLayer(inputs, outputs, edges, nodes)

    return build


def attention_layer(edges: Tensor, nodes: int, heads: int) -> Convolution:
    """Return how graph attention of any widths is built on this graph."""

    def build(inputs: int, outputs: int) -> nn.Module:
        return AttentionLayer(inputs, outputs, edges, nodes, heads)

    return build
