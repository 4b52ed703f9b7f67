"""Masked autoencoding of clips: predict the pixels of cubes that the encoder does not see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from echolm.encoders import Encoder
from echolm.identity import Neutral
from echolm.objectives import OBJECTIVES, Objective
from echolm.objectives.masking import Mask, masked_count, masked_pass_flops
from echolm.tasks import Batch, Sample

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn

    from echolm.encoders.base import EncoderNetwork
    from echolm.objectives.masked_network import Reconstruction
    from echolm.stores.items import Item
    from echolm.training.keyed_dropout import Keys

Target = Literal["raw", "normalised"]
Recipe = Literal["paper", "released"]

RECIPES: dict[str, dict[str, Any]] = {
    "paper": {"ratio": 0.85, "mask": "random", "target": "raw"},
    "released": {"ratio": 0.15, "mask": "batch-shared", "target": "normalised"},
}
"""What the text and the released code of Echo-Vision-FM (Zhang et al. 2025) do.

The code draws one number a token for the whole batch and masks those above its ratio of 0.85: about
15 %. The decoder is the same.
"""
HEAD_WIDTH = 64
"""Width of a head of the decoder's attention."""


@OBJECTIVES.register
class MaskedAutoencoder(Objective):
    """The mean squared error of the pixels of masked cubes (VideoMAE, Tong et al. 2022).

    The encoder reads the other cubes alone. A decoder of plain transformer blocks adds a mask token
    for each masked cube and predicts its pixels. Only the encoder is used afterwards.

    A mask is drawn from the sample's key: anew in each epoch, and the same one in all validations.
    ``recipe`` stands for the fields that one of ``RECIPES`` gives. Fields that are written beside
    it come first.
    """

    name: Literal["masked-autoencoder"] = "masked-autoencoder"
    recipe: Annotated[Recipe | None, Neutral(None)] = None
    ratio: float = Field(default=0.85, gt=0, lt=1)
    """The share of cubes that is masked, rounded down. Of ``batch-shared`` the probability."""
    mask: Mask = "random"
    """``random``: any cubes. ``tube``: the same places at all times.

    ``batch-shared``: each cube with probability ``ratio``, the same ones for all clips of a step.
    """
    target: Target = "raw"
    """``raw``: pixels in [0, 1]. ``normalised``: with mean 0 and deviation 1 in each cube.

    Where a cube is nearly flat, ``normalised`` makes its noise as large as structure elsewhere.
    """
    decoder_width: int = Field(default=384, ge=2)
    decoder_depth: int = Field(default=4, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _follow_recipe(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("recipe") not in RECIPES:
            return values
        written = {name: value for name, value in values.items() if name != "recipe"}
        return {**RECIPES[values["recipe"]], **written}

    @field_validator("decoder_width")
    @classmethod
    def _heads_fit(cls, width: int) -> int:
        if width % 2 or (width > HEAD_WIDTH and width % HEAD_WIDTH):
            raise ValueError(
                f"{width} is not a number of heads of {HEAD_WIDTH}; valid: a multiple of "
                f"{HEAD_WIDTH}, or an even number below it"
            )
        return width

    @property
    def decoder_heads(self) -> int:
        """Heads of the decoder's attention: one for each 64 of its width."""
        return max(1, self.decoder_width // HEAD_WIDTH)

    def pass_flops(self, encoder: Encoder) -> int | None:
        """Return the operations of the encoder's visible tokens and of the decoder."""
        return masked_pass_flops(encoder, self.ratio, self.decoder_width, self.decoder_depth)

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise ValueError for an encoder that cannot run on some of its tokens.

        Also where nothing would be masked, or all.
        """
        if not encoder.maskable or encoder.token_grid is None:
            raise ValueError(
                f"encoder {encoder.name} cannot run on a part of its tokens; valid: an encoder of "
                "the family of VideoMAE, such as videomae-b or tiny-videomae"
            )
        time, height, width = encoder.token_grid
        count = height * width if self.mask == "tube" else time * height * width
        if not 0 < masked_count(self.ratio, count) < count:
            raise ValueError(
                f"objective.ratio: {self.ratio} of {count} tokens of encoder {encoder.name} masks "
                "none or all of them"
            )

    def build_for(self, declared: Encoder, encoder: EncoderNetwork, keys: Keys) -> nn.Module:
        """Build the network: B x 3 x T x H x W -> Reconstruction."""
        from echolm.objectives.masked_network import MaskedNetwork

        return MaskedNetwork(self, declared, encoder, keys)

    def prepare(self, item: Item, frames: int) -> Sample:
        """Return a sample without targets: they are the pixels."""
        return Sample()

    def loss(self, outputs: Reconstruction, batch: Batch) -> dict[str, Tensor]:
        """Compute the mean squared error over the pixels of a sample's masked cubes."""
        error = outputs.predicted - outputs.target
        return {"loss": error.square().mean(dim=(1, 2))}

    def rows(self, outputs: Reconstruction, batch: Batch) -> pa.Table:
        """Return one row a sample: ``prediction`` is its loss, whose ``truth`` is 0."""
        import numpy as np

        from echolm.tasks.value_rows import value_rows

        losses = self.loss(outputs, batch)["loss"].double().cpu().numpy()
        return value_rows(batch.items, "reconstruction error", np.zeros(len(losses)), losses)

    def describe(self) -> dict[str, Any]:
        """Say that the loss has no unit, and that lower is better."""
        return {"loss": {"unit": "", "better": "lower", "range": (0, None)}}
