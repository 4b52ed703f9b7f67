"""What does not train is in eval mode without gradient.

BatchNorm statistics follow the configuration.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from echolm.encoders import ENCODERS
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.tiny_r3d import TinyR3D
from echolm.encoders.train_modes import set_modes


def modes(stage: nn.Module) -> set[bool]:
    return {module.training for module in stage.modules()}


def norms(module: nn.Module) -> list[nn.BatchNorm3d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm3d)]


def changed_statistics(network: EncoderNetwork, trained: list[int]) -> list[bool]:
    """Check for each stage whether a forward pass in training changed its BatchNorm statistics."""
    set_modes(network, trained, training=True)
    before = copy.deepcopy(network)
    network(torch.randn(2, 3, 16, 32, 32))
    changed = []
    for old, new in zip(before.stages(), network.stages(), strict=True):
        differ = False
        for old_norm, new_norm in zip(norms(old), norms(new), strict=True):
            differ |= not torch.equal(old_norm.running_mean, new_norm.running_mean)
        changed.append(differ)
    return changed


@pytest.mark.parametrize("name", ["tiny-r3d", "tiny-mvit", "tiny-videomae"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trained", [[], [5], [4], [3, 4, 5], [0, 1, 2, 3, 4, 5]])
def test_modes_and_gradients_by_stage(name: str, training: bool, trained: list[int]) -> None:
    network = ENCODERS.parse(name).build(None)
    set_modes(network, range(6), training=not training)
    set_modes(network, trained, training)
    for position, stage in enumerate(network.stages()):
        trains = position in trained
        assert modes(stage) == {training and trains}
        for parameter in stage.parameters():
            assert parameter.requires_grad == trains


def test_gradient_stops_at_the_cut() -> None:
    network = ENCODERS.parse("tiny-mvit").build(None)
    set_modes(network, [3, 4], training=True)
    network(torch.randn(2, 3, 16, 32, 32)).pooled.sum().backward()
    reached = []
    for stage in network.stages():
        reached.append(any(parameter.grad is not None for parameter in stage.parameters()))
    assert reached == [False, False, False, True, True, False]


def test_batch_statistics_are_used_and_kept_only_where_a_stage_trains() -> None:
    network = TinyR3D(batch_norm="batch").build(None)
    assert changed_statistics(network, [3, 4]) == [False, False, False, True, True, False]
    assert changed_statistics(network, [0, 1, 2, 3, 4, 5]) == [True, True, True, True, True, False]


def test_frozen_batch_norm_keeps_its_statistics_and_trains_its_affine_parameters() -> None:
    network = TinyR3D(batch_norm="frozen").build(None)
    assert not any(changed_statistics(network, [0, 1, 2, 3, 4, 5]))
    network(torch.randn(2, 3, 16, 32, 32)).pooled.sum().backward()
    for norm in norms(network):
        assert norm.weight.grad is not None and norm.weight.grad.any()
        assert not norm.training
    assert network.stem.training


@pytest.mark.parametrize("batch_norm", ["frozen", "batch"])
def test_batch_norm_of_copied_stages_follows_the_configuration(batch_norm: str) -> None:
    """A network put together from another's stages, as a cohort's tails are, keeps it.

    So does a plain ``train()``.
    """
    network = TinyR3D(batch_norm=batch_norm).build(None)
    stem, *blocks, readout = copy.deepcopy(network).stages()
    tail = EncoderNetwork(stem, blocks, readout).train()
    for norm in [*norms(network), *norms(tail)]:
        assert norm.training == (batch_norm == "batch")
    tail.eval()
    for norm in norms(tail):
        assert not norm.training


def test_with_frozen_batch_norm_a_sample_does_not_depend_on_its_batch() -> None:
    network = TinyR3D(batch_norm="frozen").build(None).double()
    set_modes(network, range(6), training=True)
    clip = torch.randn(3, 3, 16, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(network(clip).pooled[1:], network(clip[1:]).pooled)


def test_a_position_that_does_not_exist_is_an_error() -> None:
    network = ENCODERS.parse("none").build(None)
    set_modes(network, [0, 1], training=True)
    with pytest.raises(
        ValueError, match=r"positions \[7\] do not exist; the encoder's stages are 0 to 1"
    ):
        set_modes(network, [1, 7], training=True)
