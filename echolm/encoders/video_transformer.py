"""What encoders of the family of VideoMAE (Tong et al. 2022) have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import Encoder

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


class VideoTransformer(Encoder):
    """Cubes of a clip become tokens, and every token attends to all others."""

    frames = 16
    gives = ("pooled", "frames", "tokens")
    maskable = True
    attention_maps = True
    heads: ClassVar[int]
    hidden: ClassVar[int]
    """Width within the feed-forward part of a block."""

    final_norm: Literal["tokens", "none", "pooled"] = "tokens"
    """What the last LayerNorm is applied to.

    ``tokens``: each of them, before pooling, as in VideoMAE's pretraining. ``pooled``: the pooled
    vector, as in VideoMAE's fine-tuning. From a file that has none there, it begins as the
    identity. ``none``: there is none.
    """
    pooling: Literal["mean", "max"] = "mean"
    """How tokens become the pooled vector."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    """Positions of the tokens. All published weights have fixed, sinusoidal ones."""

    @property
    def cube(self) -> tuple[int, int, int]:
        """Frames, height and width of a cube in pixels."""
        assert self.token_grid is not None
        time, height, width = self.token_grid
        return self.frames // time, self.size // height, self.size // width

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without decoder and classifier.

        A checkpoint has the keys of the Hugging Face hub (of any version of transformers), of
        VideoMAE's authors, or of this network's own state dict.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families import video_transformer_files as files
        from echolm.encoders.families.video_transformer import video_transformer

        assert self.token_grid is not None
        network = video_transformer(
            grid=self.token_grid,
            cube=self.cube,
            width=self.width,
            heads=self.heads,
            hidden=self.hidden,
            blocks=self.blocks,
            positions=self.positions,
            final_norm=self.final_norm,
            pooling=self.pooling,
        )
        if checkpoint is not None:
            load_state(
                checkpoint,
                network,
                self,
                under=files.CONTAINERS,
                left_out=files.unused_keys(self.final_norm),
                rename=files.own_names,
                optional=r"readout\.norm\..*" if self.final_norm == "pooled" else "",
            )
        return network
