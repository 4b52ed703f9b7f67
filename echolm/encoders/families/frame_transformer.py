"""PanEcho's network as stages: a ConvNeXt for each image, then a transformer over the images of a clip.

Holste et al., JAMA 2025. State between stages: ``maps`` B x T x C x H' x W' within the image trunk, ``frames``
B x T x D after it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.per_frame import frames_of, per_frame

Images = Literal["released", "frames"]


def images_of(clip: Tensor, images: Images) -> Tensor:
    """B x 3 x T x H x W -> the T images of each clip, B x T x 3 x H x W.

    ``frames``: its frames. ``released``: as the authors' code forms them, whose reshape does not swap the axes of
    channel and time: all frames of the first channel, then of the second, then of the third, cut into threes.
    """
    if images == "frames":
        return frames_of(clip)
    batch, channels, length, height, width = clip.shape
    return clip.reshape(batch, length, channels, height, width)


class Stem(nn.Module):
    """Patches of each image: clip -> maps."""

    def __init__(self, patches: nn.Module, images: Images) -> None:
        super().__init__()
        self.patches = patches
        self.images = images

    def forward(self, state: State) -> State:
        """State with ``clip`` B x 3 x T x H x W -> State with ``maps``."""
        return State({"maps": per_frame(self.patches, images_of(state.tensors["clip"], self.images))})


class ConvStage(nn.Module):
    """One ConvNeXt stage with the downsampling before it: maps -> maps."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, state: State) -> State:
        """State with ``maps`` -> State with ``maps``."""
        return State({"maps": per_frame(self.stage, state.tensors["maps"])})


class LastConvStage(ConvStage):
    """The last ConvNeXt stage, pooling and LayerNorm: maps -> frames, one vector per image."""

    def forward(self, state: State) -> State:
        """State with ``maps`` -> State with ``frames``."""
        return State({"frames": super().forward(state).tensors["maps"]})


class Layer(nn.Module):
    """One transformer layer over the images of a clip: frames -> frames. The first layer adds positions before."""

    positions: Tensor | None

    def __init__(self, layer: nn.Module, positions: Tensor | None) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, state: State) -> State:
        """State with ``frames`` -> State with ``frames``."""
        frames = state.tensors["frames"]
        if self.positions is not None:
            frames = frames + self.positions[: frames.shape[1]]
        return State({"frames": self.layer(frames)})


class Readout(nn.Module):
    """frames -> Features: pooled is their mean. No parameters."""

    def forward(self, state: State) -> Features:
        """State with ``frames`` -> Features."""
        frames = state.tensors["frames"]
        return Features(pooled=frames.mean(dim=1), frames=frames)


def sinusoids(length: int, width: int) -> Tensor:
    """length x width fixed positions (Vaswani et al. 2017 §3.5): sine in even, cosine in odd places."""
    rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def transformer_layer(width: int, heads: int) -> nn.Module:
    """PanEcho's: feed-forward as wide as its input, ReLU, LayerNorm after each part, no dropout."""
    return nn.TransformerEncoderLayer(width, heads, dim_feedforward=width, dropout=0.0, batch_first=True)


def as_published(convnext: nn.Module, layers: list[nn.Module]) -> nn.Module:
    """A module whose state dict has the keys of the published one."""
    transformer = nn.ModuleDict({"layers": nn.ModuleList(layers)})
    images = nn.ModuleDict({"model": convnext})
    return nn.ModuleDict({"encoder": nn.ModuleDict({"encoder": images, "transformer": transformer})})


def assemble(convnext: nn.Module, layers: list[nn.Module], positions: Tensor, images: Images) -> EncoderNetwork:
    """Stages of a torchvision ``ConvNeXt`` without its last layer and of transformer ``layers`` over at most ``length``
    images. ``positions``: length x width. Parameters are shared with what is given."""
    patches, first, *rest = convnext.get_submodule("features").children()
    pooling = [convnext.get_submodule("avgpool"), *convnext.get_submodule("classifier").children()]
    *middle, last = zip(rest[::2], rest[1::2], strict=True)
    stages = [ConvStage(first), *(ConvStage(nn.Sequential(*pair)) for pair in middle)]
    stages.append(LastConvStage(nn.Sequential(*last, *pooling)))
    transformer = [Layer(layer, None if number else positions) for number, layer in enumerate(layers)]
    return EncoderNetwork(Stem(patches, images), [*stages, *transformer], Readout())
