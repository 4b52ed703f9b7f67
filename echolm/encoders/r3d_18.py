"""R3D-18 (Tran et al. 2018): torchvision's network, Kinetics-400 weights (NLDL 2026 Table 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, Encoder, PublishedWeights

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class R3D18(Encoder):
    """Eight residual blocks."""

    frames = 16
    size = 224
    scale = "0-1"
    mean = (0.43216, 0.394666, 0.37645)
    std = (0.22803, 0.22145, 0.216989)
    blocks = 8
    width = 512
    token_grid = (2, 14, 14)
    gives = ("pooled", "frames", "tokens")
    convolutional = True
    forward_flops = 325_570_789_376
    published = {
        "kinetics400": PublishedWeights(
            file="r3d_18-b3b3357e.pth",
            origin="https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
            licence="BSD-3-Clause (torchvision)",
            sha256="b3b3357e",
        )
    }

    name: Literal["r3d-18"] = "r3d-18"
    batch_norm: Literal["frozen", "batch"] = "batch"
    """Which statistics BatchNorm uses.

    ``frozen``: always the stored ones, also where the affine parameters train. ``batch``: those of
    the batch in stages that train.
    """

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without its classifier.

        A checkpoint has torchvision's keys, the classifier's among them.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet3d import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.video.r3d_18(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network, self.batch_norm)
