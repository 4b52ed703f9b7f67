"""EchoPrime's video encoder (Vukadinovic et al., Nature 2026): MViTv2-S with a projection to 512.

Weights are read from a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, Encoder, PublishedWeights, SeenData

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class EchoPrime(Encoder):
    """Sixteen transformer blocks.

    The readout is the last LayerNorm, dropout 0.5 and the linear layer 768 -> 512, which gives the
    pooled vector. Frames and tokens are those before the projection.

    The authors pad clips that are too short with zeros after normalisation. A landmark clip always
    has 16 frames (``echolm.stores.sampling.ed_to_es`` repeats frame numbers), so nothing is padded
    here.
    """

    imports = ("torchvision",)
    frames = 16
    size = 224
    scale = "0-255"
    mean = (29.110628, 28.076836, 29.096405)
    std = (47.989223, 46.456997, 47.20083)
    blocks = 16
    width = 512
    token_width = 768
    token_grid = (8, 7, 7)
    gives = ("pooled", "frames", "tokens")
    forward_flops = 137_868_467_808
    published = {
        "echoprime": PublishedWeights(
            file="echo_prime_encoder.pt",
            origin="https://github.com/echonet/EchoPrime/releases/tag/v1.0.0, in model_data.zip",
            licence="Cedars-Sinai Academic Software License "
            "(academic use, no redistribution; the README says MIT)",
            sha256="7ca32e8bfde248bd6d8c7e46fdb7440385169af4dc2f416b5de840bdc2e64f3b",
            seen=(
                SeenData(
                    dataset="private",
                    what="over 12 million videos with reports of 108,913 patients, not published",
                    source="EchoPrime, Nature 2026",
                ),
            ),
        )
    }

    name: Literal["echoprime"] = "echoprime"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the whole network.

        A checkpoint has torchvision's keys of MViTv2-S. Its ``head.1`` is the projection.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.mvit import from_torchvision
        from echolm.encoders.torchvision_compat import import_torchvision

        network = import_torchvision().models.video.mvit_v2_s(weights=None, num_classes=self.width)
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return from_torchvision(network, keep_head=True)
