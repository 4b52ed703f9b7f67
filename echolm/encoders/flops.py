"""Counting the operations of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def flop_counter() -> FlopCounterMode:
    """Return a context that counts the operations of convolutions and products of matrices.

    A product and its sum are two. torch's own counter knows the fused attention of GPUs and not
    that of CPUs, so it would count more on one device than on the other.
    """
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    return FlopCounterMode(display=False, custom_mapping=fused)


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *rest: Any, **named: Any
) -> int:
    """Count scores and mixed values, of shapes B x heads x N x width."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])
