"""Encoders: one file each. A file declares what the encoder reads and gives (no torch) and builds its network.

Stages: stem, ordered blocks, readout. Positions count them: 0 the stem, 1..blocks the blocks, blocks + 1 the readout.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.registry import Component, Frozen, Registry

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


class Published(Frozen):
    """A published checkpoint: its usual file name, where a user gets it, its licence. Never fetched by EchoLM."""

    file: str
    origin: str
    licence: str
    sha256: str = ""
    """The file's SHA-256, or its first digits where no more are known (torchvision: the 8 in the name); "" unknown."""


class Encoder(Component):
    """What an encoder reads, what it gives, and how its network is made."""

    frames: ClassVar[int]
    """Frames of a clip, T."""
    size: ClassVar[int]
    """Height and width in pixels of the frames it reads."""
    scale: ClassVar[Literal["0-1", "0-255"]]
    """Pixel range before ``mean`` and ``std`` are applied."""
    mean: ClassVar[tuple[float, float, float]]
    std: ClassVar[tuple[float, float, float]]
    blocks: ClassVar[int]
    """Number of blocks between stem and readout."""
    width: ClassVar[int]
    """D of ``Features.pooled``, and of ``frames`` and ``tokens`` unless ``token_width`` is another."""
    token_width: ClassVar[int | None] = None
    """D of ``Features.frames`` and ``tokens`` where a projection makes ``pooled`` of another width."""
    gives: ClassVar[tuple[str, ...]] = ("pooled",)
    """Fields of ``Features`` that are not None."""
    published: ClassVar[dict[str, Published]] = {}

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """The network, from the ambient torch generator (``checkpoint`` None) or from a checkpoint file."""
        raise TypeError(f"encoder {self.name} does not implement build")


ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    [
        "echolm.encoders.none",
        "echolm.encoders.tiny_r3d",
        "echolm.encoders.tiny_mvit",
        "echolm.encoders.r3d_18",
        "echolm.encoders.mvit_v2_s",
        "echolm.encoders.resnet18_2d",
        "echolm.encoders.vit_b_16",
        "echolm.encoders.echoprime",
        "echolm.encoders.panecho",
    ],
)
