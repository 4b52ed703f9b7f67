"""ResNet-18 (He et al. 2016) frame by frame.

torchvision's network with ImageNet weights (NLDL 2026).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, IMAGENET, Encoder, PublishedWeights

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class ResNet182D(Encoder):
    """Eight residual blocks. Features of frames are averaged over frames (NLDL 2026 §3.1)."""

    imports = ("torchvision",)
    frames = 16
    size = 224
    scale = "0-1"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    blocks = 8
    width = 512
    token_grid = (16, 7, 7)
    gives = ("pooled", "frames", "tokens")
    convolutional = True
    forward_flops = 58_033_963_008
    published = {
        "imagenet": PublishedWeights(
            file="resnet18-f37072fd.pth",
            origin="https://download.pytorch.org/models/resnet18-f37072fd.pth",
            licence="BSD-3-Clause (torchvision)",
            seen=(IMAGENET,),
            sha256="f37072fd",
        )
    }

    name: Literal["resnet18-2d"] = "resnet18-2d"
    batch_norm: Literal["frozen", "batch"] = "batch"
    """As in ``r3d-18``. With ``batch``, statistics are over all frames of the batch."""

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without its classifier.

        A checkpoint has torchvision's keys, the classifier's among them.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet2d import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.resnet18(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network, self.batch_norm)
