"""What an encoder declares is what its network gives."""

from __future__ import annotations

import pytest
import torch

from echolm.encoders import ENCODERS
from echolm.encoders.base import Features, TokenStem
from echolm.encoders.flops import flop_counter


@pytest.mark.parametrize("name", ENCODERS.names())
def test_features_have_the_declared_shapes(name: str) -> None:
    """By one forward pass at full size, on a device that computes shapes alone."""
    encoder = ENCODERS.parse(name)
    with torch.device("meta"):
        network = encoder.build(None).eval()
        clips = torch.zeros(2, 3, encoder.frames, encoder.size, encoder.size)
        with flop_counter() as counter, torch.no_grad():
            features: Features = network(clips)
    assert counter.get_total_flops() == 2 * encoder.forward_flops
    given = {field for field, value in vars(features).items() if isinstance(value, torch.Tensor)}
    assert given == set(encoder.gives)
    assert features.pooled.shape == (2, encoder.width)
    assert (encoder.token_grid is None) == ("tokens" not in encoder.gives)
    width = encoder.token_width or encoder.width
    if features.tokens is not None:
        assert features.tokens.shape == (2, *encoder.token_grid, width)
    if features.frames is not None:
        assert features.frames.shape[0] == 2 and features.frames.shape[2] == width


@pytest.mark.parametrize("name", ENCODERS.names())
def test_what_can_be_masked_or_explained_is_declared(name: str) -> None:
    encoder = ENCODERS.parse(name)
    with torch.device("meta"):
        network = encoder.build(None)
    assert isinstance(network.stem, TokenStem) == encoder.maskable
    if isinstance(network.stem, TokenStem):
        assert network.stem.grid == encoder.token_grid
        assert network.stem.width == (encoder.token_width or encoder.width)
        pixels = [
            places * side for places, side in zip(network.stem.grid, network.stem.cube, strict=True)
        ]
        assert pixels == [encoder.frames, encoder.size, encoder.size]
    explained = [hasattr(block, "explain") for block in network.blocks]
    assert explained == [encoder.attention_maps] * encoder.blocks


@pytest.mark.parametrize("name", ["tiny-mvit", "tiny-videomae", "tiny-echofm"])
def test_operations_are_counted_alike_where_attention_is_fused(name: str) -> None:
    """On a CPU, where torch's own counter does not know it."""
    encoder = ENCODERS.parse(name)
    network = encoder.build(None).eval()
    with flop_counter() as counter, torch.no_grad():
        network(torch.zeros(3, 3, encoder.frames, encoder.size, encoder.size))
    assert counter.get_total_flops() == 3 * encoder.forward_flops
