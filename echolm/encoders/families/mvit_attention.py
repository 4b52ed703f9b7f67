"""Attention of multiscale vision transformers by torch's fused attention.

MViTv2 adds to the score of a query and a key a bias that is a sum over the axes: of the query and
the key's row, its column, and its time (Li et al. 2022 §4.1). Such a sum is a product of vectors.
So the query is lengthened by its biases of all rows, columns and times, and the key by ones at its
own. Their product is then score and bias in one, and no map of scores has to be kept.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from echolm.encoders.torchvision_compat import import_torchvision

_mvit = import_torchvision().models.video.mvit

Grid = tuple[int, int, int]
MULTIPLE = 8
"""Fused attention on GPUs wants a width of whole multiples."""


class MultiscaleAttention(nn.Module):
    """torchvision's module of that name, whose parts and parameters it takes under their names.

    It gives the same numbers, to rounding.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        for name, parameter in attention.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, part in attention.named_children():
            self.add_module(name, part)
        self.heads: int = attention.num_heads
        self.scale: float = attention.scaler
        self.residual_pool: bool = attention.residual_pool
        self.residual_with_class: bool = attention.residual_with_cls_embed

    def forward(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Map B x (1 + T'H'W') x D on a grid to tokens on the grid of the pooled queries."""
        projected = self.get_submodule("qkv")(tokens)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        key, key_grid = self._pool("pool_k", key, grid)
        value, _ = self._pool("pool_v", value, grid)
        query, grid = self._pool("pool_q", query, grid)

        mixed = self._attend(query, key, value, grid, key_grid)
        if self.residual_pool:
            mixed = self._add_queries(mixed, query)
        joined: Tensor = self.get_submodule("project")(mixed.transpose(1, 2).flatten(2))
        return joined, grid

    def _pool(self, name: str, vectors: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        pool = getattr(self, name, None)
        if pool is None:
            return vectors, grid
        pooled, grid = pool(vectors, grid)
        return pooled, grid

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, grid: Grid, key_grid: Grid
    ) -> Tensor:
        """Mix values B x heads x N x d, by scores and biases."""
        scaled = query * self.scale
        if not hasattr(self, "rel_pos_h"):
            return functional.scaled_dot_product_attention(scaled, key, value, scale=1.0)
        width = value.shape[-1]
        biases = self._biases(query[:, :, 1:], grid, key_grid)
        # Fused attention takes queries, keys and values of one width.
        fill = -(width + biases.shape[-1]) % MULTIPLE
        # The class token has no place: no bias is added for it.
        long_query = torch.cat([scaled, functional.pad(biases, (0, fill, 1, 0))], dim=-1)
        ones = _ones(key_grid, fill, key.dtype, key.device).expand(*key.shape[:2], -1, -1)
        long_key = torch.cat([key, ones], dim=-1)
        long_value = functional.pad(value, (0, long_key.shape[-1] - width))
        mixed = functional.scaled_dot_product_attention(long_query, long_key, long_value, scale=1.0)
        return mixed[..., :width]

    def _biases(self, query: Tensor, grid: Grid, key_grid: Grid) -> Tensor:
        """Compute each query's biases of all times, rows and columns of keys, side by side."""
        query = query.unflatten(2, grid)
        tables = []
        for axis, name in enumerate(("rel_pos_t", "rel_pos_h", "rel_pos_w")):
            queries, keys = grid[axis], key_grid[axis]
            table = _mvit._interpolate(self.get_parameter(name), 2 * max(queries, keys) - 1)
            tables.append(table[_distances(queries, keys, query.device)])
        times, rows, columns = tables
        biases = [
            torch.einsum("bnthwd,tkd->bnthwk", query, times),
            torch.einsum("bnthwd,hkd->bnthwk", query, rows),
            torch.einsum("bnthwd,wkd->bnthwk", query, columns),
        ]
        return torch.cat(biases, dim=-1).flatten(2, 4)

    def _add_queries(self, mixed: Tensor, query: Tensor) -> Tensor:
        if self.residual_with_class:
            return mixed + query
        return torch.cat([mixed[:, :, :1], mixed[:, :, 1:] + query[:, :, 1:]], dim=2)


# Made outside inference mode, in which a tensor is barred from later training.
@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _distances(queries: int, keys: int, device: torch.device) -> Tensor:
    """Compute queries x keys places in a table of relative positions along one axis.

    The coarser of the two is spread over the finer one, as torchvision does it.
    """
    query_step = max(keys / queries, 1.0)
    key_step = max(queries / keys, 1.0)
    from_query = torch.arange(queries, device=device)[:, None] * query_step
    from_key = (torch.arange(keys, device=device)[None, :] + (1.0 - keys)) * key_step
    return (from_query - from_key).long()


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _ones(grid: Grid, fill: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Mark time, row and column of each key by ones: (1 + T'H'W') x (T' + H' + W' + fill).

    The first row, of the class token, is zero.
    """
    marks = torch.zeros(*grid, sum(grid) + fill, dtype=dtype, device=device)
    start = 0
    for axis, length in enumerate(grid):
        eye = torch.eye(length, dtype=dtype, device=device)
        shape = [1, 1, 1, length]
        shape[axis] = length
        marks[..., start : start + length] = eye.view(shape)
        start += length
    return functional.pad(marks.flatten(0, 2), (0, 0, 1, 0))
