"""3D residual networks (Tran et al. 2018) as stages.

Published ones are torchvision's own modules. Small ones are not, since torchvision takes as long to
import as torch does: their block equals torchvision's to the bit (a test compares them).
State between stages: ``maps`` B x C x T' x H' x W'.
"""

from __future__ import annotations

from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.batch_norm import BatchNorm, Stage


class BasicBlock(nn.Module):
    """Two convolutions 3 x 3 x 3 and a shortcut, as torchvision names and initialises them.

    Args:
        inputs: channels of the maps that come in.
        planes: channels of the maps that go out.
        stride: of the first convolution, in time and space.
    """

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        shortcut = None
        if stride != 1 or inputs != planes:
            convolution = nn.Conv3d(inputs, planes, 1, stride=stride, bias=False)
            shortcut = nn.Sequential(convolution, nn.BatchNorm3d(planes))
        first = nn.Conv3d(inputs, planes, 3, stride=stride, padding=1, bias=False)
        second = nn.Conv3d(planes, planes, 3, padding=1, bias=False)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(planes), nn.ReLU(inplace=True))
        self.conv2 = nn.Sequential(second, nn.BatchNorm3d(planes))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x inputs x T x H x W to B x planes x T' x H' x W'."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        residual = self.conv2(self.conv1(maps))
        residual += shortcut
        return self.relu(residual)


class ResNet3DStem(Stage):
    """Convolution, BatchNorm, ReLU: clip -> maps."""

    def __init__(self, stem: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.stem = stem

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``maps``."""
        return State({"maps": self.stem(state.tensors["clip"])})


class ResNet3DBlock(Stage):
    """One residual block: maps -> maps."""

    def __init__(self, block: nn.Module, batch_norm: BatchNorm) -> None:
        super().__init__(batch_norm)
        self.block = block

    def forward(self, state: State) -> State:
        """Map ``maps`` to ``maps``."""
        return State({"maps": self.block(state.tensors["maps"])})


class ResNet3DReadout(nn.Module):
    """The end of the network: maps -> Features.

    Pooled over time and space, per frame (mean over space), and as they are.

    Args:
        pool: maps over time and space.
        classifier: of what is pooled. None: there is none, and no parameters.
    """

    def __init__(self, pool: nn.Module, classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.pool = pool
        self.classifier = classifier or nn.Identity()

    def forward(self, state: State) -> Features:
        """Map ``maps`` to Features of width C, or of as many as there are classes if pooled."""
        maps: Tensor = state.tensors["maps"]
        return Features(
            pooled=self.classifier(self.pool(maps).flatten(1)),
            frames=maps.mean(dim=(3, 4)).transpose(1, 2),
            tokens=maps.permute(0, 2, 3, 4, 1),
        )


def from_torchvision(
    network: nn.Module, batch_norm: BatchNorm, has_classifier: bool = False
) -> EncoderNetwork:
    """Arrange a torchvision ``VideoResNet`` as stages, which share its parameters.

    Args:
        network: of torchvision.
        batch_norm: which statistics BatchNorm uses.
        has_classifier: whether the classifier ``fc`` is a part of the readout, or left out.
    """
    blocks: list[nn.Module] = []
    for number in (1, 2, 3, 4):
        blocks += network.get_submodule(f"layer{number}").children()
    stem = network.get_submodule("stem")
    classifier = network.get_submodule("fc") if has_classifier else None
    readout = ResNet3DReadout(network.get_submodule("avgpool"), classifier)
    return _stages(stem, blocks, readout, batch_norm)


def small(planes: list[int], strides: list[int], batch_norm: BatchNorm) -> EncoderNetwork:
    """Build a small network of the family, initialised as torchvision's networks are.

    Its stem is the family's (3 x 7 x 7), but halves time as well as space.

    Args:
        planes: of each block.
        strides: of each block.
        batch_norm: which statistics BatchNorm uses.
    """
    stem = nn.Sequential(
        nn.Conv3d(3, planes[0], (3, 7, 7), stride=(2, 2, 2), padding=(1, 3, 3), bias=False),
        nn.BatchNorm3d(planes[0]),
        nn.ReLU(inplace=True),
    )
    inputs = [planes[0], *planes[:-1]]
    blocks = [BasicBlock(*shape) for shape in zip(inputs, planes, strides, strict=True)]
    network = _stages(stem, blocks, ResNet3DReadout(nn.AdaptiveAvgPool3d(1)), batch_norm)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _stages(
    stem: nn.Module, blocks: list[nn.Module], readout: nn.Module, batch_norm: BatchNorm
) -> EncoderNetwork:
    network = EncoderNetwork(
        ResNet3DStem(stem, batch_norm),
        [ResNet3DBlock(block, batch_norm) for block in blocks],
        readout,
    )
    return network.train()
