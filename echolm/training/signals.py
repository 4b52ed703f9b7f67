"""Signals that ask a run to stop at its next optimiser step: SIGTERM (schedulers), SIGUSR1 and SIGUSR2 (warnings
before a time limit or preemption), SIGINT (Ctrl-C; a second one ends the process at once).

Python delivers them to the main thread alone; where runs are trained in another one, ``ask_to_stop`` stands in for them.
Who trains run after run enters ``Signals`` around them, and each run enters its own: a signal is for all of them, whenever it
comes, so that none is lost between two runs, or while one is being prepared or completed.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

WATCHED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
_entered: list[Signals] = []


def ask_to_stop(name: str) -> None:
    """As if the signal ``name`` had come: for all that is entered in this process, from any thread."""
    for signals in list(_entered):
        signals.received = signals.received or name


class Signals:
    """While entered, ``received`` names the first watched signal that arrived (in the main thread), or was asked for; also one
    that had come to an outer one before."""

    def __init__(self) -> None:
        self.received = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self.received = next((outer.received for outer in _entered if outer.received), "")
        _entered.append(self)
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in WATCHED}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _entered.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        ask_to_stop(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
