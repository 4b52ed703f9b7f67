"""How the tensors of convolutional encoders lie in a GPU's memory: channels last.

Its convolutions want it so. Elsewhere, and for transformers, memory stays as torch has it.
"""

from __future__ import annotations

import torch
from torch import nn

from echolm.encoders import Encoder
from echolm.encoders.base import EncoderNetwork


def clip_format(encoder: Encoder, device: torch.device) -> torch.memory_format:
    """Return how normalised clips B x 3 x T x H x W lie on a device."""
    if encoder.convolutional and device.type == "cuda":
        return torch.channels_last_3d
    return torch.contiguous_format


def lay_out(network: EncoderNetwork, encoder: Encoder, device: torch.device) -> None:
    """Lay out the weights of convolutions as ``clip_format`` has the clips of its encoder."""
    if clip_format(encoder, device) is torch.channels_last_3d:
        put_channels_last(network)


def put_channels_last(network: nn.Module) -> None:
    """Lay out the weights of all convolutions with channels last. Their values stay."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            weight = module.weight
            weight.data = weight.data.contiguous(memory_format=formats[weight.dim()])
