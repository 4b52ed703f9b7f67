"""PanEcho's video encoder (Holste et al., JAMA 2025): ConvNeXt-T, then a transformer over images.

Weights are read from a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from echolm.encoders import ENCODERS, Encoder, PublishedWeights, SeenData

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class PanEcho(Encoder):
    """Four ConvNeXt stages and four transformer layers.

    Pooled is the mean over the clip's images.
    """

    imports = ("torchvision",)
    frames = 16
    size = 224
    scale = "0-1"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    blocks = 8
    width = 768
    gives = ("pooled", "frames")
    convolutional = True
    forward_flops = 143_008_555_008
    published = {
        "panecho": PublishedWeights(
            file="panecho.pt",
            origin="https://github.com/CarDS-Yale/PanEcho/releases/tag/v1.0",
            licence="CC BY-NC-SA 4.0 (non-commercial, share alike)",
            seen=(
                SeenData(
                    dataset="private",
                    what="1.2 million videos of 24,405 patients, not published",
                    source="PanEcho, JAMA 2025",
                ),
            ),
        )
    }

    name: Literal["panecho"] = "panecho"
    images: Literal["released", "frames"] = "released"
    """How the images are formed from a clip.

    ``released``: as the published network does, which its weights were trained with. Its reshape
    leaves the axes of channel and time in place: of a gray clip of T frames, image i holds frames
    3i, 3i + 1 and 3i + 2 (modulo T) as its channels. ``frames``: each frame is an image.
    """

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network without its task heads.

        A checkpoint has the published keys, under ``weights`` or bare. The position table, which is
        computed, and the heads of tasks are left out.
        """
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families import frame_transformer
        from echolm.encoders.torchvision_compat import import_torchvision

        convnext = import_torchvision().models.convnext_tiny(weights=None)
        convnext.classifier = convnext.classifier[:-1]
        layers = [frame_transformer.transformer_layer(self.width, heads=8) for _ in range(4)]
        if checkpoint is not None:
            network = frame_transformer.as_published(convnext, layers)
            left_out = r"encoder\.time_encoder\.pe|[^.]+_head\.1\.(weight|bias)"
            load_state(checkpoint, network, self, under="weights", left_out=left_out)
        positions = frame_transformer.sinusoids(self.frames, self.width)
        return frame_transformer.assemble(convnext, layers, positions, self.images)
