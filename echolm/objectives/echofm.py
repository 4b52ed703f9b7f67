"""EchoFM's objective (Kim et al., IEEE TMI 2025): reconstruction, and a periodic contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from echolm.encoders import Encoder
from echolm.objectives import OBJECTIVES, Objective
from echolm.objectives.masking import masked_count, masked_pass_flops
from echolm.tasks import Batch, Sample

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn

    from echolm.encoders.base import EncoderNetwork
    from echolm.objectives.echofm_network import EchoFMOutputs
    from echolm.stores.items import Item
    from echolm.training.keyed_dropout import Keys

Variant = Literal["paper", "v2"]
Target = Literal["raw", "normalised"]

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"margin": 1.0, "cycle_weight": 0.0},
    "v2": {"margin": 0.2, "cycle_weight": 1.0},
}
"""What the first release and the rewritten one set. What is written beside a variant comes first.
"""
HEAD_WIDTH = 32
"""Width of a head of the decoder's attention."""
PROJECTOR_HEAD_WIDTH = 64
"""Width of a head of the projector's attention, for encoders that declare no heads."""


@OBJECTIVES.register
class EchoFM(Objective):
    """Reconstruction of masked cubes, and a contrast of the phases of the heart.

    The same places are masked at all times (75 %, so 49 of 196 stay), and the pixels of 8 of 32
    frames are predicted, one in each time slot. A projector makes one vector of the visible tokens
    of each slot. The contrast brings vectors of one phase together:

    ``paper``: the first slot of a clip is the anchor. Positive and negative are drawn among the
    others, by whether their vectors are more alike to it than the mean. A triplet loss compares
    Euclidean distances. A clip without a positive or without a negative counts as 0.

    ``v2``: every slot is an anchor. Positives and negatives are chosen by the pixels that move, and
    the hardest of them by the vectors. A triplet loss compares cosines: its mean is over the valid
    anchors of the whole batch in training, and over those of a clip in evaluation. A cycle term
    brings the vectors' similarities to those of the pixels.
    """

    clips = ("window", "uniform")

    name: Literal["echofm"] = "echofm"
    variant: Variant = "paper"
    ratio: float = Field(default=0.75, gt=0, lt=1)
    """The share of places that is masked, rounded down."""
    target: Target = "normalised"
    """``raw``: pixels in [0, 1]. ``normalised``: with mean 0 and deviation 1 in each cube."""
    target_frames: int = Field(default=8, ge=1)
    """Frames of a clip that are predicted, evenly from the first to the last."""
    margin: float = Field(default=1.0, ge=0)
    """Of the triplet loss: of distances 1 (``paper``), of cosines 0.2 (``v2``)."""
    triplet_weight: float = Field(default=1.0, ge=0)
    cycle_weight: float = Field(default=0.0, ge=0)
    """Weight of the cycle term: 1 in ``v2``, which alone has it."""
    decoder_width: int = Field(default=512, ge=2)
    decoder_depth: int = Field(default=8, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _follow_variant(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        variant = values.get("variant", "paper")
        if not isinstance(variant, str) or variant not in VARIANTS:
            return values
        return {**VARIANTS[variant], **values}

    @field_validator("decoder_width")
    @classmethod
    def _heads_fit(cls, width: int) -> int:
        if width % 2 or (width > HEAD_WIDTH and width % HEAD_WIDTH):
            raise ValueError(
                f"{width} is not a number of heads of {HEAD_WIDTH}; valid: a multiple of "
                f"{HEAD_WIDTH}, or an even number below it"
            )
        return width

    @model_validator(mode="after")
    def _terms_exist(self) -> EchoFM:
        if self.variant == "paper" and self.cycle_weight:
            raise ValueError("cycle_weight: variant paper has no cycle term; valid: 0")
        return self

    @property
    def counts_whole_batch(self) -> bool:
        """Whether the valid anchors of a whole batch are counted before it is learned from."""
        return self.variant == "v2"

    @property
    def decoder_heads(self) -> int:
        """Heads of the decoder's attention: one for each 32 of its width."""
        return max(1, self.decoder_width // HEAD_WIDTH)

    def projector_heads(self, encoder: Encoder) -> int:
        """Return the heads of the projector's attention: those of the encoder's."""
        width = encoder.token_width or encoder.width
        return int(getattr(encoder, "heads", max(1, width // PROJECTOR_HEAD_WIDTH)))

    def pass_flops(self, encoder: Encoder) -> int | None:
        """Return the operations of the encoder's visible tokens and of the decoder."""
        return masked_pass_flops(encoder, self.ratio, self.decoder_width, self.decoder_depth)

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise ValueError for an encoder that cannot run on some of its tokens.

        Also where time slots are too few, where they do not share the predicted frames equally, and
        where nothing would be masked, or all.
        """
        if not encoder.maskable or encoder.token_grid is None:
            raise ValueError(
                f"encoder {encoder.name} cannot run on a part of its tokens; valid: an encoder of "
                "the families of EchoFM and VideoMAE, such as echofm-l or tiny-echofm"
            )
        time, height, width = encoder.token_grid
        places = height * width
        if time < 3:
            raise ValueError(f"encoder {encoder.name} has {time} time slots; valid: at least 3")
        if self.target_frames % time or self.target_frames > encoder.frames:
            raise ValueError(
                f"objective.target_frames: {self.target_frames} of {encoder.frames} frames; valid "
                f"for the {time} time slots of encoder {encoder.name}: a multiple of {time}, at "
                f"most {encoder.frames}"
            )
        if not 0 < masked_count(self.ratio, places) < places:
            raise ValueError(
                f"objective.ratio: {self.ratio} of {places} places of encoder {encoder.name} masks "
                "none or all of them"
            )

    def build_for(self, declared: Encoder, encoder: EncoderNetwork, keys: Keys) -> nn.Module:
        """Build the network: B x 3 x F x H x W -> EchoFMOutputs."""
        from echolm.objectives.echofm_network import EchoFMPretraining

        return EchoFMPretraining(self, declared, encoder, keys)

    def prepare(self, item: Item, frames: int) -> Sample:
        """Return a sample without targets: they are the pixels."""
        return Sample()

    def loss(self, outputs: EchoFMOutputs, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss by sample, and its terms.

        The triplets of ``v2`` are the sum over a sample's anchors, scaled so that the mean over the
        samples of the whole batch is the mean over its valid anchors.
        """
        error = outputs.predicted - outputs.target
        terms = {"reconstruction": error.square().mean(dim=(1, 2))}
        terms["triplet"] = self._triplets(outputs, batch)
        loss = terms["reconstruction"] + self.triplet_weight * terms["triplet"]
        if self.cycle_weight:
            from echolm.objectives.echofm_contrast import cycle_divergence

            terms["cycle"] = cycle_divergence(outputs.prior, outputs.slots)
            loss = loss + self.cycle_weight * terms["cycle"]
        return {"loss": loss, **terms}

    def _triplets(self, outputs: EchoFMOutputs, batch: Batch) -> Tensor:
        from echolm.objectives import echofm_contrast as contrast

        if self.variant == "paper":
            return contrast.first_slot_triplets(outputs.slots, outputs.draws, self.margin)
        by_anchor = contrast.mined_triplets(outputs.prior, outputs.slots, self.margin)
        sums = by_anchor.sum(dim=1)
        if batch.whole is None:
            valid = contrast.valid_anchors(outputs.prior).sum(dim=1)
            return sums / valid.clamp(min=1)
        return sums * (batch.whole.samples / max(batch.whole.count, 1.0))

    def rows(self, outputs: EchoFMOutputs, batch: Batch) -> pa.Table:
        """Return one row a sample: ``prediction`` is its loss, whose ``truth`` is 0."""
        import numpy as np

        from echolm.tasks.value_rows import value_rows

        losses = self.loss(outputs, batch)["loss"].double().cpu().numpy()
        return value_rows(batch.items, "pretraining loss", np.zeros(len(losses)), losses)

    def describe(self) -> dict[str, Any]:
        """Say that the loss has no unit, and that lower is better."""
        return {"loss": {"unit": "", "better": "lower", "range": (0, None)}}
