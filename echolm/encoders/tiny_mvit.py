"""A small network of MViTv2-S's family, for tests, demonstrations and dry runs of grids on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class TinyMViT(Encoder):
    """Four transformer blocks, 16 frames of 32 x 32; dropout 0.1, stochastic depth growing from 0 to 0.1."""

    frames: ClassVar[int] = 16
    size: ClassVar[int] = 32
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-1"
    mean: ClassVar[tuple[float, float, float]] = (0.45, 0.45, 0.45)
    std: ClassVar[tuple[float, float, float]] = (0.225, 0.225, 0.225)
    blocks: ClassVar[int] = 4
    width: ClassVar[int] = 64
    gives: ClassVar[tuple[str, ...]] = ("pooled", "frames", "tokens")

    name: Literal["tiny-mvit"] = "tiny-mvit"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The network. A checkpoint has the keys of this network's own state dict."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.mvit import small

        network = small(
            self.frames, self.size, widths=[16, 16, 32, self.width], heads=[1, 1, 2, 4], strides=[2, 2, 1, 1],
            kv_strides=[4, 2, 1, 1], dropout=0.1, stochastic_depth=0.1,
        )
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return network
