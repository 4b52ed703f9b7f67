"""Linear heads, the perceptron with BatchNorm, and the start that a task gives them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from echolm.heads import HEADS
from echolm.heads.vector_norm import VectorNorm

NAMES = ["linear", "linear-bn", "mlp-bn"]
SHAPES = [(1,), (5,), (2, 40, 2)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outputs", SHAPES)
def test_shapes(name: str, outputs: tuple[int, ...]) -> None:
    head = HEADS.parse(name).build(12, outputs)
    for batch in (4, 1):
        assert head(torch.randn(batch, 12)).shape == (batch, *outputs)
    assert head.eval()(torch.randn(0, 12)).shape == (0, *outputs)


def test_linear_is_torch_s() -> None:
    head = HEADS.parse("linear").build(12, (2, 3))
    x = torch.randn(4, 12)
    plain = nn.functional.linear(x, head[0].weight, head[0].bias).view(4, 2, 3)  # type: ignore[index]
    assert torch.equal(head(x), plain)


def test_a_shift_and_a_scale_of_the_features_change_nothing_behind_batch_norm() -> None:
    head = HEADS.parse("linear-bn").build(12, (1,))
    x = torch.randn(64, 12)
    torch.testing.assert_close(head(x), head(50 * x + 7), atol=1e-3, rtol=1e-3)


def test_the_paper_s_perceptron() -> None:
    head = HEADS.parse("mlp-bn").build(768, (1,))
    kinds = [type(layer).__name__ for layer in head.children()]
    hidden = ["Linear", "VectorNorm", "ReLU"]
    assert kinds == [*hidden, *hidden, "Linear", "Unflatten"]
    shapes = [tuple(layer.weight.shape) for layer in head.modules() if isinstance(layer, nn.Linear)]
    assert shapes == [(200, 768), (100, 200), (1, 100)]


def test_batch_norm_takes_a_batch_of_one_by_its_stored_statistics() -> None:
    norm, plain = VectorNorm(6), nn.BatchNorm1d(6)
    for _ in range(3):
        x = 3 + 2 * torch.randn(8, 6)
        assert torch.equal(norm(x), plain(x))
    one = torch.randn(1, 6)
    stored = norm.running_mean.clone()  # type: ignore[union-attr]
    torch.testing.assert_close(norm(one), plain.eval()(one))
    assert torch.equal(norm.running_mean, stored)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_statistics_over_the_batch_are_declared(name: str) -> None:
    head = HEADS.parse(name)
    module = head.build(4, (1,))
    has_norm = any(isinstance(layer, nn.BatchNorm1d) for layer in module.modules())
    assert head.statistics_over_batch == has_norm


@pytest.mark.parametrize("name", [*NAMES, "mlp"])
@pytest.mark.parametrize("outputs", SHAPES)
def test_a_start_is_the_bias_of_the_last_layer(name: str, outputs: tuple[int, ...]) -> None:
    """So features that are zero give it. Nothing else of the module changes."""
    head = HEADS.parse(name)
    module = head.build(12, outputs)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    start = torch.rand(outputs, dtype=torch.float64)
    head.begin(module, start)
    after = module.state_dict()
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert len(changed) == 1 and changed[0].endswith("bias")
    assert torch.equal(after[changed[0]], start.float().flatten())
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
    assert linear.out_features == math.prod(outputs)
    assert torch.equal(linear(torch.zeros(1, linear.in_features))[0], start.float().flatten())


def test_a_module_without_a_last_layer_of_that_size_starts_as_it_is_built() -> None:
    head = HEADS.parse("linear")
    for module in (nn.Identity(), nn.Linear(3, 2), nn.Linear(3, 1, bias=False)):
        before = [parameter.clone() for parameter in module.parameters()]
        head.begin(module, torch.ones(1))
        pairs = zip(before, module.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("widths", [[], [0], [200, -1]])
def test_impossible_widths_are_refused(widths: list[int]) -> None:
    with pytest.raises(ValueError, match="widths"):
        HEADS.parse({"name": "mlp-bn", "widths": widths})
