"""The baseline that predicts the mean of the training targets for every clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class Mean(Head):
    """What any trained model must beat. Nothing trains; outputs of any shape."""

    starts_from_mean: ClassVar[bool] = True

    name: Literal["mean"] = "mean"

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """B x width -> B x *outputs, all rows equal. ``begin(mean)`` sets them."""
        from echolm.heads.constant import Constant

        return Constant(outputs)
