"""Residual networks for images (He et al. 2016) on the frames of a clip, as stages.

They are made of torchvision's own modules. State between stages: ``maps`` B x T x C x H' x W'.
"""

from __future__ import annotations

from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.batch_norm import BatchNorm, Stage
from echolm.encoders.families.per_frame import frames_of, per_frame


class ResNet2DStem(Stage):
    """Convolution, BatchNorm, ReLU, maximum pooling: clip -> maps."""

    def __init__(self, stem: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.stem = stem

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``maps``."""
        frames = frames_of(state.tensors["clip"])
        return State({"maps": per_frame(self.stem, frames)})


class ResNet2DBlock(Stage):
    """One residual block: maps -> maps."""

    def __init__(self, block: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.block = block

    def forward(self, state: State) -> State:
        """Map ``maps`` to ``maps``."""
        return State({"maps": per_frame(self.block, state.tensors["maps"])})


class ResNet2DReadout(nn.Module):
    """The end of the network: maps -> Features. No parameters.

    Per frame (mean over space), pooled (mean over frames), and as they are.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, state: State) -> Features:
        """Map ``maps`` to Features of width C."""
        maps: Tensor = state.tensors["maps"]
        frames = per_frame(self.pool, maps).flatten(2)
        tokens = maps.permute(0, 1, 3, 4, 2)
        return Features(pooled=frames.mean(dim=1), frames=frames, tokens=tokens)


def from_torchvision(network: nn.Module, batch_norm: BatchNorm) -> EncoderNetwork:
    """Arrange a torchvision ``ResNet`` as stages, which share its parameters.

    The classifier ``fc`` is left out.
    """
    stem = nn.Sequential()
    for name in ("conv1", "bn1", "relu", "maxpool"):
        stem.append(network.get_submodule(name))
    blocks: list[nn.Module] = []
    for number in (1, 2, 3, 4):
        layer = network.get_submodule(f"layer{number}")
        blocks += [ResNet2DBlock(block, batch_norm) for block in layer.children()]
    readout = ResNet2DReadout(network.get_submodule("avgpool"))
    encoder = EncoderNetwork(ResNet2DStem(stem, batch_norm), blocks, readout)
    return encoder.train()
