"""Counting the operations of networks."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


class FlopCounter(FlopCounterMode):
    """torch's counter, which does not import torch's compiler (see ``without_compiler``)."""

    def __enter__(self) -> FlopCounter:
        """Begin to count."""
        super().__enter__()
        mode: Any = self.mode
        count = inspect.unwrap(type(mode).__torch_dispatch__)
        # torch looks for it on the mode itself first.
        mode.__torch_dispatch__ = count.__get__(mode)
        return self


def flop_counter() -> FlopCounter:
    """Return a context that counts the operations of convolutions and products of matrices.

    A product and its sum are two. torch's own counter knows the fused attention of GPUs and not
    that of CPUs, so it would count more on one device than on the other.
    """
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    return FlopCounter(display=False, custom_mapping=fused)


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *rest: Any, **named: Any
) -> int:
    """Count scores and mixed values, of shapes B x heads x N x width."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])
