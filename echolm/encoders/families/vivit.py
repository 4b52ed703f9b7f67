"""ViViT with joint space-time attention (Arnab et al. 2021, model 1) as stages.

Blocks are those of the family of VideoMAE. State between stages: ``tokens`` B x (1 + N) x D, the
class token first, then the cubes in the order (t, h, w). Its metadata ``grid`` is (T', H', W').
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.video_transformer import VideoTransformerBlock

Pooling = Literal["class", "pooler", "mean"]
EPSILON = 1e-6
"""Of each LayerNorm, as in the configurations of the Hugging Face hub."""
GELU = "tanh"
"""Its GELU is the approximation by tanh."""


class VivitStem(nn.Module):
    """Tokens of cubes behind a class token, and their positions: clip -> tokens.

    Class token and positions begin at 0, as in transformers.

    Args:
        grid: how many cubes there are along time, height and width.
        cube: frames, height and width of a cube in pixels.
        width: D of a token.
    """

    def __init__(self, grid: tuple[int, int, int], cube: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.cubes = nn.Conv3d(3, width, cube, stride=cube)
        length = 1 + grid[0] * grid[1] * grid[2]
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, length, width))

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``tokens``."""
        cubes: Tensor = self.cubes(state.tensors["clip"])
        tokens = cubes.flatten(2).transpose(1, 2)
        class_token = self.class_token.expand(len(tokens), -1, -1)
        tokens = torch.cat([class_token, tokens], dim=1) + self.positions
        return State({"tokens": tokens}, {"grid": tuple(cubes.shape[2:])})


class VivitReadout(nn.Module):
    """The end of the network: tokens -> Features after the last LayerNorm.

    Frames are the mean over space of the cubes' tokens.

    Args:
        width: D of a token.
        pooling: ``class``: the class token. ``pooler``: a linear layer and tanh of it. ``mean``:
            the mean of the cubes' tokens.
    """

    def __init__(self, width: int, pooling: Pooling) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.pooling = pooling
        self.pooler: nn.Module = nn.Identity()
        if pooling == "pooler":
            dense = nn.Linear(width, width)
            nn.init.xavier_uniform_(dense.weight)
            nn.init.zeros_(dense.bias)
            self.pooler = nn.Sequential(dense, nn.Tanh())

    def forward(self, state: State) -> Features:
        """Map ``tokens`` to Features."""
        tokens: Tensor = self.norm(state.tensors["tokens"])
        cubes = tokens[:, 1:]
        pooled = cubes.mean(dim=1) if self.pooling == "mean" else self.pooler(tokens[:, 0])
        grid = cubes.unflatten(1, state.meta["grid"])
        return Features(pooled, frames=grid.mean(dim=(2, 3)), tokens=grid)


def vivit(
    grid: tuple[int, int, int],
    cube: tuple[int, int, int],
    width: int,
    heads: int,
    hidden: int,
    blocks: int,
    pooling: Pooling,
) -> EncoderNetwork:
    """Build a network of the family. Its arguments are those of its stages."""
    layers: list[nn.Module] = []
    for _ in range(blocks):
        layers.append(VideoTransformerBlock(width, heads, hidden, epsilon=EPSILON, gelu=GELU))
    return EncoderNetwork(VivitStem(grid, cube, width), layers, VivitReadout(width, pooling))
