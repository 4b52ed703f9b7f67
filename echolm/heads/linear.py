"""One linear layer: the plain linear probe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class LinearHead(Head):
    """One linear layer. Echo-Vision-FM's code has it beside the perceptron (``mlp-bn``)."""

    name: Literal["linear"] = "linear"

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs."""
        from torch import nn

        return nn.Sequential(nn.Linear(width, math.prod(outputs)), nn.Unflatten(1, outputs))
