"""What encoders of the family of ViViT (Arnab et al. 2021) have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import Encoder

if TYPE_CHECKING:
    from torch import Tensor

    from echolm.encoders.base import EncoderNetwork


class VideoViT(Encoder):
    """Cubes of a clip and a class token become tokens, and every token attends to all others."""

    frames = 16
    gives = ("pooled", "frames", "tokens")
    attention_maps = True
    heads: ClassVar[int]
    hidden: ClassVar[int]
    """Width within the feed-forward part of a block."""

    pooling: Literal["class", "pooler", "mean"] = "class"
    """What the pooled vector is.

    ``class``: the class token, which ViViT's classifier reads. ``pooler``: a linear layer and tanh
    of it. Files of classifiers have none, so it begins at random. ``mean``: the mean of all tokens
    but the class token. Echo-Vision-FM's released code reads a fresh pooler for regression, and the
    class token for classification.
    """

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without its classifier.

        A checkpoint has the keys of the Hugging Face hub (of any version of transformers), or of
        this network's own state dict. Of a checkpoint for twice as many frames all is taken but the
        positions, which begin at 0, as where transformers ignores mismatched sizes.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families import vivit_files as files
        from echolm.encoders.families.vivit import vivit

        assert self.token_grid is not None
        time, height, width = self.token_grid
        network = vivit(
            grid=self.token_grid,
            cube=(self.frames // time, self.size // height, self.size // width),
            width=self.width,
            heads=self.heads,
            hidden=self.hidden,
            blocks=self.blocks,
            pooling=self.pooling,
        )
        if checkpoint is None:
            return network

        def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
            return files.own_names(state, network.get_parameter("stem.positions"))

        pooler = r"(vivit\.)?pooler\..*"
        load_state(
            checkpoint,
            network,
            self,
            left_out=files.UNUSED if self.pooling == "pooler" else rf"{files.UNUSED}|{pooler}",
            rename=renamed,
            optional=r"readout\.pooler\..*" if self.pooling == "pooler" else "",
        )
        return network
