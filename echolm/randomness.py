"""Keyed randomness: every draw is a stateless hash of (seed, epoch, sample, place), never of what was drawn before.

So results do not depend on batch order, batch splitting, rank count, or on which cell a worker ran first.
Hashes are splitmix64 (Steele et al. 2014) over 64-bit words; numpy for keys, torch for tensors on any device.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def word(*parts: object) -> int:
    """A 64-bit word from any printable parts, the same in every process and on every machine."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def sample_keys(samples: list[str]) -> np.ndarray:
    """uint64 keys of sample ids (len(samples),)."""
    return np.array([word("sample", name) for name in samples], np.uint64)


def fold(keys: np.ndarray, *parts: object) -> np.ndarray:
    """New uint64 keys from ``keys`` and a context (seed, epoch, place): one word per key."""
    return _splitmix(keys ^ np.uint64(word(*parts)))


def generators(keys: np.ndarray) -> list[np.random.Generator]:
    """A numpy generator per key (Philox, counter-based)."""
    return [np.random.Generator(np.random.Philox(key=int(key))) for key in keys]


def order(keys: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """A permutation of range(len(keys)): samples sorted by their hash of (order seed, epoch)."""
    return np.argsort(fold(keys, "order", seed, epoch), kind="stable")


def uniform(keys: Tensor, count: int) -> Tensor:
    """B x count float32 values in [0, 1), multiples of 2**-24, from int64 keys (B,); bitwise equal on every device."""
    import torch

    counter = torch.arange(1, count + 1, device=keys.device, dtype=torch.int64) * _signed(_GOLDEN)
    x = keys[:, None] + counter[None, :]
    x = (x ^ _shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _signed(0x94D049BB133111EB)
    x = x ^ _shift(x, 31)
    return _shift(x, 40).to(torch.float32) * 2.0**-24


def normal(keys: Tensor, count: int) -> Tensor:
    """B x count standard normal float32 values from int64 keys (B,) (Box-Muller; equal across devices to rounding)."""
    import torch

    u = uniform(keys, 2 * count).view(len(keys), 2, count)
    radius = torch.sqrt(-2.0 * torch.log1p(-u[:, 0]))
    return radius * torch.cos(2 * torch.pi * u[:, 1])


def to_tensor(keys: np.ndarray) -> Tensor:
    """uint64 numpy keys -> int64 torch keys of the same bits."""
    import torch

    return torch.from_numpy(keys.astype(np.uint64).view(np.int64).copy())


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Run with torch's CPU generator seeded from ``parts`` and put it back after: initial weights by (seed, place)."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(word(*parts) >> 1)
        yield


def _splitmix(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        x = x + np.uint64(_GOLDEN)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
