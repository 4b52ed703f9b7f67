"""Residual networks for images (He et al. 2016) on the frames of a clip, as stages, from torchvision's own modules.

State between stages: ``maps`` B x T x C x H' x W'.
"""

from __future__ import annotations

from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.batch_norm import BatchNorm, Stage
from echolm.encoders.families.per_frame import frames_of, per_frame


class Stem(Stage):
    """Convolution, BatchNorm, ReLU, maximum pooling: clip -> maps."""

    def __init__(self, stem: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.stem = stem

    def forward(self, state: State) -> State:
        """State with ``clip`` B x 3 x T x H x W -> State with ``maps``."""
        return State({"maps": per_frame(self.stem, frames_of(state.tensors["clip"]))})


class Block(Stage):
    """One residual block: maps -> maps."""

    def __init__(self, block: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.block = block

    def forward(self, state: State) -> State:
        """State with ``maps`` -> State with ``maps``."""
        return State({"maps": per_frame(self.block, state.tensors["maps"])})


class Readout(nn.Module):
    """maps -> Features: per frame (mean over space), pooled (mean over frames), and as they are. No parameters."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, state: State) -> Features:
        """State with ``maps`` -> Features of width C."""
        maps: Tensor = state.tensors["maps"]
        frames = per_frame(self.pool, maps).flatten(2)
        return Features(pooled=frames.mean(dim=1), frames=frames, tokens=maps.permute(0, 1, 3, 4, 2))


def from_torchvision(network: nn.Module, batch_norm: BatchNorm) -> EncoderNetwork:
    """Stages of a torchvision ``ResNet``, which shares its parameters; the classifier ``fc`` is left out."""
    stem = nn.Sequential(*(network.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool")))
    layers = [network.get_submodule(f"layer{number}") for number in (1, 2, 3, 4)]
    blocks: list[nn.Module] = [Block(block, batch_norm) for layer in layers for block in layer.children()]
    encoder = EncoderNetwork(Stem(stem, batch_norm), blocks, Readout(network.get_submodule("avgpool")))
    return encoder.train()
