"""3D residual networks (Tran et al. 2018) as stages, from torchvision's own modules.

State between stages: ``maps`` B x C x T' x H' x W'.
"""

from __future__ import annotations

from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.batch_norm import BatchNorm, Stage
from echolm.encoders.torchvision_compat import import_torchvision

_resnet = import_torchvision().models.video.resnet


class Stem(Stage):
    """Convolution, BatchNorm, ReLU: clip -> maps."""

    def __init__(self, stem: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.stem = stem

    def forward(self, state: State) -> State:
        """State with ``clip`` B x 3 x T x H x W -> State with ``maps``."""
        return State({"maps": self.stem(state.tensors["clip"])})


class Block(Stage):
    """One residual block: maps -> maps."""

    def __init__(self, block: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.block = block

    def forward(self, state: State) -> State:
        """State with ``maps`` -> State with ``maps``."""
        return State({"maps": self.block(state.tensors["maps"])})


class Readout(nn.Module):
    """maps -> Features: pooled over time and space, per frame (mean over space), and as they are. No parameters."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, state: State) -> Features:
        """State with ``maps`` -> Features of width C."""
        maps: Tensor = state.tensors["maps"]
        frames = maps.mean(dim=(3, 4)).transpose(1, 2)
        return Features(pooled=self.pool(maps).flatten(1), frames=frames, tokens=maps.permute(0, 2, 3, 4, 1))


def from_torchvision(network: nn.Module, batch_norm: BatchNorm) -> EncoderNetwork:
    """Stages of a torchvision ``VideoResNet``, which shares its parameters; the classifier ``fc`` is left out."""
    layers = [network.get_submodule(f"layer{number}") for number in (1, 2, 3, 4)]
    blocks = [block for layer in layers for block in layer.children()]
    return _stages(network.get_submodule("stem"), blocks, network.get_submodule("avgpool"), batch_norm)


def small(planes: list[int], strides: list[int], batch_norm: BatchNorm) -> EncoderNetwork:
    """A small network of the family: one torchvision ``BasicBlock`` per entry of ``planes``, with that stride.

    Its stem is the family's (3 x 7 x 7), but halves time as well as space. Initialised as torchvision's networks are.
    """
    stem = nn.Sequential(
        nn.Conv3d(3, planes[0], (3, 7, 7), stride=(2, 2, 2), padding=(1, 3, 3), bias=False),
        nn.BatchNorm3d(planes[0]),
        nn.ReLU(inplace=True),
    )
    inputs = [planes[0], *planes[:-1]]
    blocks = [_block(*shape) for shape in zip(inputs, planes, strides, strict=True)]
    network = _stages(stem, blocks, nn.AdaptiveAvgPool3d(1), batch_norm)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _stages(stem: nn.Module, blocks: list[nn.Module], pool: nn.Module, batch_norm: BatchNorm) -> EncoderNetwork:
    network = EncoderNetwork(Stem(stem, batch_norm), [Block(block, batch_norm) for block in blocks], Readout(pool))
    return network.train()


def _block(inputs: int, planes: int, stride: int) -> nn.Module:
    shortcut = None
    if stride != 1 or inputs != planes:
        shortcut = nn.Sequential(nn.Conv3d(inputs, planes, 1, stride=stride, bias=False), nn.BatchNorm3d(planes))
    block: nn.Module = _resnet.BasicBlock(inputs, planes, _resnet.Conv3DSimple, stride, shortcut)
    return block
