"""ResNet-18 (He et al. 2016) frame by frame, torchvision's network; ImageNet weights by file (NLDL 2026)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder, Published

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class ResNet182D(Encoder):
    """Eight residual blocks; per-frame features averaged over frames (NLDL 2026 §3.1). ``batch_norm`` as in ``r3d-18``;
    with ``batch``, statistics are over all frames of the batch."""

    frames: ClassVar[int] = 16
    size: ClassVar[int] = 224
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-1"
    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)
    blocks: ClassVar[int] = 8
    width: ClassVar[int] = 512
    gives: ClassVar[tuple[str, ...]] = ("pooled", "frames", "tokens")
    published: ClassVar[dict[str, Published]] = {
        "imagenet": Published(
            file="resnet18-f37072fd.pth",
            origin="https://download.pytorch.org/models/resnet18-f37072fd.pth",
            licence="BSD-3-Clause (torchvision)",
            sha256="f37072fd",
        )
    }

    name: Literal["resnet18-2d"] = "resnet18-2d"
    batch_norm: Literal["frozen", "batch"] = "batch"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The network without its classifier. A checkpoint has torchvision's keys, the classifier's among them."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet2d import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.resnet18(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network, self.batch_norm)
