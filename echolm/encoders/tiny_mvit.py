"""A small network of the family of MViTv2-S, for tests, demonstrations and dry runs on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class TinyMViT(Encoder):
    """Four transformer blocks, 16 frames of 32 x 32.

    Dropout is 0.1. Stochastic depth grows from 0 to 0.1.
    """

    imports = ("torchvision",)
    frames = 16
    size = 32
    scale = "0-1"
    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)
    blocks = 4
    width = 64
    token_grid = (8, 2, 2)
    gives = ("pooled", "frames", "tokens")
    forward_flops = 15_077_376

    name: Literal["tiny-mvit"] = "tiny-mvit"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network. A checkpoint has the keys of this network's own state dict."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.mvit import small

        network = small(
            self.frames,
            self.size,
            widths=[16, 16, 32, self.width],
            heads=[1, 1, 2, 4],
            strides=[2, 2, 1, 1],
            kv_strides=[4, 2, 1, 1],
            dropout=0.1,
            stochastic_depth=0.1,
        )
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return network
