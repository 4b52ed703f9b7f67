"""Fusion: an encoder's ``Features`` become one vector per clip (B x D')."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from echolm.encoders import Encoder
from echolm.registry import Component, Registry

if TYPE_CHECKING:
    from torch import nn


class Fusion(Component):
    """Maps an encoder's Features to a vector."""

    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    """Fields of Features it reads."""

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise ValueError when it cannot stand behind this encoder, which gives what it needs."""

    def width(self, encoder: Encoder) -> int:
        """Return D' of the vector."""
        raise TypeError(f"fusion {self.name} does not implement width")

    def build(self, encoder: Encoder) -> nn.Module:
        """Build a module Features -> B x D'."""
        raise TypeError(f"fusion {self.name} does not implement build")


FUSIONS: Registry[Fusion] = Registry(
    "fusion",
    [
        "echolm.fusion.pooled",
        "echolm.fusion.mean_std",
        "echolm.fusion.token_pooling",
        "echolm.fusion.gated_attention",
        "echolm.fusion.stf_net",
    ],
)
