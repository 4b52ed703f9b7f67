"""EchoGraphs as released: ascending neighbours, and on request its reading of the outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from echolm.heads.decoder import GraphDecoder
from echolm.heads.gcn_fullyconnected import GCNFullyConnected
from echolm.heads.spiral import SpiralConv, ascending_indices, spiral_indices

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 9))


def released_lists(phases: int, points: int) -> list[list[int]]:
    """Node by node: itself, the others of its phase ascending, the same index in the next phase."""
    lists = []
    for node in range(phases * points):
        first = node - node % points
        others = [number for number in range(first, first + points) if number != node]
        lists.append([node, *others] + [(node + points) % (phases * points)] * (phases > 1))
    return lists


@given(SIZES)
def test_indices_equal_an_independent_construction(size: tuple[int, int]) -> None:
    assert ascending_indices(*size).tolist() == released_lists(*size)


def test_lists_of_two_contours_of_forty_points() -> None:
    indices = ascending_indices(2, 40)
    assert indices.shape == (80, 41)
    assert indices[3, :6].tolist() == [3, 0, 1, 2, 4, 5] and indices[3, 40].item() == 43
    assert indices[79, :3].tolist() == [79, 40, 41] and indices[79, 39:].tolist() == [78, 39]


@given(SIZES)
def test_neighbours_are_those_of_gcn_in_another_order(size: tuple[int, int]) -> None:
    assert torch.equal(ascending_indices(*size).sort().values, spiral_indices(*size).sort().values)


@given(SIZES.filter(lambda size: size[0] > 1), st.integers(0, 3))
def test_convolution_is_equivariant_to_rolling_phases(size: tuple[int, int], by: int) -> None:
    phases, points = size
    convolution = SpiralConv(3, 2, ascending_indices(*size)).double()
    x = torch.randn(2, phases * points, 3, dtype=torch.float64)

    def roll(nodes: Tensor) -> Tensor:
        return nodes.unflatten(1, size).roll(by, 1).flatten(1, 2)

    torch.testing.assert_close(convolution(roll(x)), roll(convolution(x)))


def test_convolution_depends_on_where_a_contour_starts() -> None:
    """The defect that the authors describe, and ``gcn`` does not have."""
    convolution = SpiralConv(3, 2, ascending_indices(1, 6)).double()
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    assert not torch.allclose(convolution(x.roll(1, 1)), convolution(x).roll(1, 1))


@pytest.mark.parametrize(("width", "parameters"), [(512, 2_191_778), (768, 3_174_818)])
def test_parameter_count_is_that_of_echographs_two_frame_decoder(
    width: int, parameters: int
) -> None:
    head = GCNFullyConnected().build(width, (2, 40, 2))
    assert sum(p.numel() for p in head.parameters()) == parameters


def test_released_mapping_reads_the_outputs_as_the_authors_code_does() -> None:
    """(B, 80, 2) reshaped to (B, 40, 2, 2), beside key points laid out as (point, axis, phase)."""
    head = GCNFullyConnected(mapping="released", channels=(3,)).build(4, (2, 40, 2))
    assert isinstance(head, GraphDecoder)
    nodes = torch.randn(3, 80, 2)
    head.convolutions[-1].register_forward_hook(lambda *_: nodes)
    given_points = head(torch.randn(3, 4)).numpy()
    theirs = nodes.numpy().reshape(3, 40, 2, 2)
    assert np.array_equal(given_points, np.moveaxis(theirs, 3, 1))
    for node in (0, 1, 41, 79):
        assert np.array_equal(given_points[:, :, node // 2, node % 2], nodes[:, node].numpy())


def test_released_mapping_joins_points_half_a_contour_apart() -> None:
    temporal = ascending_indices(2, 40)[:, -1]
    apart = (temporal // 2 - torch.arange(80) // 2).abs()
    assert set(apart.tolist()) == {20}


def test_released_mapping_of_other_phases_keeps_the_shape() -> None:
    head = GCNFullyConnected(mapping="released", channels=(3,)).build(4, (3, 5, 2))
    assert head(torch.randn(2, 4)).shape == (2, 3, 5, 2)
