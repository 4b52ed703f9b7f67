"""Mean or maximum over all tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.encoders import Encoder
from echolm.fusion import FUSIONS, Fusion

if TYPE_CHECKING:
    from torch import nn


@FUSIONS.register
class TokenPooling(Fusion):
    """``Features.tokens``, their mean or their maximum in each place of the vector.

    It is for encoders whose own pooled vector is another: a class token, or the other of the two.
    Echo-Vision-FM's text implies the mean, and its released code takes the maximum.
    """

    needs = ("tokens",)

    name: Literal["token-pooling"] = "token-pooling"
    pooling: Literal["mean", "max"] = "mean"

    def width(self, encoder: Encoder) -> int:
        """Return the width of a token."""
        return encoder.token_width or encoder.width

    def build(self, encoder: Encoder) -> nn.Module:
        """Build Features -> B x D."""
        from torch import nn

        takes_maximum = self.pooling == "max"

        class PoolTokens(nn.Module):
            def forward(self, features):  # type: ignore[no-untyped-def]
                tokens = features.tokens.flatten(1, -2)
                return tokens.amax(dim=1) if takes_maximum else tokens.mean(dim=1)

        return PoolTokens()
