"""ViT-B/16 (Dosovitskiy et al. 2021) frame by frame, torchvision's network; ImageNet weights by file (NLDL 2026)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder, Published

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class ViTB16(Encoder):
    """Twelve transformer blocks; the frames' class tokens after the last LayerNorm, averaged over frames (NLDL 2026
    §3.1)."""

    frames: ClassVar[int] = 16
    size: ClassVar[int] = 224
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-1"
    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)
    blocks: ClassVar[int] = 12
    width: ClassVar[int] = 768
    gives: ClassVar[tuple[str, ...]] = ("pooled", "frames", "tokens")
    published: ClassVar[dict[str, Published]] = {
        "imagenet": Published(
            file="vit_b_16-c867db91.pth",
            origin="https://download.pytorch.org/models/vit_b_16-c867db91.pth",
            licence="BSD-3-Clause (torchvision)",
            sha256="c867db91",
        )
    }

    name: Literal["vit-b-16"] = "vit-b-16"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The network without its classifier. A checkpoint has torchvision's keys, the classifier's among them."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.vit import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.vit_b_16(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network)
