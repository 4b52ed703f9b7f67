"""Video transformers with joint space-time attention (VideoMAE, Tong et al. 2022) as stages.

A clip is cut into cubes, each becomes a token, and every token attends to all others. State between
stages: ``tokens`` B x N x D in the order (t, h, w), with positions added by the stem. Its metadata
``grid`` is (T', H', W'). Blocks do not care how many tokens there are, or which: a masked
autoencoder drops some between stem and blocks (``echolm.encoders.base.keep_tokens``).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from echolm.encoders.base import EncoderNetwork, Features, State, TokenStem
from echolm.encoders.families.positions import sinusoids

FinalNorm = Literal["tokens", "none", "pooled"]
Pooling = Literal["mean", "max"]
Positions = Literal["sinusoidal", "learned"]
EPSILON = 1e-12
"""Of each LayerNorm over tokens, as in the configurations of the Hugging Face hub.

The authors' code has 1e-6.
"""
POOLED_EPSILON = 1e-5
"""Of the LayerNorm over the pooled vector, as in transformers. The authors' code has 1e-6."""


class VideoTransformerStem(TokenStem):
    """Tokens of cubes, and their positions: clip -> tokens.

    Args:
        grid: how many cubes there are along time, height and width.
        cube: frames, height and width of a cube in pixels.
        width: D of a token.
        positions: ``sinusoidal``: fixed. ``learned``: parameters.
    """

    positions: Tensor

    def __init__(
        self,
        grid: tuple[int, int, int],
        cube: tuple[int, int, int],
        width: int,
        positions: Positions,
    ) -> None:
        super().__init__(grid, cube, width)
        self.cubes = nn.Conv3d(3, width, cube, stride=cube)
        # As a linear layer of the flattened cube, which it is.
        nn.init.xavier_uniform_(self.cubes.weight.view(width, -1))
        assert self.cubes.bias is not None
        nn.init.zeros_(self.cubes.bias)
        length = grid[0] * grid[1] * grid[2]
        if positions == "learned":
            self.positions = nn.Parameter(torch.empty(1, length, width))
            nn.init.trunc_normal_(self.positions, std=0.02)
        else:
            self.register_buffer("positions", sinusoids(length, width)[None], persistent=False)

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``tokens``."""
        cubes: Tensor = self.cubes(state.tensors["clip"])
        tokens = cubes.flatten(2).transpose(1, 2) + self.positions
        return State({"tokens": tokens}, {"grid": tuple(cubes.shape[2:])})


class Attention(nn.Module):
    """Self-attention over the tokens of a clip.

    Keys have no bias: it would add one number to all scores of a query, which softmax removes.

    Args:
        width: D of a token.
        heads: among which D is divided.
        biases: whether queries and values have biases.
    """

    def __init__(self, width: int, heads: int, biases: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width)) if biases else None
        self.v_bias = nn.Parameter(torch.zeros(width)) if biases else None
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map B x N x D to B x N x D. No map of attention is kept."""
        query, key, value = self._project(tokens)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self._join(mixed)

    def explain(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what ``forward`` gives, and the maps B x heads x N x N.

        Row n of a map says how much token n takes of each token. It sums to 1.
        """
        query, key, value = self._project(tokens)
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        maps = scores.softmax(dim=-1)
        return self._join(maps @ value), maps

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute queries, keys and values, each B x heads x N x (D / heads)."""
        bias = None
        if self.q_bias is not None and self.v_bias is not None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        projected = functional.linear(tokens, self.qkv.weight, bias)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def _join(self, mixed: Tensor) -> Tensor:
        joined: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return joined


class VideoTransformerBlock(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and beside a residual: tokens -> tokens.

    Args:
        width: D of a token.
        heads: of the attention.
        hidden: width within the feed-forward part.
        biases: whether queries and values have biases.
        epsilon: of each LayerNorm.
        gelu: ``none``: the exact one. ``tanh``: its approximation.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        biases: bool = True,
        epsilon: float = EPSILON,
        gelu: str = "none",
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.attention = Attention(width, heads, biases)
        self.feed_norm = nn.LayerNorm(width, eps=epsilon)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate=gelu), nn.Linear(hidden, width)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, state: State) -> State:
        """Map ``tokens`` to ``tokens``, of which there may be any number."""
        tokens = state.tensors["tokens"]
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return self._feed(state, tokens)

    def explain(self, state: State) -> tuple[State, Tensor]:
        """Compute what ``forward`` gives, and the attention maps B x heads x N x N."""
        tokens = state.tensors["tokens"]
        mixed, maps = self.attention.explain(self.attention_norm(tokens))
        return self._feed(state, tokens + mixed), maps

    def _feed(self, state: State, tokens: Tensor) -> State:
        tokens = tokens + self.feed_forward(self.feed_norm(tokens))
        return State({**state.tensors, "tokens": tokens}, state.meta)


class VideoTransformerReadout(nn.Module):
    """The end of the network: tokens -> Features.

    Pooled is the mean or maximum over tokens. Frames are the tokens' mean over space. Of a masked
    clip pooled is that of the kept tokens, ``tokens`` are B x M x D, and there are no frames.

    Args:
        width: D of a token.
        final_norm: what the last LayerNorm is applied to. ``tokens``: each of them, before pooling
            (VideoMAE's pretraining). ``pooled``: the pooled vector (VideoMAE's fine-tuning, where
            it is called ``fc_norm``). ``none``: there is none.
        pooling: over tokens.
    """

    def __init__(self, width: int, final_norm: FinalNorm, pooling: Pooling) -> None:
        super().__init__()
        self.norm: nn.Module = nn.Identity()
        if final_norm != "none":
            epsilon = POOLED_EPSILON if final_norm == "pooled" else EPSILON
            self.norm = nn.LayerNorm(width, eps=epsilon)
        self.final_norm = final_norm
        self.pooling = pooling

    def forward(self, state: State) -> Features:
        """Map ``tokens`` to Features."""
        tokens: Tensor = state.tensors["tokens"]
        if self.final_norm == "tokens":
            tokens = self.norm(tokens)
        pooled = tokens.amax(dim=1) if self.pooling == "max" else tokens.mean(dim=1)
        if self.final_norm == "pooled":
            pooled = self.norm(pooled)
        if "kept" in state.tensors:
            return Features(pooled, tokens=tokens)
        grid = tokens.unflatten(1, state.meta["grid"])
        return Features(pooled, frames=grid.mean(dim=(2, 3)), tokens=grid)


def video_transformer(
    grid: tuple[int, int, int],
    cube: tuple[int, int, int],
    width: int,
    heads: int,
    hidden: int,
    blocks: int,
    positions: Positions = "sinusoidal",
    biases: bool = True,
    final_norm: FinalNorm = "tokens",
    pooling: Pooling = "mean",
) -> EncoderNetwork:
    """Build a network of the family. Its arguments are those of its stages."""
    stem = VideoTransformerStem(grid, cube, width, positions)
    layers: list[nn.Module] = []
    for _ in range(blocks):
        layers.append(VideoTransformerBlock(width, heads, hidden, biases))
    return EncoderNetwork(stem, layers, VideoTransformerReadout(width, final_norm, pooling))
