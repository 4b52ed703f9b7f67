"""The encoder's own pooled vector, as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from echolm.encoders import Encoder
from echolm.fusion import FUSIONS, Fusion

if TYPE_CHECKING:
    from torch import nn


@FUSIONS.register
class Pooled(Fusion):
    """``Features.pooled`` (NLDL 2026 §3.1: one pooled embedding per clip)."""

    name: Literal["pooled"] = "pooled"

    def width(self, encoder: Encoder) -> int:
        """Return the encoder's width."""
        return encoder.width

    def build(self, encoder: Encoder) -> nn.Module:
        """Build Features -> B x D."""
        from torch import nn

        class Pool(nn.Module):
            def forward(self, features):  # type: ignore[no-untyped-def]
                return features.pooled

        return Pool()
