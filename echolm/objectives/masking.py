"""Kinds of masks, and how much they mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from echolm.encoders import Encoder

Mask = Literal["random", "tube", "batch-shared"]


def masked_count(ratio: float, count: int) -> int:
    """Return how many of ``count`` tokens are masked: 1,332 of 1,568 at 85 %."""
    return int(ratio * count + 1e-9)


def masked_pass_flops(encoder: Encoder, ratio: float, width: int, depth: int) -> int | None:
    """Return the operations of a masked autoencoder of one clip in one pass forward.

    The encoder's are taken in proportion to the tokens that it sees. The decoder sees all of them:
    24 w^2 of products a token and block, and 4 n w of attention.

    Args:
        encoder: the encoder.
        ratio: the share of tokens that is masked.
        width: of the decoder.
        depth: of the decoder.

    Returns:
        None where the encoder declares none, or no tokens.
    """
    if encoder.forward_flops is None or encoder.token_grid is None:
        return encoder.forward_flops
    time, height, across = encoder.token_grid
    tokens = time * height * across
    decoder = depth * tokens * (24 * width**2 + 4 * tokens * width)
    return round((1 - ratio) * encoder.forward_flops) + decoder
