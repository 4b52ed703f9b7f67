"""Cross attention of one learned query over tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from echolm.encoders.base import Features

INITIAL_STD = 0.02
"""Standard deviation of the query at the start, as of the tokens that transformers learn."""


class CrossAttention(nn.Module):
    """Scaled dot-product attention from queries to tokens, with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Map B x Q x width and B x N x width to B x Q x width."""
        keys, values = self.key_value(tokens).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            self._by_head(self.query(queries)), self._by_head(keys), self._by_head(values)
        )
        joined: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return joined

    def _by_head(self, x: Tensor) -> Tensor:
        """Map B x N x width to B x heads x N x width of a head."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class AttentiveProbe(nn.Module):
    """One learned query, a block of cross attention and a perceptron, a linear layer.

    Args:
        width: of the tokens.
        heads: of the attention.
        hidden: width of the perceptron's hidden layer.
        outputs: shape of the outputs of a sample.
    """

    def __init__(self, width: int, heads: int, hidden: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.query = nn.Parameter(INITIAL_STD * torch.randn(1, 1, width))
        self.norm_tokens = nn.LayerNorm(width)
        self.attention = CrossAttention(width, heads)
        self.norm = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.last = nn.Linear(width, math.prod(outputs))
        self.outputs = outputs

    def forward(self, features: Features) -> Tensor:
        """Map Features with tokens B x T x H x W x width to B x *outputs."""
        assert features.tokens is not None
        tokens = self.norm_tokens(features.tokens.flatten(1, 3))
        pooled = self.query.repeat(len(tokens), 1, 1)
        pooled = pooled + self.attention(pooled, tokens)
        pooled = pooled + self.perceptron(self.norm(pooled))
        return self.last(pooled[:, 0]).unflatten(1, self.outputs)
