"""EchoPrime's video encoder (Vukadinovic et al., Nature 2026): MViTv2-S with a projection to 512; weights by file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder, Published

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class EchoPrime(Encoder):
    """Sixteen transformer blocks; the readout is the last LayerNorm, dropout 0.5 and the linear layer 768 -> 512, which
    gives the pooled vector. Frames and tokens are those before the projection.

    The authors pad clips that are too short with zeros after normalisation. A landmark clip always has 16 frames
    (``echolm.data.clips.ed_to_es`` repeats frame numbers), so nothing is padded here.
    """

    frames: ClassVar[int] = 16
    size: ClassVar[int] = 224
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-255"
    mean: ClassVar[tuple[float, float, float]] = (29.110628, 28.076836, 29.096405)
    std: ClassVar[tuple[float, float, float]] = (47.989223, 46.456997, 47.20083)
    blocks: ClassVar[int] = 16
    width: ClassVar[int] = 512
    token_width: ClassVar[int | None] = 768
    gives: ClassVar[tuple[str, ...]] = ("pooled", "frames", "tokens")
    published: ClassVar[dict[str, Published]] = {
        "echoprime": Published(
            file="echo_prime_encoder.pt",
            origin="https://github.com/echonet/EchoPrime/releases/tag/v1.0.0, in model_data.zip",
            licence="Cedars-Sinai Academic Software License (academic use, no redistribution; the README says MIT)",
            sha256="7ca32e8bfde248bd6d8c7e46fdb7440385169af4dc2f416b5de840bdc2e64f3b",
        )
    }

    name: Literal["echoprime"] = "echoprime"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The whole network. A checkpoint has torchvision's keys of MViTv2-S, ``head.1`` being the projection."""
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.mvit import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.video.mvit_v2_s(weights=None, num_classes=self.width)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network, keep_head=True)
