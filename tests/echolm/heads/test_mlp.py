"""The multilayer perceptron head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from echolm.heads import HEADS
from echolm.heads.mlp import MLP


@pytest.mark.parametrize("outputs", [(2, 40, 2), (1,), (3,), (1, 5, 2)])
def test_shapes(outputs: tuple[int, ...]) -> None:
    head = MLP().build(12, outputs)
    assert head(torch.randn(4, 12)).shape == (4, *outputs)
    assert head(torch.randn(0, 12)).shape == (0, *outputs)


def test_three_layers_of_the_configured_width() -> None:
    head = HEADS.parse({"name": "mlp", "width": 32, "dropout": 0.3}).build(512, (2, 40, 2))
    shapes = []
    rates = set()
    for module in head.modules():
        if isinstance(module, nn.Linear):
            shapes.append(tuple(module.weight.shape))
        if isinstance(module, nn.Dropout):
            rates.add(module.p)
    assert shapes == [(32, 512), (32, 32), (160, 32)]
    assert rates == {0.3}


def test_parameter_count_of_the_default() -> None:
    head = MLP().build(512, (2, 40, 2))
    count = sum(parameter.numel() for parameter in head.parameters())
    assert count == (512 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 160


def test_outputs_are_not_bounded() -> None:
    """Landmarks may lie outside the frame after augmentation; no sigmoid."""
    head = MLP().build(4, (1,)).eval()
    assert head(1e4 * torch.randn(50, 4)).abs().max() > 1


@pytest.mark.parametrize("field", [{"width": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"depth": 4}])
def test_impossible_fields_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        MLP(**field)
