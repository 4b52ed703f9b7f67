"""Attention rollout (Abnar and Zuidema 2020), by the rule of Echo-Vision-FM's Figure 3."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

DISCARDED = 0.9
"""The share of a block's map that is set to 0: its lowest values."""


def rollout(maps: Iterable[Tensor], discarded: float = DISCARDED) -> Tensor:
    """Follow attention through all blocks.

    Of a block's maps the minimum over heads is taken, and the lowest of it are set to 0, but never
    the first value of the map. The identity is added for the residual, and rows are made to sum to
    1. The result is the product of the blocks, the last one leftmost.

    Args:
        maps: of each block from the first on, B x heads x N x N.
        discarded: the share of each map that is set to 0.

    Returns:
        B x N x N. Row n says how much of token n comes from each token of the stem.
    """
    rolled: Tensor | None = None
    for block in maps:
        kept = _without_lowest(block.amin(dim=1), discarded)
        identity = torch.eye(kept.shape[1], dtype=kept.dtype, device=kept.device)
        mixed = (kept + identity) / 2
        mixed = mixed / mixed.sum(dim=2, keepdim=True)
        rolled = mixed if rolled is None else mixed @ rolled
    assert rolled is not None
    return rolled


def _without_lowest(maps: Tensor, discarded: float) -> Tensor:
    """Set the lowest values of each map B x N x N to 0, but never the first of a map."""
    flat = maps.flatten(1).clone()
    first = flat[:, 0].clone()
    lowest = flat.topk(int(flat.shape[1] * discarded), dim=1, largest=False, sorted=False).indices
    flat.scatter_(1, lowest, 0.0)
    flat[:, 0] = first
    return flat.view_as(maps)
