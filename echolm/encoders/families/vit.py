"""Vision transformers for images (Dosovitskiy et al. 2021) on the frames of a clip, as stages, from torchvision's own
modules.

State between stages: ``tokens`` B x T x (1 + H'W') x D, the class token first; metadata ``grid`` = (H', W').
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.per_frame import frames_of, per_frame


class Stem(nn.Module):
    """Patches, class token and absolute positions of each frame: clip -> tokens."""

    def __init__(self, patches: nn.Module, class_token: nn.Parameter, positions: nn.Parameter, drop: nn.Module) -> None:
        super().__init__()
        self.patches = patches
        self.class_token = class_token
        self.positions = positions
        self.drop = drop

    def forward(self, state: State) -> State:
        """State with ``clip`` B x 3 x T x H x W -> State with ``tokens``."""
        patches = per_frame(self.patches, frames_of(state.tensors["clip"]))
        tokens = patches.flatten(3).transpose(2, 3)
        class_token = self.class_token.expand(*tokens.shape[:2], -1, -1)
        tokens = torch.cat([class_token, tokens], dim=2) + self.positions
        return State({"tokens": per_frame(self.drop, tokens)}, {"grid": tuple(patches.shape[3:])})


class Block(nn.Module):
    """One transformer block within each frame: tokens -> tokens."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, state: State) -> State:
        """State with ``tokens`` -> State with ``tokens``."""
        return State({"tokens": per_frame(self.block, state.tensors["tokens"])}, state.meta)


class Readout(nn.Module):
    """tokens -> Features: a frame's vector is its class token, pooled is their mean over frames."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, state: State) -> Features:
        """State with ``tokens`` -> Features after the last LayerNorm."""
        tokens: Tensor = self.norm(state.tensors["tokens"])
        frames = tokens[:, :, 0]
        return Features(frames.mean(dim=1), frames, tokens[:, :, 1:].unflatten(2, state.meta["grid"]))


def from_torchvision(network: nn.Module) -> EncoderNetwork:
    """Stages of a torchvision ``VisionTransformer``, which shares its parameters; its ``heads`` are left out."""
    stem = Stem(
        network.get_submodule("conv_proj"),
        network.get_parameter("class_token"),
        network.get_parameter("encoder.pos_embedding"),
        network.get_submodule("encoder.dropout"),
    )
    blocks: list[nn.Module] = [Block(block) for block in network.get_submodule("encoder.layers").children()]
    return EncoderNetwork(stem, blocks, Readout(network.get_submodule("encoder.ln")))
