"""A small network of R3D-18's family, for tests, demonstrations and dry runs of grids on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class TinyR3D(Encoder):
    """Four residual blocks, 16 frames of 32 x 32. ``batch_norm`` as in ``r3d-18``."""

    frames: ClassVar[int] = 16
    size: ClassVar[int] = 32
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-1"
    mean: ClassVar[tuple[float, float, float]] = (0.45, 0.45, 0.45)
    std: ClassVar[tuple[float, float, float]] = (0.225, 0.225, 0.225)
    blocks: ClassVar[int] = 4
    width: ClassVar[int] = 64
    gives: ClassVar[tuple[str, ...]] = ("pooled", "frames", "tokens")

    name: Literal["tiny-r3d"] = "tiny-r3d"
    batch_norm: Literal["frozen", "batch"] = "batch"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The network. A checkpoint has the keys of this network's own state dict."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet3d import small

        network = small(planes=[8, 16, 32, self.width], strides=[1, 2, 2, 1], batch_norm=self.batch_norm)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return network
