"""Why a run ended as failed: its class, and errors that reach a rank from another one."""

from __future__ import annotations

import traceback

from echolm.attempt import Superseded
from echolm.errors import EchoLMError
from echolm.outages import is_outage
from echolm.states import FailureClass

_OUT_OF_MEMORY = ("OutOfMemoryError", "AcceleratorError")
"""torch's errors, by name: this module is imported without torch."""


class Diverged(EchoLMError):
    """A loss or the metric that selects the checkpoint is not finite."""


class RankFailed(EchoLMError):
    """An error of another rank. Its traceback is a note of this error.

    Args:
        rank: which one.
        kind: the failure class of its error.
        text: its error in words.
        trace: its traceback.
    """

    def __init__(self, rank: int, kind: FailureClass, text: str, trace: str) -> None:
        super().__init__(f"rank {rank}: {text}")
        self.kind = kind
        self.add_note(f"traceback of rank {rank}:\n{trace}")


class RankLost(Exception):
    """Another rank's process is gone, or cannot be reached."""


def failure_class(error: BaseException) -> FailureClass:
    """Return the class of an error that ended a run.

    ``SUPERSEDED`` when a newer attempt holds the run, ``OUTAGE`` when something may have gone away.
    """
    if isinstance(error, RankFailed):
        return error.kind
    if isinstance(error, Superseded):
        return FailureClass.SUPERSEDED
    if isinstance(error, MemoryError) or type(error).__name__ in _OUT_OF_MEMORY:
        return FailureClass.OUT_OF_MEMORY
    if isinstance(error, Diverged):
        return FailureClass.DIVERGED
    if is_outage(error):
        return FailureClass.OUTAGE
    if isinstance(error, (OSError, EchoLMError)):
        return FailureClass.DATA
    return FailureClass.BUG


def describe_error(error: BaseException) -> str:
    """Return ``ValueError: what is wrong``."""
    return f"{type(error).__name__}: {error}"


def traceback_text(error: BaseException) -> str:
    """Return the traceback as text."""
    return "".join(traceback.format_exception(error))


def release_frames(error: BaseException) -> None:
    """Clear the frames of an error's traceback, and of the errors that led to it.

    They hold what was computed until then, such as the activations of a step. Often one of them
    also holds the error itself: then nothing is released before Python looks for such cycles.
    """
    led_to_it: BaseException | None = error
    seen: set[int] = set()
    while led_to_it is not None and id(led_to_it) not in seen:
        seen.add(id(led_to_it))
        traceback.clear_frames(led_to_it.__traceback__)
        led_to_it = led_to_it.__cause__ or led_to_it.__context__
