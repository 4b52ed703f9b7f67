"""The multilayer perceptron head (NLDL 2026 §3.1: three fully connected layers, ReLU, dropout)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class MLP(Head):
    """Three linear layers. Widths and dropout rate are not in the paper: the defaults are ours."""

    name: Literal["mlp"] = "mlp"
    width: Annotated[int, Field(ge=1)] = 256
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs.

        There is no activation at the end: coordinates are in [0, 1] by training alone.
        """
        from torch import nn

        return nn.Sequential(
            nn.Linear(width, self.width),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.width, self.width),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.width, math.prod(outputs)),
            nn.Unflatten(1, outputs),
        )
