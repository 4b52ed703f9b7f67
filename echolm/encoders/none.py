"""No encoder: for baselines that do not look at pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class NoEncoder(Encoder):
    """Reads one small frame and gives one zero per sample.

    So a clip can be prepared as for any encoder.
    """

    frames = 1
    size = 16
    scale = "0-1"
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    blocks = 0
    width = 1
    forward_flops = 0

    name: Literal["none"] = "none"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build a network without parameters. A checkpoint that holds any is refused."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.blank import blank

        network = blank()
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return network
