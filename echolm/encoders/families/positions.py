"""Fixed positions of tokens."""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoids(length: int, width: int) -> Tensor:
    """Compute length x width fixed positions (Vaswani et al. 2017 §3.5), as VideoMAE has them.

    Sine stands in even places, cosine in odd ones. Angles are float64, since the last of 1,568
    tokens would lose three digits in float32. The result is float32.
    """
    # Column 2i and column 2i + 1 turn at the same rate.
    columns = torch.arange(width) // 2 * 2
    periods = 10_000.0 ** (columns.double() / width)
    angles = torch.arange(length).double()[:, None] / periods
    even = torch.arange(width) % 2 == 0
    return torch.where(even, angles.sin(), angles.cos()).float()
