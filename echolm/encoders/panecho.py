"""PanEcho's video encoder (Holste et al., JAMA 2025): ConvNeXt-T, then a transformer over images; weights by file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.encoders import ENCODERS, Encoder, Published

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


@ENCODERS.register
class PanEcho(Encoder):
    """Four ConvNeXt stages and four transformer layers; pooled is the mean over the clip's images.

    ``images``: ``released`` forms them as the published network does, which its weights were trained with: its reshape
    leaves the axes of channel and time in place, so that of a gray clip of T frames image i holds frames 3i, 3i + 1 and
    3i + 2 (modulo T) as its channels. ``frames`` takes each frame as an image.
    """

    frames: ClassVar[int] = 16
    size: ClassVar[int] = 224
    scale: ClassVar[Literal["0-1", "0-255"]] = "0-1"
    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)
    blocks: ClassVar[int] = 8
    width: ClassVar[int] = 768
    gives: ClassVar[tuple[str, ...]] = ("pooled", "frames")
    published: ClassVar[dict[str, Published]] = {
        "panecho": Published(
            file="panecho.pt",
            origin="https://github.com/CarDS-Yale/PanEcho/releases/tag/v1.0",
            licence="CC BY-NC-SA 4.0 (non-commercial, share alike)",
        )
    }

    name: Literal["panecho"] = "panecho"
    images: Literal["released", "frames"] = "released"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The network without its task heads. A checkpoint has the published keys, under ``weights`` or bare; the
        position table, which is computed, and the heads of tasks are left out."""
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
