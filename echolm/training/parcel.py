"""Arrays that go to a device together.

To a GPU they go as one block of page-locked memory, in one copy that the host does not wait for.
On a CPU nothing is copied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ALIGNMENT = 64
"""Bytes. An array begins at a multiple of it."""


@dataclass(frozen=True)
class _Slot:
    """Where an array lies in the block."""

    start: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class Parcel:
    """Arrays by name, on their way to a device.

    Args:
        arrays: of any types that torch has. uint64 goes as int64 of the same bits.
        device: where they go.
        packs: whether they become one block. None: on a GPU alone.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], device: torch.device, packs: bool | None = None
    ) -> None:
        self.device = device
        self._tensors = {name: _tensor(array) for name, array in arrays.items()}
        self._slots: dict[str, _Slot] = {}
        self._block: Tensor | None = None
        if device.type == "cuda" if packs is None else packs:
            self._pack()

    def send(self) -> dict[str, Tensor]:
        """Return the arrays on the device, under their names."""
        if self._block is None:
            return {name: tensor.to(self.device) for name, tensor in self._tensors.items()}
        block = self._block.to(self.device, non_blocking=True)
        tensors = {}
        for name, slot in self._slots.items():
            size = math.prod(slot.shape) * slot.dtype.itemsize
            content = block[slot.start : slot.start + size]
            tensors[name] = content.view(slot.dtype).view(slot.shape)
        return tensors

    def _pack(self) -> None:
        end = 0
        for name, tensor in self._tensors.items():
            self._slots[name] = _Slot(end, tuple(tensor.shape), tensor.dtype)
            size = tensor.numel() * tensor.element_size()
            end += math.ceil(size / ALIGNMENT) * ALIGNMENT
        self._block = _block(end, self.device)
        for name, tensor in self._tensors.items():
            content = tensor.contiguous().view(-1).view(torch.uint8)
            start = self._slots[name].start
            self._block[start : start + len(content)] = content
        self._tensors = {}


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Send one array to a device. See ``Parcel``."""
    if device.type != "cuda":
        return _tensor(array).to(device)
    return Parcel({"": array}, device).send()[""]


def _block(size: int, device: torch.device) -> Tensor:
    """Return page-locked memory for a GPU. Which GPU is current is each thread's own matter."""
    if device.type != "cuda":
        return torch.empty(size, dtype=torch.uint8)
    with torch.cuda.device(device):
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def _tensor(array: np.ndarray) -> Tensor:
    if array.dtype == np.uint64:
        array = array.view(np.int64)
    return torch.from_numpy(np.asarray(array, order="C"))
