"""Gated attention over all tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from echolm.encoders import Encoder
from echolm.fusion import FUSIONS, Fusion

if TYPE_CHECKING:
    from torch import nn


@FUSIONS.register
class GatedAttention(Fusion):
    """``Features.tokens``, their mean weighted by gated attention (Ilse et al. 2018).

    It is what STF-Net ends its paths in, alone. Encodings are not added to the tokens.
    """

    needs = ("tokens",)

    name: Literal["gated-attention"] = "gated-attention"
    hidden: Annotated[int, Field(ge=1)] = 1024
    """Width within the attention. 1,024 is STF-Net's."""

    def width(self, encoder: Encoder) -> int:
        """Return the width of a token."""
        return encoder.token_width or encoder.width

    def build(self, encoder: Encoder) -> nn.Module:
        """Build Features -> B x D."""
        from echolm.fusion.gated_pooling import TokenGatedPooling

        return TokenGatedPooling(self.width(encoder), self.hidden)
