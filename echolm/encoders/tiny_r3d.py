"""A small network of the family of R3D-18, for tests, demonstrations and dry runs on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class TinyR3D(Encoder):
    """Four residual blocks, 16 frames of 32 x 32."""

    frames = 16
    size = 32
    scale = "0-1"
    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)
    blocks = 4
    width = 64
    token_grid = (2, 4, 4)
    gives = ("pooled", "frames", "tokens")
    convolutional = True
    forward_flops = 47_415_296

    name: Literal["tiny-r3d"] = "tiny-r3d"
    batch_norm: Literal["frozen", "batch"] = "batch"
    """As in ``r3d-18``."""

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network. A checkpoint has the keys of this network's own state dict."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet3d import small

        network = small(
            planes=[8, 16, 32, self.width], strides=[1, 2, 2, 1], batch_norm=self.batch_norm
        )
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return network
