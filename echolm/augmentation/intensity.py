"""Changes of the gray values of B x T x H x W float32 clips in 0-255: all frames of a clip alike, clamped to 0-255."""

from __future__ import annotations

from torch import Tensor

from echolm.randomness import normal


def linear(clips: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """gain x + offset; ``gain`` (B,), ``offset`` (B,) in gray values."""
    return (clips * _column(gain)).add_(_column(offset)).clamp_(0, 255)


def scale(clips: Tensor, factor: Tensor) -> Tensor:
    """factor x; ``factor`` (B,)."""
    return (clips * _column(factor)).clamp_(0, 255)


def gamma(clips: Tensor, exponent: Tensor) -> Tensor:
    """255 (x / 255) ** exponent; ``exponent`` (B,)."""
    return (clips / 255).pow_(_column(exponent)).mul_(255)


def noise(clips: Tensor, deviation: Tensor, keys: Tensor) -> Tensor:
    """Add normal noise of standard deviation ``deviation`` (B,) gray values: one noise image a clip, drawn on the
    clips' device from its key (int64, B), the same for all its frames."""
    height, width = clips.shape[-2:]
    image = normal(keys, height * width).view(-1, 1, height, width)
    return (clips + image * _column(deviation)).clamp_(0, 255)


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
