"""The multilayer perceptron of Echo-Vision-FM (Zhang et al., Nat Commun 2025)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class BatchNormMLP(Head):
    """Hidden layers of linear, BatchNorm and ReLU, then a linear layer.

    The paper says an MLP and no more. The widths 200 and 100 are those of its code.
    """

    name: Literal["mlp-bn"] = "mlp-bn"
    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (200, 100)
    """Of the hidden layers, in their order."""

    @property
    def statistics_over_batch(self) -> bool:
        """Whether its BatchNorm takes statistics from the batch: always."""
        return True

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs."""
        from torch import nn

        from echolm.heads.vector_norm import VectorNorm

        layers: list[nn.Module] = []
        for hidden in self.widths:
            layers += [nn.Linear(width, hidden), VectorNorm(hidden), nn.ReLU()]
            width = hidden
        layers += [nn.Linear(width, math.prod(outputs)), nn.Unflatten(1, outputs)]
        return nn.Sequential(*layers)
