"""Changes of the gray values of B x T x H x W float32 clips in 0-255.

All frames of a clip change alike. Values are clamped to 0-255.
"""

from __future__ import annotations

from torch import Tensor

from echolm.randomness import normal


def linear(clips: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Compute gain x + offset, with ``gain`` (B,) and ``offset`` (B,) in gray values."""
    changed = clips * _column(gain)
    return changed.add_(_column(offset)).clamp_(0, 255)


def scale(clips: Tensor, factor: Tensor) -> Tensor:
    """Compute factor x, with ``factor`` (B,)."""
    changed = clips * _column(factor)
    return changed.clamp_(0, 255)


def gamma(clips: Tensor, exponent: Tensor) -> Tensor:
    """Compute 255 (x / 255) ** exponent, with ``exponent`` (B,)."""
    changed = clips / 255
    return changed.pow_(_column(exponent)).mul_(255)


def noise(clips: Tensor, deviation: Tensor, keys: Tensor) -> Tensor:
    """Add normal noise: one noise image a clip, the same for all its frames.

    Args:
        clips: what it is added to. It is drawn on their device.
        deviation: (B,) standard deviation in gray values.
        keys: int64, B. Each clip's image is drawn from its key.
    """
    height, width = clips.shape[-2:]
    image = normal(keys, height * width).view(-1, 1, height, width)
    changed = clips + image * _column(deviation)
    return changed.clamp_(0, 255)


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
