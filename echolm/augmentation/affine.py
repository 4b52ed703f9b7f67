"""Affine maps of clips and their points.

They are composed with the resize into one sampling of the stored pixels.

A map is a 2 x 3 matrix on frame coordinates: -1 and 1 are the edges of the frame, so pixel centre x
of W lies at (2x + 1) / W - 1 whatever the resolution, and a map needs no knowledge of sizes. It
takes input to output positions. Where the target is smaller than the frame, k = ceil(frame / size)
samples a pixel and axis are averaged: every stored pixel counts, fine detail does not alias, and
pixel centres stay where the points say they are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

IDENTITY = np.eye(2, 3)


def crop(box: np.ndarray) -> np.ndarray:
    """Return maps (B, 2, 3) that fill the frame with boxes.

    Args:
        box: (B, 4), left, top, width, height as fractions of the frame.
    """
    corner, extent = box[:, :2], box[:, 2:]
    centre = 2 * corner + extent - 1
    maps = np.zeros((len(box), 2, 3))
    maps[:, [0, 1], [0, 1]] = 1 / extent
    maps[:, :, 2] = -centre / extent
    return maps


def shift_scale_rotate(shift: np.ndarray, scale: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return maps (B, 2, 3) that rotate about the frame's centre, magnify, and then move.

    Args:
        shift: (B, 2), fractions of the frame's width and height.
        scale: (B,).
        angle: (B,) degrees, counter-clockwise as displayed.
    """
    radians = np.radians(angle)
    cosine = scale * np.cos(radians)
    sine = scale * np.sin(radians)
    x, y = 2 * shift.T
    maps = np.stack([cosine, sine, x, -sine, cosine, y], axis=-1)
    return maps.reshape(-1, 2, 3)


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the maps (B, 2, 3) of ``first`` followed by ``second``."""
    both: np.ndarray = second[:, :, :2] @ first
    both[:, :, 2] += second[:, :, 2]
    return both


def resize(clips: Tensor, points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Resize clips and points, into new tensors.

    Sampling is bilinear. Edge pixels continue outwards by half a pixel.

    Args:
        clips: B x T x H x W.
        points: B x N x 2, in pixels of H x W.
        size: of the new frames.

    Returns:
        B x T x size x size float32, and B x N x 2 in pixels of size x size.
    """
    unmoved = np.tile(IDENTITY, (len(points), 1, 1))
    return _resize(clips, size), _move(points, unmoved, clips, size)


def warp(clips: Tensor, points: Tensor, maps: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
    """Move clips and points by the maps (B, 2, 3, float64), and resize them as ``resize`` does.

    What comes from outside the frame is black (0). The outermost half pixel of the frame fades into
    it. A sample whose map is the identity is exactly as ``resize`` gives.
    """
    moved_points = _move(points, maps, clips, size)
    groups = _alike(maps, clips.device)
    if len(groups) == 1:
        return _pixels(clips, maps, size), moved_points
    frames = _empty((*clips.shape[:2], size, size), clips.device)
    for rows in groups:
        frames[rows] = _pixels(clips[rows], maps[rows], size)
    return frames, moved_points


def _alike(maps: np.ndarray, device: torch.device) -> list[Any]:
    """List the rows to work on at once, all moved or none.

    On a CPU it goes clip by clip, since a clip stays in the cache.
    """
    if device.type == "cpu":
        return [slice(row, row + 1) for row in range(len(maps))]
    moved = (maps != IDENTITY).any((1, 2))
    groups = [np.flatnonzero(~moved), np.flatnonzero(moved)]
    return [rows for rows in groups if len(rows)]


def _pixels(clips: Tensor, maps: np.ndarray, size: int) -> Tensor:
    """Sample clips that are all moved, or none."""
    if (maps != IDENTITY).any():
        return _sample(clips, maps, size)
    return _resize(clips, size)


def _empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Allocate float32.

    On a CPU numpy does it, which asks the system for huge pages. The first write to a small page of
    new memory interrupts the process, and together they take longer than sampling.
    """
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)


def _resize(clips: Tensor, size: int) -> Tensor:
    if not len(clips):
        return clips.new_empty((*clips.shape[:2], size, size), dtype=torch.float32)
    factor = _factor(clips, size)
    side = size * factor
    frames = clips.to(torch.float32, copy=True)
    if clips.shape[-2:] != (side, side):
        frames = F.interpolate(frames, (side, side), mode="bilinear", align_corners=False)
    return _averaged(frames, factor)


def _averaged(frames: Tensor, factor: int) -> Tensor:
    """Average factor x factor samples."""
    if factor == 1:
        return frames
    return F.avg_pool2d(frames, factor)


def _sample(clips: Tensor, maps: np.ndarray, size: int) -> Tensor:
    """Sample moved clips. Frames are channels: there is one grid a sample.

    The grid is made without matrix products, which lower-precision settings (TF32, autocast) would
    round to a tenth of a pixel.
    """
    factor = _factor(clips, size)
    side = size * factor
    inverse = _inverse(maps).reshape(-1, 6)
    a, b, c, d, e, f = _tensor(inverse.T, clips).view(6, -1, 1, 1)
    pixels = torch.arange(side, dtype=torch.float32, device=clips.device)
    centres = (pixels * 2 + 1) / side - 1
    x = centres[None, None, :]
    y = centres[None, :, None]
    grid = torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)
    frames = F.grid_sample(
        clips.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return _averaged(frames, factor)


def _move(points: Tensor, maps: np.ndarray, clips: Tensor, size: int) -> Tensor:
    """Move points from pixels of the stored frame through ``maps`` to pixels of size x size."""
    height, width = clips.shape[-2:]
    extent = points.new_tensor([width, height])
    frame = (2 * points + 1) / extent - 1
    matrix = _tensor(maps, points)[:, None]
    turned = (matrix[..., :2] * frame[:, :, None, :]).sum(-1)
    moved = turned + matrix[..., 2]
    return ((moved + 1) * size - 1) / 2


def _inverse(maps: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(maps[:, :, :2])
    shift = -linear @ maps[:, :, 2:]
    return np.concatenate([linear, shift], axis=2)


def _factor(clips: Tensor, size: int) -> int:
    """Return the samples per output pixel and axis: 1 unless the frame is larger than ``size``."""
    largest: int = max(clips.shape[-2:])
    return math.ceil(largest / size)


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    dtype = like.dtype if like.is_floating_point() else torch.float32
    return torch.from_numpy(np.ascontiguousarray(values)).to(device=like.device, dtype=dtype)
