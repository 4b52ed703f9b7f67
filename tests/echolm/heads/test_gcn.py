"""The graph head of the paper: its graph is what the papers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from echolm.heads import HEADS
from echolm.heads.gcn import GCN
from echolm.heads.spiral import SpiralConv, spiral_indices

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 9))


def rolled_contours(phases: int, points: int) -> list[list[int]]:
    """Make the same lists, node by node: the contour from the node on, then the other phase."""
    numbers = np.arange(phases * points).reshape(phases, points)
    lists = []
    for phase in range(phases):
        for point in range(points):
            neighbours = np.roll(numbers[phase], -point).tolist()
            if phases > 1:
                neighbours.append(int(np.roll(numbers, -1, axis=0)[phase, point]))
            lists.append(neighbours)
    return lists


@given(SIZES)
def test_indices_equal_an_independent_construction(size: tuple[int, int]) -> None:
    assert spiral_indices(*size).tolist() == rolled_contours(*size)


def test_lists_of_two_contours_of_forty_points() -> None:
    indices = spiral_indices(2, 40)
    assert indices.shape == (80, 41)
    assert indices[0, :3].tolist() == [0, 1, 2] and indices[39, :3].tolist() == [39, 0, 1]
    assert indices[41, :3].tolist() == [41, 42, 43] and indices[79, 1].item() == 40


@given(SIZES.filter(lambda size: size[0] > 1))
def test_temporal_edges_join_the_same_anatomical_point(size: tuple[int, int]) -> None:
    phases, points = size
    nodes = torch.arange(phases * points)
    neighbours = spiral_indices(*size)[:, -1]
    assert torch.equal(neighbours % points, nodes % points)
    assert torch.equal(neighbours // points, (nodes // points + 1) % phases)


def test_convolution_equals_a_loop_over_nodes() -> None:
    indices = spiral_indices(2, 5)
    convolution = SpiralConv(3, 4, indices)
    x = torch.randn(2, 10, 3)
    weight, bias = convolution.linear.weight, convolution.linear.bias
    for sample in range(2):
        for node, neighbours in enumerate(rolled_contours(2, 5)):
            gathered = x[sample, neighbours].flatten()
            torch.testing.assert_close(convolution(x)[sample, node], weight @ gathered + bias)


@settings(max_examples=30)
@given(SIZES, st.integers(0, 8), st.integers(0, 3), st.integers(0, 99))
def test_convolution_is_equivariant_to_rolling_contours_and_phases(
    size: tuple[int, int], points_on: int, phases_on: int, seed: int
) -> None:
    """A spiral convolution does not mind where a contour starts, nor which phase is the first."""
    phases, points = size
    generator = torch.Generator().manual_seed(seed)
    convolution = SpiralConv(3, 2, spiral_indices(*size)).double()
    x = torch.randn(2, phases * points, 3, generator=generator, dtype=torch.float64)

    def roll(nodes: Tensor) -> Tensor:
        grid = nodes.view(2, phases, points, -1)
        return grid.roll((phases_on, points_on), (1, 2)).flatten(1, 2)

    torch.testing.assert_close(convolution(roll(x)), roll(convolution(x)))


def test_parameter_count_is_that_of_echographs_two_frame_decoder() -> None:
    for width, expected in ((512, 2_191_778), (768, 3_174_818)):
        head = GCN().build(width, (2, 40, 2))
        assert sum(parameter.numel() for parameter in head.parameters()) == expected


def test_channels_are_read_from_the_last_to_the_first() -> None:
    head = HEADS.parse({"name": "gcn", "channels": [2, 3, 5]}).build(7, (1, 4, 2))
    shapes = [tuple(convolution.linear.weight.shape) for convolution in head.convolutions]
    assert shapes == [(5, 4 * 5), (3, 4 * 5), (2, 4 * 3), (2, 4 * 2)]


def test_weights_are_xavier_uniform_and_biases_zero() -> None:
    head = GCN().build(512, (2, 40, 2))
    for module in head.modules():
        if isinstance(module, torch.nn.Linear):
            bound = (6 / sum(module.weight.shape)) ** 0.5
            assert not module.bias.any()
            assert 0.9 * bound < module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
