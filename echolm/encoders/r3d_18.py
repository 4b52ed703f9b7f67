"""R3D-18 (Tran et al. 2018): torchvision's network, Kinetics-400 weights (NLDL 2026 Table 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from echolm.encoders import ENCODERS, KINETICS, Encoder, PublishedWeights
from echolm.identity import Neutral

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork

FEATURES = 512
CLASSES = 400
"""Of Kinetics."""


@ENCODERS.register
class R3D18(Encoder):
    """Eight residual blocks."""

    imports = ("torchvision",)
    frames = 16
    size = 224
    scale = "0-1"
    mean = (0.43216, 0.394666, 0.37645)
    std = (0.22803, 0.22145, 0.216989)
    blocks = 8
    token_width = 512
    token_grid = (2, 14, 14)
    gives = ("pooled", "frames", "tokens")
    convolutional = True
    published = {
        "kinetics400": PublishedWeights(
            file="r3d_18-b3b3357e.pth",
            origin="https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
            licence="BSD-3-Clause (torchvision)",
            seen=(KINETICS,),
            sha256="b3b3357e",
        )
    }

    name: Literal["r3d-18"] = "r3d-18"
    batch_norm: Literal["frozen", "batch"] = "batch"
    """Which statistics BatchNorm uses.

    ``frozen``: always the stored ones, also where the affine parameters train. ``batch``: those of
    the batch in stages that train.
    """
    vector: Annotated[Literal["pooled", "logits"], Neutral("pooled")] = "pooled"
    """What the pooled vector of a clip is.

    ``pooled``: the 512 features, averaged over time and space. ``logits``: the 400 outputs of the
    classifier of Kinetics, which Echo-Vision-FM's released code takes for features. The classifier
    is a part of the readout then.
    """

    @property
    def width(self) -> int:  # type: ignore[override]
        """Return D of the pooled vector."""
        return CLASSES if self.vector == "logits" else FEATURES

    @property
    def forward_flops(self) -> int:  # type: ignore[override]
        """Return the operations of one clip in one pass forward."""
        classifier = 2 * FEATURES * CLASSES if self.vector == "logits" else 0
        return 325_570_789_376 + classifier

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network, without its classifier where ``vector`` is ``pooled``.

        A checkpoint has torchvision's keys, the classifier's among them.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet3d import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.video.r3d_18(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network, self.batch_norm, self.vector == "logits")
