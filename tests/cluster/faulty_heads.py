"""Heads in which something goes wrong, as a plugin: ``ECHOLM_PLUGINS=faulty_heads``.

Each is the MLP behind one module. The file ``TEST_DELAY`` holds the seconds that ``slow`` takes for
a training step, and the first step that takes them. It may change at any time. So does ``traced``,
whose ranks also note where they are and with which weights a step begins. While the file
``TEST_HEALED`` is there, nothing goes wrong.
``greedy`` and ``hungry`` have memory for two samples at once, on the GPU and on the host.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from echolm.heads import HEADS, Head
from echolm.heads.mlp import MLP

if TYPE_CHECKING:
    from torch import nn


class Faulty(Head):
    """The MLP of width 16 after ``act``."""

    act: ClassVar[Callable[[int, int], Any]]

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """B x width -> B x *outputs."""
        from faulty_networks import Before
        from torch import nn

        return nn.Sequential(Before(type(self).act), MLP(width=16).build(width, outputs))


def sleep(samples: int, step: int) -> None:
    """Take a while, and end at once when the delay is taken away."""
    began = time.monotonic()
    while time.monotonic() - began < _delay(step):
        time.sleep(0.02)


def fail(samples: int, step: int) -> None:
    """Raise, until it is healed."""
    if not _healed():
        raise RuntimeError("this head is broken")


def die(samples: int, step: int) -> None:
    """End the process without a word, until it is healed."""
    if not _healed():
        os.abort()


def exhaust(samples: int, step: int) -> None:
    """Raise what torch raises when a GPU's memory is used up, until it is healed."""
    if samples > 2 and not _healed():
        import torch

        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def gorge(samples: int, step: int) -> None:
    """Raise what Python raises when memory is used up, until it is healed."""
    if samples > 2 and not _healed():
        bytearray(1 << 62)


def devour(samples: int, step: int) -> None:
    """Take 5 GB of memory with more than two samples, until it is healed.

    That is more than SLURM gave, or Ray's node has.
    """
    if samples > 2 and not _healed():
        _EATEN.append(b"x" * 5_000_000_000)
        time.sleep(2)  # SLURM kills at once, Ray looks now and then


def _delay(step: int) -> float:
    """Return how many seconds a step takes now: a step, of an attempt, from 1."""
    try:
        seconds, from_step = Path(os.environ["TEST_DELAY"]).read_text().split()
    except (KeyError, FileNotFoundError):
        return 0.0
    return float(seconds) if step >= int(from_step) else 0.0


def _healed() -> bool:
    return Path(os.environ.get("TEST_HEALED", "nowhere")).exists()


class Slow(Faulty):
    """Sleeps in each step."""

    act = staticmethod(sleep)
    name: Literal["slow"] = "slow"


class Traced(Faulty):
    """Sleeps in each step, and notes it (``faulty_networks.Noted``)."""

    act = staticmethod(sleep)
    name: Literal["traced"] = "traced"

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """B x width -> B x *outputs."""
        from faulty_networks import Noted

        return Noted(super().build(width, outputs))


class Fails(Faulty):
    """Raises in each step."""

    act = staticmethod(fail)
    name: Literal["fails"] = "fails"


class Dies(Faulty):
    """Aborts the process in each step."""

    act = staticmethod(die)
    name: Literal["dies"] = "dies"


class Greedy(Faulty):
    """Exhausts the GPU's memory with more than two samples."""

    act = staticmethod(exhaust)
    name: Literal["greedy"] = "greedy"


class Hungry(Faulty):
    """Exhausts the host's memory with more than two samples."""

    act = staticmethod(gorge)
    name: Literal["hungry"] = "hungry"


class Glutton(Faulty):
    """Takes more memory than there is for it, with more than two samples."""

    act = staticmethod(devour)
    name: Literal["glutton"] = "glutton"


_EATEN: list[bytes] = []
ALL = (Slow, Traced, Fails, Dies, Greedy, Hungry, Glutton)
for _cls in ALL:
    HEADS.register(_cls)
importlib.import_module("faulty_objectives")
