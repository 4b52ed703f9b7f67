"""Fixed positions of tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoids(length: int, width: int) -> Tensor:
    """Compute length x width fixed positions (Vaswani et al. 2017 §3.5), as VideoMAE has them.

    Sine stands in even places, cosine in odd ones. Angles are float64, since the last of 1,568
    tokens would lose three digits in float32. The result is float32.
    """
    return sinusoids_at(torch.arange(length), width)


def sinusoids_at(numbers: Tensor, width: int) -> Tensor:
    """Compute what ``sinusoids`` has at these places, as at the real numbers of frames.

    Args:
        numbers: of any shape (...).
        width: of the positions.

    Returns:
        (..., width) float32.
    """
    # Column 2i and column 2i + 1 turn at the same rate.
    columns = torch.arange(width, device=numbers.device)
    periods = 10_000.0 ** ((columns // 2 * 2).double() / width)
    angles = numbers.double()[..., None] / periods
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos()).float()


def grid_sinusoids(grid: tuple[int, int, int], width: int) -> Tensor:
    """Compute fixed positions of the places of a grid, as the package positional-encodings does.

    The first third of the columns says where a place is along the first axis, and so on. A third is
    ceil(width / 6) x 2 columns. What is too much is cut off at the end.

    Returns:
        (*grid, width) float32.
    """
    third = 2 * -(-width // 6)
    parts = []
    for axis, length in enumerate(grid):
        shape = [1, 1, 1, third]
        shape[axis] = length
        parts.append(sinusoids(length, third).view(shape).expand(*grid, third))
    return torch.cat(parts, dim=3)[..., :width]
