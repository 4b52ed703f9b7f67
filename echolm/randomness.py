"""Keyed randomness: every draw is a stateless hash of (seed, epoch, sample, place).

No draw depends on what was drawn before. So results do not depend on batch order, batch splitting,
rank count, or on which cell a worker ran first. Hashes are splitmix64 (Steele et al. 2014) over
64-bit words, with numpy for keys and torch for tensors on any device.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = (1 << 64) - 1
_NUMBERS = 1 << 24
"""How many values a uniform draw may have."""
_CACHED_WORDS = 1 << 15
"""Words that a CPU works on at a time, so that they stay in its cache."""


def word(*parts: object) -> int:
    """Hash any printable parts to 64 bits, the same in every process and on every machine."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "little")


def sample_keys(samples: list[str]) -> np.ndarray:
    """Return uint64 keys of sample ids (len(samples),)."""
    words = [word("sample", name) for name in samples]
    return np.array(words, np.uint64)


def fold(keys: np.ndarray, *parts: object) -> np.ndarray:
    """Return new uint64 keys from ``keys`` and a context (seed, epoch, place): one a key."""
    return _splitmix(keys ^ np.uint64(word(*parts)))


def fold_tensor(keys: Tensor, *parts: object) -> Tensor:
    """Do what ``fold`` does with int64 tensors (B,) on any device: the same bits."""
    if keys.device.type == "cpu":
        return to_tensor(fold(_to_words(keys), *parts))
    return _splitmix_tensor((keys ^ _signed(word(*parts))) + _signed(_GOLDEN))


def generators(keys: np.ndarray) -> list[np.random.Generator]:
    """Return a numpy generator for each key (Philox, counter-based)."""
    return [np.random.Generator(np.random.Philox(key=int(key))) for key in keys]


def order(keys: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Return a permutation of range(len(keys)): sorted by the hash of (order seed, epoch)."""
    return np.argsort(fold(keys, "order", seed, epoch), kind="stable")


def uniform(keys: Tensor, count: int) -> Tensor:
    """Draw B x count float32 values in [0, 1), multiples of 2**-24, from int64 keys (B,).

    They are bitwise equal on every device. On a CPU numpy draws them: most draws are small, and
    an operation of torch takes longer to begin than one of numpy.
    """
    import torch

    if keys.device.type == "cpu":
        draws = np.empty((len(keys), count), np.float32)
        for part, numbers in _numbers(_to_words(keys), count):
            draws[:, part] = numbers.view(np.int64)  # which numpy converts faster
        draws *= np.float32(1 / _NUMBERS)
        return torch.from_numpy(draws)
    steps = torch.arange(1, count + 1, device=keys.device, dtype=torch.int64)
    words = keys[:, None] + steps.mul_(_signed(_GOLDEN))[None, :]
    _splitmix_in_place(words)
    words.bitwise_right_shift_(40).bitwise_and_(_NUMBERS - 1)
    return words.float().mul_(1 / _NUMBERS)


def below(keys: Tensor, count: int, limit: float) -> Tensor:
    """Tell of each of the B x count values of ``uniform`` whether it is less than ``limit``."""
    import torch

    if keys.device.type != "cpu":
        return uniform(keys, count) < limit
    # Compared with a float32, as values of that type are.
    first_above = np.uint64(math.ceil(float(np.float32(limit)) * _NUMBERS))
    mask = np.empty((len(keys), count), np.bool_)
    for part, numbers in _numbers(_to_words(keys), count):
        np.less(numbers, first_above, out=mask[:, part])
    return torch.from_numpy(mask)


def _numbers(keys: np.ndarray, count: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Draw B x count whole numbers, uint64 below ``_NUMBERS``, some columns at a time.

    Yields:
        Which columns, and their numbers.
    """
    width = max(1, _CACHED_WORDS // max(1, len(keys)))
    for start in range(0, count, width):
        part = slice(start, min(start + width, count))
        steps = np.arange(part.start + 1, part.stop + 1, dtype=np.uint64)
        steps *= np.uint64(_GOLDEN)
        words = keys[:, None] + steps
        shifted = np.empty_like(words)
        for bits, factor in ((30, _FIRST), (27, _SECOND)):
            np.right_shift(words, np.uint64(bits), out=shifted)
            words ^= shifted
            words *= np.uint64(factor)
        np.right_shift(words, np.uint64(31), out=shifted)
        words ^= shifted
        words >>= np.uint64(40)
        yield part, words


def normal(keys: Tensor, count: int) -> Tensor:
    """Draw B x count standard normal float32 values from int64 keys (B,).

    Box-Muller: equal across devices to rounding.
    """
    import torch

    draws = uniform(keys, 2 * count).view(len(keys), 2, count)
    radius = torch.sqrt(-2.0 * torch.log1p(-draws[:, 0]))
    angle = 2 * torch.pi * draws[:, 1]
    return radius * torch.cos(angle)


def to_tensor(keys: np.ndarray) -> Tensor:
    """Convert uint64 numpy keys to int64 torch keys of the same bits."""
    import torch

    signed = keys.astype(np.uint64).view(np.int64)
    return torch.from_numpy(signed)


def _to_words(keys: Tensor) -> np.ndarray:
    """Return int64 torch keys on a CPU as uint64 numpy keys of the same bits and memory."""
    words: np.ndarray = keys.numpy().view(np.uint64)
    return words


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Run with torch's CPU generator seeded from ``parts``, and put it back after.

    Initial weights come so from (seed, place).
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(word(*parts) >> 1)
        yield


def _splitmix(x: np.ndarray) -> np.ndarray:
    x = x + np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND)
    return x ^ (x >> np.uint64(31))


def _splitmix_tensor(x: Tensor) -> Tensor:
    """Do what ``_splitmix`` does, after its addition."""
    x = (x ^ _shift(x, 30)) * _signed(_FIRST)
    x = (x ^ _shift(x, 27)) * _signed(_SECOND)
    return x ^ _shift(x, 31)


def _splitmix_in_place(x: Tensor) -> None:
    """Do what ``_splitmix_tensor`` does without a new tensor for each of its operations."""
    import torch

    shifted = torch.empty_like(x)
    for bits, factor in ((30, _FIRST), (27, _SECOND), (31, None)):
        torch.bitwise_right_shift(x, bits, out=shifted)
        x.bitwise_xor_(shifted.bitwise_and_((1 << (64 - bits)) - 1))
        if factor is not None:
            x.mul_(_signed(factor))


def _signed(value: int) -> int:
    """Return the int64 with the bits of a uint64."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift int64 to the right, filling with zeros."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
