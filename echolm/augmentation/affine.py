"""Affine maps of clips and their points, composed with the resize into one sampling of the stored pixels.

A map is a 2 x 3 matrix on frame coordinates: -1 and 1 are the edges of the frame, so pixel centre x of W lies at
(2x + 1) / W - 1 whatever the resolution, and a map needs no knowledge of sizes. It takes input to output positions.
Where the target is smaller than the frame, k = ceil(frame / size) samples a pixel and axis are averaged: every
stored pixel counts, fine detail does not alias, and pixel centres stay where the points say they are.
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
    """Maps (B, 2, 3) that fill the frame with the boxes (B, 4): left, top, width, height as fractions of the frame."""
    corner, extent = box[:, :2], box[:, 2:]
    maps = np.zeros((len(box), 2, 3))
    maps[:, [0, 1], [0, 1]] = 1 / extent
    maps[:, :, 2] = -(2 * corner + extent - 1) / extent
    return maps


def shift_scale_rotate(shift: np.ndarray, scale: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Maps (B, 2, 3): rotate about the frame's centre by ``angle`` (B,) degrees, counter-clockwise as displayed,
    magnify by ``scale`` (B,), then move by ``shift`` (B, 2), fractions of the frame's width and height."""
    cosine, sine = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    maps = np.stack([cosine, sine, 2 * shift[:, 0], -sine, cosine, 2 * shift[:, 1]], axis=-1)
    return maps.reshape(-1, 2, 3)


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The maps (B, 2, 3) of ``first`` followed by ``second``."""
    both: np.ndarray = second[:, :, :2] @ first
    both[:, :, 2] += second[:, :, 2]
    return both


def resize(clips: Tensor, points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """B x T x H x W clips -> float32 B x T x size x size (bilinear; edge pixels continue outwards by half a pixel),
    and B x N x 2 points from pixels of H x W to pixels of size x size. New tensors."""
    return _resize(clips, size), _move(points, np.tile(IDENTITY, (len(points), 1, 1)), clips, size)


def warp(clips: Tensor, points: Tensor, maps: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
    """Like ``resize``, after the maps (B, 2, 3, float64). What comes from outside the frame is black (0); the
    outermost half pixel of the frame fades into it. A sample whose map is the identity is exactly as ``resize`` gives.
    """
    groups = _alike(maps, clips.device)
    if len(groups) == 1:
        out = _pixels(clips, maps, size)
    else:
        out = _empty((*clips.shape[:2], size, size), clips.device)
        for rows in groups:
            out[rows] = _pixels(clips[rows], maps[rows], size)
    return out, _move(points, maps, clips, size)


def _alike(maps: np.ndarray, device: torch.device) -> list[Any]:
    """Rows to work on at once, all moved or none: on a CPU clip by clip, since a clip stays in the cache."""
    if device.type == "cpu":
        return [slice(row, row + 1) for row in range(len(maps))]
    moved = (maps != IDENTITY).any((1, 2))
    return [np.flatnonzero(rows) for rows in (~moved, moved) if rows.any()]


def _pixels(clips: Tensor, maps: np.ndarray, size: int) -> Tensor:
    """Of clips that are all moved, or none."""
    return _sample(clips, maps, size) if (maps != IDENTITY).any() else _resize(clips, size)


def _empty(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """float32. On a CPU by numpy, which asks the system for huge pages: the first write to a small page of new memory
    interrupts the process, and together they take longer than sampling."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)


def _resize(clips: Tensor, size: int) -> Tensor:
    if not len(clips):
        return clips.new_empty((*clips.shape[:2], size, size), dtype=torch.float32)
    factor = _factor(clips, size)
    frames = clips.to(torch.float32, copy=True)
    if clips.shape[-2:] != (size * factor, size * factor):
        frames = F.interpolate(frames, (size * factor, size * factor), mode="bilinear", align_corners=False)
    return F.avg_pool2d(frames, factor) if factor > 1 else frames


def _sample(clips: Tensor, maps: np.ndarray, size: int) -> Tensor:
    """Frames as channels: one grid a sample. The grid is made without matrix products, which lower-precision
    settings (TF32, autocast) would round to a tenth of a pixel."""
    factor = _factor(clips, size)
    inverse = _inverse(maps)
    a, b, c, d, e, f = _tensor(inverse.reshape(-1, 6).T, clips).view(6, -1, 1, 1)
    centres = (torch.arange(size * factor, dtype=torch.float32, device=clips.device) * 2 + 1) / (size * factor) - 1
    x, y = centres[None, None, :], centres[None, :, None]
    grid = torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)
    frames = F.grid_sample(clips.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(frames, factor) if factor > 1 else frames


def _move(points: Tensor, maps: np.ndarray, clips: Tensor, size: int) -> Tensor:
    """Points from pixels of the stored frame through ``maps`` to pixels of size x size."""
    extent = points.new_tensor([clips.shape[-1], clips.shape[-2]])
    frame = (2 * points + 1) / extent - 1
    matrix = _tensor(maps, points)
    moved = (matrix[:, None, :, :2] * frame[:, :, None, :]).sum(-1) + matrix[:, None, :, 2]
    return ((moved + 1) * size - 1) / 2


def _inverse(maps: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(maps[:, :, :2])
    return np.concatenate([linear, -linear @ maps[:, :, 2:]], axis=2)


def _factor(clips: Tensor, size: int) -> int:
    """Samples per output pixel and axis: 1 unless the frame is larger than ``size``."""
    largest: int = max(clips.shape[-2:])
    return math.ceil(largest / size)


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    dtype = like.dtype if like.is_floating_point() else torch.float32
    return torch.from_numpy(np.ascontiguousarray(values)).to(device=like.device, dtype=dtype)
