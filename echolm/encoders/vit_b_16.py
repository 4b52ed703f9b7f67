"""ViT-B/16 (Dosovitskiy et al. 2021) frame by frame.

torchvision's network with ImageNet weights (NLDL 2026).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, IMAGENET, Encoder, PublishedWeights

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class ViTB16(Encoder):
    """Twelve transformer blocks.

    The frames' class tokens after the last LayerNorm are averaged over frames (NLDL 2026 §3.1).
    """

    imports = ("torchvision",)
    frames = 16
    size = 224
    scale = "0-1"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    blocks = 12
    width = 768
    token_grid = (16, 14, 14)
    gives = ("pooled", "frames", "tokens")
    forward_flops = 562_017_927_168
    published = {
        "imagenet": PublishedWeights(
            file="vit_b_16-c867db91.pth",
            origin="https://download.pytorch.org/models/vit_b_16-c867db91.pth",
            licence="BSD-3-Clause (torchvision)",
            seen=(IMAGENET,),
            sha256="c867db91",
        )
    }

    name: Literal["vit-b-16"] = "vit-b-16"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without its classifier.

        A checkpoint has torchvision's keys, the classifier's among them.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.vit import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.vit_b_16(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network)
