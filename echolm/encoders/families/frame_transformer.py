"""PanEcho's network as stages: a ConvNeXt for each image, then a transformer over a clip's images.

Holste et al., JAMA 2025. State between stages: ``maps`` B x T x C x H' x W' within the image trunk,
``frames`` B x T x D after it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.per_frame import frames_of, per_frame

Images = Literal["released", "frames"]


def images_of(clip: Tensor, images: Images) -> Tensor:
    """Form the T images of each clip.

    Args:
        clip: B x 3 x T x H x W.
        images: ``frames``: its frames. ``released``: as the authors' code forms them, whose reshape
            does not swap the axes of channel and time. All frames of the first channel, then of the
            second, then of the third, are cut into threes.

    Returns:
        B x T x 3 x H x W.
    """
    if images == "frames":
        return frames_of(clip)
    batch, channels, length, height, width = clip.shape
    return clip.reshape(batch, length, channels, height, width)


class FrameTransformerStem(nn.Module):
    """Patches of each image: clip -> maps."""

    def __init__(self, patches: nn.Module, images: Images) -> None:
        super().__init__()
        self.patches = patches
        self.images = images

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``maps``."""
        images = images_of(state.tensors["clip"], self.images)
        return State({"maps": per_frame(self.patches, images)})


class ConvStage(nn.Module):
    """One ConvNeXt stage with the downsampling before it: maps -> maps."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, state: State) -> State:
        """Map ``maps`` to ``maps``."""
        return State({"maps": per_frame(self.stage, state.tensors["maps"])})


class LastConvStage(ConvStage):
    """The last ConvNeXt stage, pooling and LayerNorm: maps -> frames, one vector per image."""

    def forward(self, state: State) -> State:
        """Map ``maps`` to ``frames``."""
        return State({"frames": super().forward(state).tensors["maps"]})


class Layer(nn.Module):
    """One transformer layer over the images of a clip: frames -> frames.

    The first layer adds positions before.
    """

    positions: Tensor | None

    def __init__(self, layer: nn.Module, positions: Tensor | None) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, state: State) -> State:
        """Map ``frames`` to ``frames``."""
        frames = state.tensors["frames"]
        if self.positions is not None:
            length = frames.shape[1]
            frames = frames + self.positions[:length]
        return State({"frames": self.layer(frames)})


class FrameTransformerReadout(nn.Module):
    """The end of the network: frames -> Features. Pooled is their mean. No parameters."""

    def forward(self, state: State) -> Features:
        """Map ``frames`` to Features."""
        frames = state.tensors["frames"]
        return Features(pooled=frames.mean(dim=1), frames=frames)


def sinusoids(length: int, width: int) -> Tensor:
    """Compute length x width fixed positions (Vaswani et al. 2017 §3.5).

    Sine stands in even places, cosine in odd ones.
    """
    rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def transformer_layer(width: int, heads: int) -> nn.Module:
    """Build a layer of PanEcho's transformer.

    It is feed-forward as wide as its input, with ReLU, LayerNorm after each part, and no dropout.
    """
    return nn.TransformerEncoderLayer(
        width, heads, dim_feedforward=width, dropout=0.0, batch_first=True
    )


def as_published(convnext: nn.Module, layers: list[nn.Module]) -> nn.Module:
    """Wrap the parts in a module whose state dict has the keys of the published one."""
    images = nn.ModuleDict({"model": convnext})
    transformer = nn.ModuleDict({"layers": nn.ModuleList(layers)})
    video = nn.ModuleDict({"encoder": images, "transformer": transformer})
    return nn.ModuleDict({"encoder": video})


def assemble(
    convnext: nn.Module, layers: list[nn.Module], positions: Tensor, images: Images
) -> EncoderNetwork:
    """Arrange the parts as stages. Parameters are shared with what is given.

    Args:
        convnext: a torchvision ``ConvNeXt`` without its last layer.
        layers: transformer layers over the images of a clip, at most ``length`` of them.
        positions: length x width.
        images: how they are formed from a clip.
    """
    # The features are the patches, a stage, and then pairs of downsampling and stage.
    patches, first, *rest = convnext.get_submodule("features").children()
    *middle, last = zip(rest[::2], rest[1::2], strict=True)
    pooling = [convnext.get_submodule("avgpool"), *convnext.get_submodule("classifier").children()]

    blocks: list[nn.Module] = [ConvStage(first)]
    for downsampling, stage in middle:
        blocks.append(ConvStage(nn.Sequential(downsampling, stage)))
    blocks.append(LastConvStage(nn.Sequential(*last, *pooling)))

    blocks.append(Layer(layers[0], positions))
    blocks += [Layer(layer, None) for layer in layers[1:]]
    return EncoderNetwork(FrameTransformerStem(patches, images), blocks, FrameTransformerReadout())
