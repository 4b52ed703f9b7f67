"""STF-Net of Echo-Vision-FM (Zhang et al., Nature Communications 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from echolm.encoders import Encoder
from echolm.fusion import FUSIONS, Fusion

if TYPE_CHECKING:
    from torch import nn


@FUSIONS.register
class STFNet(Fusion):
    """Two paths over the tokens, each of which ends in gated attention.

    The joint path adds encodings of time, row and column to all tokens and passes them through a 3D
    residual block. The disjoint path makes one vector of each time by a 2D residual block and a
    convolution as large as the grid. It adds encodings of the original numbers of the frames. The
    paths' vectors stand beside each other.

    Behind ViT-B it has 126,429,440 parameters, more than the encoder.
    """

    needs = ("tokens",)

    name: Literal["stf-net"] = "stf-net"
    layout: Literal["paper", "released"] = "paper"
    """How axes are moved to where layers want them.

    ``paper``: by permutations, as the text implies. ``released``: as the released code does, which
    reads the same memory in another shape in two places. Behind the 3D block a "token" then mixes
    positions of a few channels. Before the 2D block channels and places are mixed.
    """
    paths: Literal["both", "joint", "disjoint"] = "both"
    """Which paths there are. One alone gives a vector of half the width."""
    hidden: Annotated[int, Field(ge=1)] = 1024
    """Width within the gated attention."""

    @property
    def statistics_over_batch(self) -> bool:
        """Whether its BatchNorm takes statistics from the batch: always."""
        return True

    def check_encoder(self, encoder: Encoder) -> None:
        """Refuse an encoder whose times are not of equally many frames each."""
        assert encoder.token_grid is not None
        times = encoder.token_grid[0]
        if encoder.frames % times:
            raise ValueError(
                f"fusion {self.name}: encoder {encoder.name} makes {times} times of "
                f"{encoder.frames} frames; valid: an encoder whose times are of equally many "
                "frames each, whose numbers are averaged"
            )

    def width(self, encoder: Encoder) -> int:
        """Return the width of a token for each path."""
        paths = 2 if self.paths == "both" else 1
        return paths * (encoder.token_width or encoder.width)

    def build(self, encoder: Encoder) -> nn.Module:
        """Build Features with the context ``frames`` -> B x width."""
        from echolm.fusion.stf_network import DisjointPath, JointPath, STFNetwork

        assert encoder.token_grid is not None
        width = encoder.token_width or encoder.width
        is_permuted = self.layout == "paper"
        paths: list[nn.Module] = []
        if self.paths != "disjoint":
            paths.append(JointPath(encoder.token_grid, width, self.hidden, is_permuted))
        if self.paths != "joint":
            paths.append(DisjointPath(encoder.token_grid, width, self.hidden, is_permuted))
        return STFNetwork(paths)
