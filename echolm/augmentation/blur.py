"""Blurs of B x T x H x W float32 clips, frame by frame in effect, all frames at once in work. H and W exceed the
kernel's radius."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian(clips: Tensor, kernel: int) -> Tensor:
    """Gaussian of ``kernel`` taps an axis and sigma 0.3 ((kernel - 1) / 2 - 1) + 0.8 pixels (OpenCV's rule for a given
    kernel size); frames are mirrored at the centres of their edge pixels."""
    radius, (height, width) = kernel // 2, clips.shape[-2:]
    sigma = 0.3 * (radius - 1) + 0.8
    taps = np.exp(-((np.arange(kernel) - radius) ** 2) / (2 * sigma**2))
    padded = F.pad(clips, (radius,) * 4, mode="reflect")
    rows = _weighted([padded[..., i : i + height, :] for i in range(kernel)], taps / taps.sum())
    return _weighted([rows[..., i : i + width] for i in range(kernel)], taps / taps.sum())


def median(clips: Tensor, kernel: int) -> Tensor:
    """Median of kernel x kernel pixels, ``kernel`` 3, 5 or 7; edge pixels are repeated outwards.

    By sorting networks that neighbouring windows share (cf. Adams, ACM TOG 2021): columns of ``kernel`` pixels are
    sorted once and merged pairwise, and the median is selected from two sorted lists that make up the window.
    """
    frames = clips.flatten(0, 1)
    chunk = 1 if clips.device.type == "cpu" else 64  # the lists of one frame stay in a CPU's cache
    return torch.cat([_median(part, kernel) for part in torch.split(frames, chunk)]).view_as(clips)


def _median(frames: Tensor, kernel: int) -> Tensor:
    """Of F x H x W frames."""
    radius, (height, width) = kernel // 2, frames.shape[-2:]
    padded = F.pad(frames, (radius,) * 4, mode="replicate")
    one = _sort([padded[..., i : i + height, :] for i in range(kernel)])
    two = _merge(_at(one, 0, width + kernel - 2), _at(one, 1, width + kernel - 2))
    if kernel == 3:
        return _select(_at(two, 0, width), _at(one, 2, width), 4)
    four = _merge(_at(two, 0, width), _at(two, 2, width))
    if kernel == 5:
        return _select(four, _at(one, 4, width), 12)
    return _select(four, _merge(_at(two, 4, width), _at(one, 6, width)), 24)


def _weighted(planes: list[Tensor], weights: np.ndarray) -> Tensor:
    total = planes[0] * float(weights[0])
    for plane, weight in zip(planes[1:], weights[1:], strict=True):
        total.add_(plane, alpha=float(weight))
    return total


def _at(planes: list[Tensor], start: int, width: int) -> list[Tensor]:
    """The columns from ``start`` on."""
    return [plane[..., start : start + width] for plane in planes]


def _sort(planes: list[Tensor]) -> list[Tensor]:
    """Sorted pixel by pixel."""
    half = len(planes) // 2
    return _merge(_sort(planes[:half]), _sort(planes[half:])) if half else planes


def _merge(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    """Batcher's odd-even merge of two lists that are sorted pixel by pixel (Knuth, TAOCP 3, 5.3.4)."""
    if not a or not b:
        return a + b
    if len(a) == len(b) == 1:
        return [torch.minimum(a[0], b[0]), torch.maximum(a[0], b[0])]
    even, odd = _merge(a[::2], b[::2]), _merge(a[1::2], b[1::2])
    pairs = [plane for low, high in zip(odd, even[1:], strict=False) for plane in _merge([low], [high])]
    return [even[0], *pairs, *odd[len(even) - 1 :], *even[len(odd) + 1 :]]


def _select(a: list[Tensor], b: list[Tensor], rank: int) -> Tensor:
    """The value of 0-based ``rank`` among two sorted lists: over all ways to take rank + 1 values from their fronts,
    the least of the larger of the two values taken last."""
    best = torch.full_like(a[0], torch.inf)
    for taken in range(max(0, rank + 1 - len(b)), min(len(a), rank + 1) + 1):
        last = [*a[taken - 1 : taken], *b[rank - taken : rank - taken + 1]]
        best = torch.minimum(best, torch.maximum(last[0], last[-1]))
    return best
