"""A linear layer behind a BatchNorm: a linear probe that does not depend on the features' scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class LinearBatchNormHead(Head):
    """BatchNorm without parameters of its own, then one linear layer (as MAE's linear probes).

    A linear layer follows, so a scale and a shift would change nothing.
    """

    name: Literal["linear-bn"] = "linear-bn"

    @property
    def statistics_over_batch(self) -> bool:
        """Whether its BatchNorm takes statistics from the batch: always."""
        return True

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs."""
        from torch import nn

        from echolm.heads.vector_norm import VectorNorm

        return nn.Sequential(
            VectorNorm(width, affine=False),
            nn.Linear(width, math.prod(outputs)),
            nn.Unflatten(1, outputs),
        )
