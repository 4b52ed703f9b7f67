"""The attentive probe: a learned query looks at all tokens of the encoder once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from echolm.heads import HEADS, Head

if TYPE_CHECKING:
    from torch import nn


@HEADS.register
class AttentiveHead(Head):
    """One block of cross attention with one learned query, then a linear layer.

    It is the probe of depth 1 that V-JEPA (Bardes et al. 2024) and EchoJEPA (2026) evaluate frozen
    encoders with. It reads tokens, so it is for encoders that give some, and no fusion is used.
    """

    takes: ClassVar[Literal["vector", "features"]] = "features"
    needs: ClassVar[tuple[str, ...]] = ("tokens",)

    name: Literal["attentive"] = "attentive"
    heads: Annotated[int, Field(ge=1)] = 8
    """Of the attention. They divide the width of the tokens."""
    expansion: Annotated[float, Field(gt=0)] = 4.0
    """Width of the block's hidden layer, in widths of the tokens."""

    def check_width(self, width: int) -> None:
        """Raise ValueError unless the attention's heads divide the width of the tokens."""
        if width % self.heads:
            divisors = [heads for heads in range(1, 17) if width % heads == 0]
            raise ValueError(
                f"head.heads: {self.heads} do not divide tokens of width {width}; "
                f"valid: {', '.join(map(str, divisors))}, ..."
            )

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build Features -> B x *outputs. ``width`` is that of the tokens."""
        from echolm.heads.cross_attention import AttentiveProbe

        return AttentiveProbe(width, self.heads, round(self.expansion * width), outputs)
