"""No encoder: for baselines that do not look at pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class NoEncoder(Encoder):
    """Reads one small frame, so that a clip can be prepared as for any encoder, and gives one zero per sample."""

    frames: ClassVar[int] = 1
    size: ClassVar[int] = 16
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-1"
    mean: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    std: ClassVar[tuple[float, float, float]] = (1.0, 1.0, 1.0)
    blocks: ClassVar[int] = 0
    width: ClassVar[int] = 1

    name: Literal["none"] = "none"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """A network without parameters. A checkpoint that holds any is refused."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.blank import blank

        network = blank()
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return network
