"""The baseline that predicts the mean of the training targets for every clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class MeanHead(Head):
    """What any trained model must beat. Nothing trains. Outputs may have any shape."""

    starts_from_mean = True

    name: Literal["mean"] = "mean"

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs, all rows equal. ``begin(mean)`` sets them."""
        from echolm.heads.constant import ConstantHead

        return ConstantHead(outputs)
