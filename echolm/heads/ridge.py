"""Ridge regression on frozen features, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class RidgeHead(Head):
    """The linear map of least squared error and ``alpha`` times its squared norm (no bias in it).

    It is fitted before the first epoch, in one pass over the training clips as they are, without
    augmentation. Nothing trains, so the run ends after one epoch. It is scikit-learn's ``Ridge``.
    The encoder must be frozen, and the task one of numbers: values, or landmarks.
    """

    closed_form: ClassVar[bool] = True

    name: Literal["ridge"] = "ridge"
    alpha: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the penalty. Features and outputs are taken as they are, not standardised."""

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build B x width -> B x *outputs, float64. It gives NaN until it is fitted."""
        from echolm.heads.least_squares import LeastSquares

        return LeastSquares(width, outputs, self.alpha)
