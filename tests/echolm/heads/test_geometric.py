"""torch-geometric's convolutions on the contours' graph, against dense algebra and a loop over edges."""

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
from echolm.heads.geometric import AttentionLayer, GCNLayer, contour_edges
from echolm.training.keyed import key_randomness

PHASES, POINTS = 2, 7
NODES = PHASES * POINTS
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 9))


def adjacency(phases: int, points: int) -> np.ndarray:
    """The same graph, node by node."""
    matrix = np.zeros((phases * points, phases * points))
    for phase in range(phases):
        for point in range(points):
            node = phase * points + point
            neighbours = [phase * points + (point + step) % points for step in (-1, 1)]
            neighbours += [other * points + point for other in (phase - 1, phase + 1) if 0 <= other < phases]
            matrix[node, [number for number in neighbours if number != node]] = 1
    return matrix


@given(SIZES)
def test_edges_equal_an_independent_construction(size: tuple[int, int]) -> None:
    edges = contour_edges(*size).tolist()
    assert sorted(zip(*edges, strict=True)) == list(zip(*map(list, np.nonzero(adjacency(*size))), strict=True))
    assert len(set(zip(*edges, strict=True))) == len(edges[0])


def test_two_contours_of_forty_points_have_120_edges() -> None:
    edges = contour_edges(2, 40)
    assert edges.shape == (2, 2 * (40 + 40 + 40))
    assert torch.equal(edges.flip(0).unique(dim=1), edges)
    assert edges[1][edges[0] == 0].tolist() == [1, 39, 40]


def gcn() -> nn.Module:
    return GCNLayer(3, 5, contour_edges(PHASES, POINTS), NODES).double()


def gat() -> nn.Module:
    return AttentionLayer(3, 5, contour_edges(PHASES, POINTS), NODES, heads=2).double()


def test_gcnconv_is_the_normalised_dense_product() -> None:
    """D^-1/2 (A + I) D^-1/2 X W + b."""
    layer, x = gcn(), torch.randn(4, NODES, 3, dtype=torch.float64)
    nn.init.normal_(layer.convolution.bias)
    loops = torch.from_numpy(adjacency(PHASES, POINTS)) + torch.eye(NODES, dtype=torch.float64)
    scale = loops.sum(1).rsqrt()
    dense = scale[:, None] * loops * scale
    torch.testing.assert_close(layer(x), dense @ x @ layer.convolution.lin.weight.T + layer.convolution.bias)


def test_gatv2_equals_a_loop_over_nodes() -> None:
    """Brody et al. 2022 eq. 7: the score is a . LeakyReLU(W_l x_j + W_r x_i), then a softmax over j and i itself."""
    layer, x = gat(), torch.randn(2, NODES, 3, dtype=torch.float64)
    convolution = layer.convolution
    left, right = (part(x).view(2, NODES, 2, 5) for part in (convolution.lin_l, convolution.lin_r))
    graph = adjacency(PHASES, POINTS) + np.eye(NODES)
    for sample in range(2):
        for node in range(NODES):
            near = np.flatnonzero(graph[node])
            hidden = nn.functional.leaky_relu(left[sample, near] + right[sample, node], 0.2)
            weights = (hidden * convolution.att[0]).sum(-1).softmax(dim=0)
            expected = (weights[..., None] * left[sample, near]).sum(0).mean(0) + convolution.bias
            torch.testing.assert_close(layer(x)[sample, node], expected)


def permuted(x: Tensor, shift: int, turn: bool, swap: bool) -> Tensor:
    """B x nodes x F with every contour rolled and perhaps reversed, and perhaps the phases swapped."""
    grid = x.unflatten(1, (PHASES, POINTS)).roll(shift, 2)
    return grid.flip([2] * turn + [1] * swap).flatten(1, 2)


@pytest.mark.parametrize("make", [gcn, gat])
@given(shift=st.integers(0, POINTS), turn=st.booleans(), swap=st.booleans())
def test_layers_are_equivariant_to_every_symmetry_of_the_graph(
    make: Callable[[], nn.Module], shift: int, turn: bool, swap: bool
) -> None:
    layer, x = make(), torch.randn(2, NODES, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(permuted(x, shift, turn, swap)), permuted(layer(x), shift, turn, swap))


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
    assert parameters(GCNConv().build(width, (2, 40, 2))) == expand + sum((a + 1) * b for a, b in steps)
    attention = sum(2 * (a + 1) * 4 * b + 4 * b + b for a, b in steps)
    assert parameters(GATv2().build(width, (2, 40, 2))) == expand + attention


def test_weights_are_those_of_the_ambient_generator() -> None:
    states = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            states.append(GATv2().build(8, (2, 5, 2)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_attention_heads_are_configuration_and_are_averaged() -> None:
    head = GATv2(attention_heads=3, channels=(4, 6)).build(8, (2, 5, 2))
    assert isinstance(head, GraphDecoder)
    convolutions = [layer.convolution for layer in head.convolutions]
    assert {(c.heads, c.concat, c.dropout) for c in convolutions} == {(3, False, 0.0)}
    assert [c.out_channels for c in convolutions] == [6, 4, 2]
    with pytest.raises(ValueError, match="attention_heads"):
        GATv2(attention_heads=0)


@pytest.mark.parametrize("head", [GCNConv(), GATv2()])
def test_keying_the_randomness_of_a_model_leaves_them_as_they_are(head: GCNConv | GATv2) -> None:
    model = nn.Sequential(head.build(8, (2, 5, 2)))
    x, kinds = torch.randn(3, 8), [type(module) for module in model.modules()]
    before = model(x)
    key_randomness(model, "member")
    assert [type(module) for module in model.modules()] == kinds and torch.equal(model.train()(x), before)


@pytest.mark.parametrize("head", [GCNConv(channels=(8, 8)), GATv2(channels=(8, 8))])
def test_a_contour_is_learned(head: GCNConv | GATv2) -> None:
    """From one vector a sample, to two pixels (root mean square, frame of 112)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = head.build(4, (2, 10, 2)), torch.randn(3, 4)
    angle = torch.arange(10) * (2 * math.pi / 10)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    target = 0.5 + torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1) * circle * torch.tensor([1.0, 0.7]).view(2, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert 112 * math.sqrt(loss.item()) < 2
