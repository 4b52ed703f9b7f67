"""Vision transformers for images (Dosovitskiy et al. 2021) on the frames of a clip, as stages.

They are made of torchvision's own modules. State between stages: ``tokens`` B x T x (1 + H'W') x D,
the class token first. Its metadata ``grid`` is (H', W').
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.per_frame import frames_of, per_frame


class ViTStem(nn.Module):
    """Patches, class token and absolute positions of each frame: clip -> tokens."""

    def __init__(
        self,
        patches: nn.Module,
        class_token: nn.Parameter,
        positions: nn.Parameter,
        drop: nn.Module,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.class_token = class_token
        self.positions = positions
        self.drop = drop

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``tokens``."""
        patches = per_frame(self.patches, frames_of(state.tensors["clip"]))
        tokens = patches.flatten(3).transpose(2, 3)
        class_token = self.class_token.expand(*tokens.shape[:2], -1, -1)
        tokens = torch.cat([class_token, tokens], dim=2) + self.positions
        return State({"tokens": per_frame(self.drop, tokens)}, {"grid": tuple(patches.shape[3:])})


class ViTBlock(nn.Module):
    """One transformer block within each frame: tokens -> tokens."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, state: State) -> State:
        """Map ``tokens`` to ``tokens``."""
        return State({"tokens": per_frame(self.block, state.tensors["tokens"])}, state.meta)


class ViTReadout(nn.Module):
    """The end of the network: tokens -> Features.

    A frame's vector is its class token. Pooled is their mean over frames.
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, state: State) -> Features:
        """Map ``tokens`` to Features after the last LayerNorm."""
        tokens: Tensor = self.norm(state.tensors["tokens"])
        frames = tokens[:, :, 0]
        grid = tokens[:, :, 1:].unflatten(2, state.meta["grid"])
        return Features(pooled=frames.mean(dim=1), frames=frames, tokens=grid)


def from_torchvision(network: nn.Module) -> EncoderNetwork:
    """Arrange a torchvision ``VisionTransformer`` as stages, which share its parameters.

    Its ``heads`` are left out.
    """
    stem = ViTStem(
        network.get_submodule("conv_proj"),
        network.get_parameter("class_token"),
        network.get_parameter("encoder.pos_embedding"),
        network.get_submodule("encoder.dropout"),
    )
    layers = network.get_submodule("encoder.layers").children()
    readout = ViTReadout(network.get_submodule("encoder.ln"))
    return EncoderNetwork(stem, [ViTBlock(layer) for layer in layers], readout)
