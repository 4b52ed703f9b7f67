"""Fused attention of multiscale transformers is torchvision's attention."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from echolm.encoders.families import mvit
from echolm.encoders.families.mvit_attention import MultiscaleAttention
from echolm.encoders.torchvision_compat import import_torchvision

_mvit = import_torchvision().models.video.mvit
GRID = (2, 6, 4)

CASES: dict[str, dict[str, Any]] = {
    "mvit v2": {},
    "pooled queries": {"stride_q": [1, 2, 2], "kernel_q": [3, 3, 3]},
    "as fine keys": {"stride_kv": [1, 1, 1]},
    "coarser queries than keys": {"stride_q": [1, 2, 2], "stride_kv": [1, 1, 1]},
    "keys of all pixels": {"kernel_kv": [], "stride_kv": []},
    "pooled time": {"stride_q": [2, 1, 1], "stride_kv": [2, 2, 2]},
    "residual of the class token": {"residual_with_cls_embed": True},
    "no residual": {"residual_pool": False},
    "no positions": {"rel_pos_embed": False},
    "one head": {"num_heads": 1},
}


def attention(**changes: Any) -> nn.Module:
    """Build torchvision's module with random weights, in double precision."""
    options = {
        "input_size": list(GRID),
        "embed_dim": 8,
        "output_dim": 12,
        "num_heads": 3,
        "kernel_q": [3, 3, 3],
        "kernel_kv": [3, 3, 3],
        "stride_q": [1, 1, 1],
        "stride_kv": [1, 2, 2],
        "residual_pool": True,
        "residual_with_cls_embed": False,
        "rel_pos_embed": True,
    }
    torch.manual_seed(0)
    module: nn.Module = _mvit.MultiscaleAttention(**{**options, **changes}).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_torchvision(case: str) -> None:
    theirs = attention(**CASES[case])
    ours = MultiscaleAttention(copy.deepcopy(theirs))
    inputs = torch.randn(2, 1 + 2 * 6 * 4, 8, dtype=torch.float64)
    expected, grid = theirs(inputs, GRID)
    found, our_grid = ours(inputs, GRID)
    assert our_grid == grid
    assert (found - expected).abs().max() <= 4e-15 * expected.abs().max()

    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name].grad, rtol=1e-11, atol=1e-11, msg=name
        )


def test_names_and_their_order_stay() -> None:
    """Those of checkpoints, of optimisers, and of what dropout draws from."""
    theirs = attention(dropout=0.5)
    ours = MultiscaleAttention(copy.deepcopy(theirs))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [
        name for name, _ in theirs.named_parameters()
    ]
    assert [name for name, _ in ours.named_modules()] == [
        name for name, _ in theirs.named_modules()
    ]


def test_what_evaluation_has_made_serves_training() -> None:
    """An inference tensor could not be saved for a gradient."""
    ours = MultiscaleAttention(attention(num_heads=2, input_size=[3, 4, 4]))
    inputs = torch.randn(1, 1 + 3 * 4 * 4, 8, dtype=torch.float64)
    with torch.inference_mode():
        ours(inputs, (3, 4, 4))
    output: Tensor = ours(inputs, (3, 4, 4))[0]
    output.sum().backward()


def test_a_sample_does_not_depend_on_its_batch() -> None:
    """Cohorts, micro-batches and ranks share a batch differently."""
    network = mvit.small(16, 32, [16, 32], [1, 2], [2, 1], [4, 2], 0.0, 0.0).eval()
    clips = torch.randn(3, 3, 16, 32, 32)
    torch.testing.assert_close(
        network(clips).pooled[1:2], network(clips[1:2]).pooled, rtol=1e-5, atol=1e-6
    )
