"""Image networks on clips: frames are folded into the batch.

A sample's frames follow one another there.
"""

from __future__ import annotations

from torch import Tensor, nn


def frames_of(clip: Tensor) -> Tensor:
    """Turn B x C x T x H x W into B x T x C x H x W."""
    return clip.transpose(1, 2)


def per_frame(module: nn.Module, frames: Tensor) -> Tensor:
    """Apply a module for images to each frame.

    Args:
        module: it sees B * T rows.
        frames: B x T x ...

    Returns:
        B x T x ...
    """
    rows: Tensor = module(frames.flatten(0, 1))
    return rows.unflatten(0, frames.shape[:2])
