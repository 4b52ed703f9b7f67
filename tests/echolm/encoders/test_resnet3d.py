"""The block of small 3D residual networks is torchvision's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from echolm.encoders.families.resnet3d import BasicBlock
from echolm.encoders.torchvision_compat import import_torchvision

_resnet = import_torchvision().models.video.resnet


def torchvisions(inputs: int, planes: int, stride: int) -> nn.Module:
    """torchvision's block, with the shortcut that its networks give it."""
    shortcut = None
    if stride != 1 or inputs != planes:
        convolution = nn.Conv3d(inputs, planes, 1, stride=stride, bias=False)
        shortcut = nn.Sequential(convolution, nn.BatchNorm3d(planes))
    block: nn.Module = _resnet.BasicBlock(inputs, planes, _resnet.Conv3DSimple, stride, shortcut)
    return block


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 8, 1), (4, 4, 2), (4, 8, 2)])
def test_a_block_equals_torchvisions_to_the_bit(shape: tuple[int, int, int]) -> None:
    """First weights of a seed, names, outputs, gradients and statistics."""
    blocks = []
    for kind in (BasicBlock, torchvisions):
        torch.manual_seed(0)
        blocks.append(kind(*shape))
    own, reference = blocks
    torch.testing.assert_close(own.state_dict(), reference.state_dict(), rtol=0, atol=0)
    assert [*dict(own.named_modules())] == [*dict(reference.named_modules())]

    maps = torch.randn(2, 4, 4, 6, 6)
    outputs = [block(maps.clone()) for block in blocks]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for name, parameter in own.named_parameters():
        assert torch.equal(parameter.grad, reference.get_parameter(name).grad), name
    torch.testing.assert_close(own.state_dict(), reference.state_dict(), rtol=0, atol=0)
