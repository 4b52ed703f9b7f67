"""What becomes of a run's weights when it has ended: ``keep`` of a launch, and who reads them.

Fine-tuned encoders fill disks. How much of one is kept is no part of the run, so it moves no key.
A summary says it where it is not all: ``keep``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

KeepName = Literal["none", "best", "half"]
KEEP_NAMES: tuple[KeepName, ...] = get_args(KeepName)


class Keep(StrEnum):
    """How much of its weights a complete run keeps. Metrics and predictions always stay."""

    NONE = "none"
    """Nothing."""
    HALF = "half"
    """The best weights with 16 bits a number."""
    BEST = "best"
    """The best weights as they are."""

    @property
    def share(self) -> float:
        """The share of the bytes of the best weights."""
        return {Keep.NONE: 0.0, Keep.HALF: 0.5, Keep.BEST: 1.0}[self]

    def most(self, other: Keep) -> Keep:
        """Return the one that keeps more."""
        return self if self.share >= other.share else other


def kept(summary: Mapping[str, Any]) -> Keep:
    """Return what a complete run keeps of its weights, by its summary."""
    return Keep(summary.get("keep", Keep.BEST))


HALF_NOTE = (
    "its weights were kept with 16 bits a number (keep: half), so what it gives differs a little "
    "from the results of the run"
)
"""What readers of such weights say of the run."""


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with 16 bits a floating-point number.

    That is float16, which is nearer to the number. A tensor that it would make infinite is
    bfloat16. Integers stay.
    """
    import torch

    smaller = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.element_size() > 2:
            half = tensor.to(torch.float16)
            if not torch.equal(half.isfinite(), tensor.isfinite()):
                half = tensor.to(torch.bfloat16)
            tensor = half
        smaller[name] = tensor
    return smaller
