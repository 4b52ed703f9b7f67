"""MViTv2-S (Li et al. 2022): torchvision's network, Kinetics-400 weights (NLDL 2026 Table 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, KINETICS, Encoder, PublishedWeights

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class MViTV2S(Encoder):
    """Sixteen transformer blocks. The pooled vector is the class token after the last LayerNorm."""

    imports = ("torchvision",)
    frames = 16
    size = 224
    scale = "0-1"
    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)
    blocks = 16
    width = 768
    token_grid = (8, 7, 7)
    gives = ("pooled", "frames", "tokens")
    forward_flops = 137_867_681_376
    published = {
        "kinetics400": PublishedWeights(
            file="mvit_v2_s-ae3be167.pth",
            origin="https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth",
            licence="BSD-3-Clause (torchvision)",
            seen=(KINETICS,),
            sha256="ae3be167",
        )
    }

    name: Literal["mvit-v2-s"] = "mvit-v2-s"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without its classifier.

        A checkpoint has torchvision's keys, the classifier's among them.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.mvit import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.video.mvit_v2_s(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network)
