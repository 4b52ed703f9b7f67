"""Encoders: one file each.

A file declares what the encoder reads and gives (no torch) and builds its network. The class
attributes are declared in ``Encoder``, so an encoder writes their values alone.

Stages: stem, ordered blocks, readout. Positions count them: 0 the stem, 1..blocks the blocks,
blocks + 1 the readout.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from echolm.registry import Component, Frozen, Registry

if TYPE_CHECKING:
    from echolm.encoders.base import EncoderNetwork


class SeenData(Frozen):
    """Data that weights were trained on."""

    dataset: str
    """Its name in ``echolm.datasets`` where it is one of these, else what it is called."""
    what: str
    """How much of it, and whether test data are in it."""
    source: str
    """Who says so."""


KINETICS = SeenData(
    dataset="kinetics-400",
    what="videos of human actions, its training split",
    source="torchvision; Tong et al. 2022",
)
IMAGENET = SeenData(
    dataset="imagenet-1k", what="photographs, its training split", source="torchvision"
)


class PublishedWeights(Frozen):
    """A published checkpoint. EchoLM never fetches it."""

    file: str
    """Its usual file name."""
    origin: str
    """Where a user gets it."""
    licence: str
    sha256: str = ""
    """The file's SHA-256, or its first digits where no more are known. Empty when none are.

    torchvision's file names carry the first 8.
    """
    seen: tuple[SeenData, ...] = ()
    """What they were trained on, as far as it is known."""


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
    """D of ``Features.pooled``, and of ``frames`` and ``tokens`` without a ``token_width``."""
    token_width: ClassVar[int | None] = None
    """D of ``Features.frames`` and ``tokens`` where a projection gives ``pooled`` another width."""
    token_grid: ClassVar[tuple[int, int, int] | None] = None
    """(T', H', W') of ``Features.tokens`` for clips of ``frames`` and ``size``. None: no tokens."""
    gives: ClassVar[tuple[str, ...]] = ("pooled",)
    """Fields of ``Features`` that are not None."""
    convolutional: ClassVar[bool] = False
    """Whether it is made of convolutions, so that a GPU computes it with channels last."""
    maskable: ClassVar[bool] = False
    """Whether its stem is a ``TokenStem``: a masked autoencoder may drop tokens of ``token_grid``.

    See ``echolm.encoders.base.keep_tokens``.
    """
    attention_maps: ClassVar[bool] = False
    """Whether ``EncoderNetwork.attentions`` gives the maps of its blocks."""
    forward_flops: ClassVar[int | None] = None
    """Operations of one clip in one pass forward, of convolutions and products of matrices.

    A product and its sum are two, as in a run's cost. None: not declared (a plugin).
    """
    published: ClassVar[dict[str, PublishedWeights]] = {}

    @property
    def statistics_over_batch(self) -> bool:
        """Whether its BatchNorm takes its statistics from the batch (``batch_norm: batch``)."""
        return getattr(self, "batch_norm", "frozen") == "batch"

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        """Build the network.

        Args:
            checkpoint: a file of weights. None draws them from the ambient torch generator.
        """
        raise TypeError(f"encoder {self.name} does not implement build")


ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    [
        "echolm.encoders.none",
        "echolm.encoders.tiny_r3d",
        "echolm.encoders.tiny_mvit",
        "echolm.encoders.tiny_videomae",
        "echolm.encoders.tiny_vivit",
        "echolm.encoders.r3d_18",
        "echolm.encoders.mvit_v2_s",
        "echolm.encoders.resnet18_2d",
        "echolm.encoders.vit_b_16",
        "echolm.encoders.echoprime",
        "echolm.encoders.panecho",
        "echolm.encoders.videomae_b",
        "echolm.encoders.videomae_l",
        "echolm.encoders.echo_vision_fm",
        "echolm.encoders.vivit_b",
        "echolm.encoders.echofm_l",
        "echolm.encoders.tiny_echofm",
    ],
)
