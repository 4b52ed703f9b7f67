"""torch-geometric's convolutions on the contours' graph: dense algebra and a loop over edges."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from echolm.heads.decoder import GraphDecoder
from echolm.heads.gatv2 import GATv2
from echolm.heads.gcnconv import GCNConv
from echolm.training.keyed_dropout import key_randomness

PHASES, POINTS = 2, 7
NODES = PHASES * POINTS
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 9))


def adjacency(phases: int, points: int) -> np.ndarray:
    """Make the same graph, node by node."""
    matrix = np.zeros((phases * points, phases * points))
    for phase in range(phases):
        for point in range(points):
            node = phase * points + point
            for step in (-1, 1):
                matrix[node, phase * points + (point + step) % points] = 1
                if 0 <= phase + step < phases:
                    matrix[node, (phase + step) * points + point] = 1
            matrix[node, node] = 0  # a contour of one point is its own neighbour
    return matrix


@given(SIZES)
def test_edges_equal_an_independent_construction(size: tuple[int, int]) -> None:
    from echolm.heads.geometric import contour_edges

    edges = contour_edges(*size).T.tolist()
    assert sorted(edges) == np.argwhere(adjacency(*size)).tolist()


def test_two_contours_of_forty_points_have_120_edges() -> None:
    from echolm.heads.geometric import contour_edges

    edges = contour_edges(2, 40)
    assert edges.shape == (2, 2 * (40 + 40 + 40))
    assert torch.equal(edges.flip(0).unique(dim=1), edges)
    assert edges[1][edges[0] == 0].tolist() == [1, 39, 40]


def gcn() -> nn.Module:
    from echolm.heads.geometric import GCNLayer, contour_edges

    return GCNLayer(3, 5, contour_edges(PHASES, POINTS), NODES).double()


def gat() -> nn.Module:
    from echolm.heads.geometric import AttentionLayer, contour_edges

    return AttentionLayer(3, 5, contour_edges(PHASES, POINTS), NODES, heads=2).double()


def test_gcnconv_is_the_normalised_dense_product() -> None:
    """D^-1/2 (A + I) D^-1/2 X W + b."""
    layer, x = gcn(), torch.randn(4, NODES, 3, dtype=torch.float64)
    nn.init.normal_(layer.convolution.bias)
    loops = torch.from_numpy(adjacency(PHASES, POINTS)) + torch.eye(NODES, dtype=torch.float64)
    scale = loops.sum(1).rsqrt()
    dense = scale[:, None] * loops * scale
    expected = dense @ x @ layer.convolution.lin.weight.T + layer.convolution.bias
    torch.testing.assert_close(layer(x), expected)


def test_gatv2_equals_a_loop_over_nodes() -> None:
    """Brody et al. 2022 eq. 7: the score is a . LeakyReLU(W_l x_j + W_r x_i).

    A softmax over j and i itself follows.
    """
    layer, x = gat(), torch.randn(2, NODES, 3, dtype=torch.float64)
    convolution = layer.convolution
    left = convolution.lin_l(x).view(2, NODES, 2, 5)
    right = convolution.lin_r(x).view(2, NODES, 2, 5)
    graph = adjacency(PHASES, POINTS) + np.eye(NODES)
    for sample in range(2):
        for node in range(NODES):
            near = np.flatnonzero(graph[node])
            hidden = nn.functional.leaky_relu(left[sample, near] + right[sample, node], 0.2)
            scores = (hidden * convolution.att[0]).sum(-1)
            weights = scores.softmax(dim=0)
            of_heads = (weights[..., None] * left[sample, near]).sum(0)
            expected = of_heads.mean(0) + convolution.bias
            torch.testing.assert_close(layer(x)[sample, node], expected)


def permuted(x: Tensor, shift: int, turn: bool, swap: bool) -> Tensor:
    """Roll every contour of B x nodes x F, perhaps reverse it, and perhaps swap the phases."""
    grid = x.unflatten(1, (PHASES, POINTS)).roll(shift, 2)
    return grid.flip([2] * turn + [1] * swap).flatten(1, 2)


@pytest.mark.parametrize("make", [gcn, gat])
@given(shift=st.integers(0, POINTS), turn=st.booleans(), swap=st.booleans())
def test_layers_are_equivariant_to_every_symmetry_of_the_graph(
    make: Callable[[], nn.Module], shift: int, turn: bool, swap: bool
) -> None:
    layer = make()
    x = torch.randn(2, NODES, 3, dtype=torch.float64)
    moved_before = layer(permuted(x, shift, turn, swap))
    moved_after = permuted(layer(x), shift, turn, swap)
    torch.testing.assert_close(moved_before, moved_after)


@pytest.mark.parametrize("make", [gcn, gat])
def test_a_node_sees_itself_and_its_neighbours_only(make: Callable[[], nn.Module]) -> None:
    layer, x = make(), torch.randn(1, NODES, 3, dtype=torch.float64, requires_grad=True)
    layer(x)[0, 2].sum().backward()
    seen = x.grad[0].any(dim=1).nonzero().flatten().tolist()
    assert seen == [1, 2, 3, 2 + POINTS]


def parameters(head: nn.Module) -> int:
    return sum(parameter.numel() for parameter in head.parameters())


@pytest.mark.parametrize("width", [512, 768])
def test_parameter_counts(width: int) -> None:
    expand = (width + 1) * 80 * 48
    steps = [(48, 48), (48, 32), (32, 32), (32, 16), (16, 2)]
    convolutions = sum((inputs + 1) * outputs for inputs, outputs in steps)
    assert parameters(GCNConv().build(width, (2, 40, 2))) == expand + convolutions
    attention = 0
    for inputs, outputs in steps:
        both_maps = 2 * (inputs + 1) * 4 * outputs
        scores = 4 * outputs
        bias = outputs
        attention += both_maps + scores + bias
    assert parameters(GATv2().build(width, (2, 40, 2))) == expand + attention


def test_weights_are_those_of_the_ambient_generator() -> None:
    states = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            states.append(GATv2().build(8, (2, 5, 2)).state_dict())
    first, second = states
    for name, value in first.items():
        assert torch.equal(value, second[name])


def test_attention_heads_are_configuration_and_are_averaged() -> None:
    head = GATv2(attention_heads=3, channels=(4, 6)).build(8, (2, 5, 2))
    assert isinstance(head, GraphDecoder)
    for layer, width in zip(head.convolutions, (6, 4, 2), strict=True):
        convolution = layer.convolution
        assert convolution.heads == 3 and convolution.out_channels == width
        assert not convolution.concat and convolution.dropout == 0.0
    with pytest.raises(ValueError, match="attention_heads"):
        GATv2(attention_heads=0)


@pytest.mark.parametrize("head", [GCNConv(), GATv2()])
def test_keying_the_randomness_of_a_model_leaves_them_as_they_are(head: GCNConv | GATv2) -> None:
    model = nn.Sequential(head.build(8, (2, 5, 2)))
    x = torch.randn(3, 8)
    kinds = [type(module) for module in model.modules()]
    before = model(x)
    key_randomness(model, "member")
    assert [type(module) for module in model.modules()] == kinds
    assert torch.equal(model.train()(x), before)


@pytest.mark.parametrize("head", [GCNConv(channels=(8, 8)), GATv2(channels=(8, 8))])
def test_a_contour_is_learned(head: GCNConv | GATv2) -> None:
    """From one vector a sample, to two pixels (root mean square, frame of 112)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = head.build(4, (2, 10, 2)), torch.randn(3, 4)
    angle = torch.arange(10) * (2 * math.pi / 10)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    radii = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1)
    contraction = torch.tensor([1.0, 0.7]).view(2, 1, 1)
    target = 0.5 + radii * circle * contraction
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert 112 * math.sqrt(loss.item()) < 2
