"""What encoders of EchoFM's kind (Kim et al., IEEE TMI 2025) have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from echolm.encoders import Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


class EchoFMEncoder(Encoder):
    """Cubes of a clip become tokens, and every token attends to all others and a class token.

    It reads 32 frames. Of a shorter clip each frame is repeated, as evenly as 32 allow. Pixels are
    in [0, 1] without mean and standard deviation. ``pooled`` is the mean over tokens.
    """

    frames = 32
    scale = "0-1"
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    gives = ("pooled", "frames", "tokens")
    maskable = True
    attention_maps = True
    heads: ClassVar[int]
    hidden: ClassVar[int]
    """Width within the feed-forward part of a block."""

    @property
    def cube(self) -> tuple[int, int, int]:
        """Frames, height and width of a cube in pixels."""
        assert self.token_grid is not None
        time, height, width = self.token_grid
        return self.frames // time, self.size // height, self.size // width

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without decoder and projector.

        A checkpoint has the keys of the authors' files, with or without those of decoder and
        projector, or of this network's own state dict.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families import echofm_files as files
        from echolm.encoders.families.echofm import echofm_network

        assert self.token_grid is not None
        network = echofm_network(
            grid=self.token_grid,
            cube=self.cube,
            width=self.width,
            heads=self.heads,
            hidden=self.hidden,
            blocks=self.blocks,
        )
        if checkpoint is not None:
            load_state(
                checkpoint,
                network,
                self,
                under=files.CONTAINER,
                left_out=files.UNUSED,
                rename=files.own_names,
            )
        return network
