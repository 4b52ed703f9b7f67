"""Convolutional encoders compute the same, to rounding, with channels last."""

from __future__ import annotations

import torch

from echolm.encoders import ENCODERS
from echolm.encoders.memory_format import clip_format, put_channels_last
from echolm.randomness import seeded

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_channels_last_is_for_convolutions_on_a_gpu() -> None:
    convolutional = {name for name in ENCODERS.names() if ENCODERS.get(name).convolutional}
    assert convolutional == {"panecho", "r3d-18", "resnet18-2d", "tiny-r3d"}
    for name in ENCODERS.names():
        encoder = ENCODERS.parse(name)
        assert clip_format(encoder, CPU) is torch.contiguous_format
        is_last = clip_format(encoder, GPU) is torch.channels_last_3d
        assert is_last == (name in convolutional)


def test_the_same_features_and_gradients() -> None:
    encoder = ENCODERS.parse("tiny-r3d")
    with seeded("test"):
        network = encoder.build(None)
        clip = torch.rand(2, 3, encoder.frames, encoder.size, encoder.size)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        network.zero_grad()
        pooled = network(clip.contiguous(memory_format=memory_format)).pooled
        pooled.square().sum().backward()
        gradients = [parameter.grad.clone() for parameter in network.parameters()]
        results.append([pooled.detach(), *gradients])
        put_channels_last(network)
    weights = [module.weight for module in network.modules() if isinstance(module, torch.nn.Conv3d)]
    assert weights
    for weight in weights:
        assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    for plain, last in zip(*results, strict=True):
        torch.testing.assert_close(plain, last, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))
