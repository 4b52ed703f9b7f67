"""Blurs of B x T x H x W float32 clips.

Their effect is frame by frame, their work on all frames at once. H and W exceed the kernel's
radius.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian(clips: Tensor, kernel: int) -> Tensor:
    """Blur by a Gaussian of ``kernel`` taps an axis.

    Sigma is 0.3 ((kernel - 1) / 2 - 1) + 0.8 pixels, OpenCV's rule for a given kernel size. Frames
    are mirrored at the centres of their edge pixels.
    """
    radius = kernel // 2
    height, width = clips.shape[-2:]
    sigma = 0.3 * (radius - 1) + 0.8
    distances = np.arange(kernel) - radius
    taps = np.exp(-(distances**2) / (2 * sigma**2))
    taps = taps / taps.sum()
    padded = F.pad(clips, (radius,) * 4, mode="reflect")
    rows = _weighted(_shifted_rows(padded, kernel, height), taps)
    columns = [_columns(rows, shift, width) for shift in range(kernel)]
    return _weighted(columns, taps)


def median(clips: Tensor, kernel: int) -> Tensor:
    """Take the median of kernel x kernel pixels, ``kernel`` 3, 5 or 7.

    Edge pixels are repeated outwards. Sorting networks that neighbouring windows share do the work
    (cf. Adams, ACM TOG 2021): columns of ``kernel`` pixels are sorted once and merged pairwise, and
    the median is selected from two sorted lists that make up the window.
    """
    frames = clips.flatten(0, 1)
    chunk = 1 if clips.device.type == "cpu" else 64  # the lists of one frame stay in a CPU's cache
    medians = [_median(part, kernel) for part in torch.split(frames, chunk)]
    return torch.cat(medians).view_as(clips)


def _median(frames: Tensor, kernel: int) -> Tensor:
    """Take the median of F x H x W frames. ``one``, ``two``, ``four``: that many sorted columns."""
    radius = kernel // 2
    height, width = frames.shape[-2:]
    padded = F.pad(frames, (radius,) * 4, mode="replicate")
    one = _sort(_shifted_rows(padded, kernel, height))
    pairs = width + kernel - 2
    two = _merge(_all_columns(one, 0, pairs), _all_columns(one, 1, pairs))
    if kernel == 3:
        return _select(_all_columns(two, 0, width), _all_columns(one, 2, width), 4)
    four = _merge(_all_columns(two, 0, width), _all_columns(two, 2, width))
    if kernel == 5:
        return _select(four, _all_columns(one, 4, width), 12)
    three = _merge(_all_columns(two, 4, width), _all_columns(one, 6, width))
    return _select(four, three, 24)


def _weighted(planes: list[Tensor], weights: np.ndarray) -> Tensor:
    total = planes[0] * float(weights[0])
    for plane, weight in zip(planes[1:], weights[1:], strict=True):
        total.add_(plane, alpha=float(weight))
    return total


def _shifted_rows(padded: Tensor, kernel: int, height: int) -> list[Tensor]:
    """List the pixels above one another that a kernel covers, one tensor a tap."""
    return [padded[..., shift : shift + height, :] for shift in range(kernel)]


def _columns(plane: Tensor, start: int, width: int) -> Tensor:
    return plane[..., start : start + width]


def _all_columns(planes: list[Tensor], start: int, width: int) -> list[Tensor]:
    """Take the columns from ``start`` on of each plane."""
    return [_columns(plane, start, width) for plane in planes]


def _sort(planes: list[Tensor]) -> list[Tensor]:
    """Sort planes pixel by pixel."""
    half = len(planes) // 2
    if not half:
        return planes
    return _merge(_sort(planes[:half]), _sort(planes[half:]))


def _merge(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    """Merge two lists that are sorted pixel by pixel (Batcher's odd-even merge).

    Knuth, TAOCP 3, 5.3.4.
    """
    if not a or not b:
        return a + b
    if len(a) == len(b) == 1:
        return [torch.minimum(a[0], b[0]), torch.maximum(a[0], b[0])]
    even = _merge(a[::2], b[::2])
    odd = _merge(a[1::2], b[1::2])
    merged = [even[0]]
    for low, high in zip(odd, even[1:], strict=False):
        merged += _merge([low], [high])
    # One of the two lists may be longer.
    return [*merged, *odd[len(even) - 1 :], *even[len(odd) + 1 :]]


def _select(a: list[Tensor], b: list[Tensor], rank: int) -> Tensor:
    """Select the value of 0-based ``rank`` among two sorted lists.

    Over all ways to take rank + 1 values from their fronts, it is the least of the larger of the
    two values taken last.
    """
    best = torch.full_like(a[0], torch.inf)
    least = max(0, rank + 1 - len(b))
    most = min(len(a), rank + 1)
    for taken in range(least, most + 1):
        # One list gives no value where all are taken from the other.
        last = [*a[taken - 1 : taken], *b[rank - taken : rank - taken + 1]]
        larger = torch.maximum(last[0], last[-1])
        best = torch.minimum(best, larger)
    return best
