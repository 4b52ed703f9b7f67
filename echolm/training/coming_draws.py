"""Keys and dropout masks of several batches at once, which a small network would wait for.

What a sample draws depends on its key alone. So what the coming batches of an epoch draw can be
drawn together, and each batch takes its part: the same bits in far fewer operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from echolm.randomness import below, fold, fold_tensor, to_tensor

TOGETHER = 256
"""Samples whose draws are made together, unless a batch has more."""
LARGEST_MASK = 1 << 20
"""Values of a mask for all of them. Of larger ones each batch draws its own."""


@dataclass
class DrawnTogether:
    """Samples whose draws are made together.

    Attributes:
        keys: int64 keys (N,) that the network draws from, on the CPU.
        starts: the samples of a batch, as bytes -> where they begin among all.
    """

    keys: Tensor
    starts: dict[bytes, int]
    _masks: dict[tuple[str, int, int, float], Tensor] = field(default_factory=dict)

    def drops(self, place: str, call: int, count: int, p: float) -> Tensor | None:
        """Return which of N x count values are dropped, see ``Keys.drops``. None: too many."""
        if len(self.keys) * count > LARGEST_MASK:
            return None
        name = place, call, count, p
        if name not in self._masks:
            keys = fold_tensor(self.keys, "mask", place, call)
            self._masks[name] = below(keys, count, p)
        return self._masks[name]


class ComingDraws:
    """What the coming batches of an epoch draw.

    Args:
        seed: of the run.
        epoch: of the batches.
        batches: uint64 keys of the samples of each batch, in their order.
    """

    def __init__(self, seed: int, epoch: int, batches: Sequence[np.ndarray]) -> None:
        self._context = "network", seed, epoch
        self._batches = batches
        self._numbers = {samples.tobytes(): place for place, samples in enumerate(batches)}
        self._together: DrawnTogether | None = None

    def find(self, samples: np.ndarray) -> tuple[DrawnTogether, int] | None:
        """Return what a batch is drawn with, and where it begins there. None: it was not coming."""
        name = samples.tobytes()
        if self._together is None or name not in self._together.starts:
            if name not in self._numbers:
                return None
            self._together = self._from(self._numbers[name])
        return self._together, self._together.starts[name]

    def _from(self, number: int) -> DrawnTogether:
        """Take a batch, and as many that follow as are drawn together."""
        starts: dict[bytes, int] = {}
        taken: list[np.ndarray] = []
        count = 0
        for samples in self._batches[number:]:
            if taken and count + len(samples) > TOGETHER:
                break
            starts[samples.tobytes()] = count
            taken.append(samples)
            count += len(samples)
        return DrawnTogether(to_tensor(fold(np.concatenate(taken), *self._context)), starts)
