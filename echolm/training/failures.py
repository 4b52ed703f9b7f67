"""Why a run ended as failed: its class, and errors that reach a rank from another one."""

from __future__ import annotations

import traceback

from echolm.attempt import Superseded
from echolm.errors import EchoLMError


class Diverged(EchoLMError):
    """A loss or the metric that selects the checkpoint is not finite."""


class RankFailed(EchoLMError):
    """An error of another rank. ``kind`` is its failure class; its traceback is a note of this error."""

    def __init__(self, rank: int, kind: str, text: str, trace: str) -> None:
        super().__init__(f"rank {rank}: {text}")
        self.kind = kind
        self.add_note(f"traceback of rank {rank}:\n{trace}")


class RankLost(Exception):
    """Another rank's process is gone, or cannot be reached."""


def failure_class(error: BaseException) -> str:
    """``out-of-memory``, ``data``, ``diverged``, ``bug``; ``superseded`` when a newer attempt holds the run."""
    if isinstance(error, RankFailed):
        return error.kind
    if isinstance(error, Superseded):
        return "superseded"
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return "out-of-memory"
    if isinstance(error, Diverged):
        return "diverged"
    return "data" if isinstance(error, (OSError, EchoLMError)) else "bug"


def describe(error: BaseException) -> str:
    """``ValueError: what is wrong``."""
    return f"{type(error).__name__}: {error}"


def trace(error: BaseException) -> str:
    """The traceback as text."""
    return "".join(traceback.format_exception(error))
