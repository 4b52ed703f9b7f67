"""Heads in which something goes wrong, as a plugin: ``ECHOLM_PLUGINS=faulty_heads``.

Each is the MLP behind one module. The file ``TEST_DELAY`` holds the seconds that ``slow`` takes for a training step,
and may change at any time. While the file ``TEST_HEALED`` is there, nothing goes wrong.
"""

from __future__ import annotations

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

    act: ClassVar[Callable[[], Any]]

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """B x width -> B x *outputs."""
        from faulty_networks import Before
        from torch import nn

        return nn.Sequential(Before(type(self).act), MLP(width=16).build(width, outputs))


def sleep() -> None:
    """Take a while."""
    began = time.monotonic()
    while time.monotonic() - began < _delay():
        time.sleep(0.02)


def fail() -> None:
    """Raise, until it is healed."""
    if not _healed():
        raise RuntimeError("this head is broken")


def die() -> None:
    """End the process without a word, until it is healed."""
    if not _healed():
        os.abort()


def gorge() -> None:
    """Take 3 GB of memory, until it is healed."""
    if not _healed():
        _EATEN.append(b"x" * 3_000_000_000)


def _delay() -> float:
    try:
        return float(Path(os.environ["TEST_DELAY"]).read_text() or 0)
    except (KeyError, FileNotFoundError):
        return 0.0


def _healed() -> bool:
    return Path(os.environ.get("TEST_HEALED", "nowhere")).exists()


class Slow(Faulty):
    """Sleeps in each step."""

    act = staticmethod(sleep)
    name: Literal["slow"] = "slow"


class Fails(Faulty):
    """Raises in each step."""

    act = staticmethod(fail)
    name: Literal["fails"] = "fails"


class Dies(Faulty):
    """Aborts the process in each step."""

    act = staticmethod(die)
    name: Literal["dies"] = "dies"


class Hungry(Faulty):
    """Takes memory in each step."""

    act = staticmethod(gorge)
    name: Literal["hungry"] = "hungry"


_EATEN: list[bytes] = []
ALL = (Slow, Fails, Dies, Hungry)
for _cls in ALL:
    HEADS.register(_cls)
