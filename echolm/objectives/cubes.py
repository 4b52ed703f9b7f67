"""Clips as cubes of pixels, and back."""

from __future__ import annotations

import torch
from torch import Tensor

Shape = tuple[int, int, int]

SMALLEST = 1e-6
"""Added to the standard deviation of a cube, as VideoMAE does."""


def to_cubes(clips: Tensor, cube: Shape) -> Tensor:
    """Cut clips into cubes.

    Args:
        clips: B x C x T x H x W.
        cube: frames, height and width of a cube.

    Returns:
        B x N x P x C. Cubes are in the order (t, h, w), and so are the P pixels of a cube.
    """
    batch, channels, frames, height, width = clips.shape
    grid = (frames // cube[0], height // cube[1], width // cube[2])
    split = clips.reshape(batch, channels, grid[0], cube[0], grid[1], cube[1], grid[2], cube[2])
    ordered = split.permute(0, 2, 4, 6, 3, 5, 7, 1)
    count = grid[0] * grid[1] * grid[2]
    return ordered.reshape(batch, count, cube[0] * cube[1] * cube[2], channels)


def to_clips(cubes: Tensor, grid: Shape, cube: Shape) -> Tensor:
    """Put clips together again.

    Args:
        cubes: B x N x P x C, as ``to_cubes`` gives them.
        grid: how many cubes there are along time, height and width.
        cube: frames, height and width of a cube.

    Returns:
        B x C x T x H x W.
    """
    batch, channels = len(cubes), cubes.shape[-1]
    split = cubes.reshape(batch, *grid, *cube, channels)
    ordered = split.permute(0, 7, 1, 4, 2, 5, 3, 6)
    size = [count * length for count, length in zip(grid, cube, strict=True)]
    return ordered.reshape(batch, channels, *size)


def statistics(cubes: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each cube and channel, B x N x 1 x C.

    The deviation is the unbiased one, and ``SMALLEST`` is added to it.
    """
    mean = cubes.mean(dim=2, keepdim=True)
    deviation = cubes.var(dim=2, keepdim=True, unbiased=True).sqrt() + SMALLEST
    return mean, deviation


def normalised(cubes: Tensor) -> Tensor:
    """Give each cube and channel the mean 0 and the deviation 1. A flat one becomes 0."""
    mean, deviation = statistics(cubes)
    return (cubes - mean) / deviation


def pick(tensor: Tensor, places: Tensor) -> Tensor:
    """Return the rows of each sample at its places.

    Args:
        tensor: B x N x ...
        places: int64 B x M.

    Returns:
        B x M x ...
    """
    rest = tensor.shape[2:]
    index = places.reshape(*places.shape, *[1] * len(rest)).expand(*places.shape, *rest)
    return torch.gather(tensor, 1, index)
