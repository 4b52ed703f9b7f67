"""Image networks on clips: frames are folded into the batch, so that a sample's frames follow one another."""

from __future__ import annotations

from torch import Tensor, nn


def frames_of(clip: Tensor) -> Tensor:
    """B x C x T x H x W -> B x T x C x H x W."""
    return clip.transpose(1, 2)


def per_frame(module: nn.Module, x: Tensor) -> Tensor:
    """Apply a module for images to each frame: B x T x ... -> B x T x ..., folded to B * T rows in between."""
    rows: Tensor = module(x.flatten(0, 1))
    return rows.unflatten(0, x.shape[:2])
