"""The module behind the faulty heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Before(nn.Module):
    """Calls ``act`` with the number of samples in each training step."""

    def __init__(self, act: Callable[[int], Any]) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """x, after the call."""
        if self.training:
            self.act(len(x))
        return x
