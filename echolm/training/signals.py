"""Signals that ask a run to stop at its next optimiser step.

SIGTERM comes from schedulers, SIGUSR1 and SIGUSR2 are warnings before a time limit or preemption,
SIGINT is Ctrl-C (a second one ends the process at once).

Python delivers them to the main thread alone. Where runs are trained in another one,
``request_stop`` stands in for them. Who trains run after run enters a ``StopRequest`` around them,
and each run enters its own: a signal is for all of them, whenever it comes, so that none is lost
between two runs, or while one is being prepared or completed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

WATCHED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
_entered: list[StopRequest] = []


def request_stop(name: str) -> None:
    """Act as if the signal ``name`` had come, for all that is entered in this process.

    Any thread may call it.
    """
    for request in list(_entered):
        request.note(name)


class StopRequest:
    """Notes watched signals while it is entered.

    Args:
        tell: is called with the signal's name when the first one comes, in a signal handler.

    Attributes:
        received: the first watched signal that arrived (in the main thread) or was asked for, also
            one that had come to an outer ``StopRequest`` before. Empty without one.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self.received = ""
        self._tell = tell
        self._handlers_before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self.received = next((outer.received for outer in _entered if outer.received), "")
        _entered.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                self._handlers_before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _entered.remove(self)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def note(self, name: str) -> None:
        """Note a signal, unless one came before."""
        if not self.received:
            self.received = name
            if self._tell:
                self._tell(name)

    def _note(self, number: int, frame: FrameType | None) -> None:
        request_stop(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
