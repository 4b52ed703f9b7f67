"""R3D-18 (Tran et al. 2018), torchvision's network; Kinetics-400 weights by file (NLDL 2026 Table 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder, Published

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class R3D18(Encoder):
    """Eight residual blocks. ``batch_norm``: ``frozen`` uses stored statistics always, also where the affine
    parameters train; ``batch`` uses the batch's in stages that train."""

    frames: ClassVar[int] = 16
    size: ClassVar[int] = 224
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-1"
    mean: ClassVar[tuple[float, float, float]] = (0.43216, 0.394666, 0.37645)
    std: ClassVar[tuple[float, float, float]] = (0.22803, 0.22145, 0.216989)
    blocks: ClassVar[int] = 8
    width: ClassVar[int] = 512
    gives: ClassVar[tuple[str, ...]] = ("pooled", "frames", "tokens")
    published: ClassVar[dict[str, Published]] = {
        "kinetics400": Published(
            file="r3d_18-b3b3357e.pth",
            origin="https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
            licence="BSD-3-Clause (torchvision)",
            sha256="b3b3357e",
        )
    }

    name: Literal["r3d-18"] = "r3d-18"
    batch_norm: Literal["frozen", "batch"] = "batch"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The network without its classifier. A checkpoint has torchvision's keys, the classifier's among them."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet3d import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.video.r3d_18(weights=None)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network, self.batch_norm)
