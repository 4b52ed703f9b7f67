"""A module with a constant output."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConstantHead(nn.Module):
    """Gives ``mean`` for every row. It has no parameters.

    The mean is NaN until ``begin`` or a state dict sets it.
    """

    mean: Tensor

    def __init__(self, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full(outputs, torch.nan))

    def begin(self, mean: Tensor) -> None:
        """Set the output.

        Args:
            mean: *outputs.

        Raises:
            RuntimeError: for another shape.
        """
        if mean.shape != self.mean.shape:
            raise RuntimeError(
                f"mean of shape {tuple(mean.shape)} for outputs of shape {tuple(self.mean.shape)}"
            )
        self.mean.copy_(mean)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x anything to B x *outputs."""
        return self.mean.expand(len(x), *self.mean.shape)
