"""SIGINT and SIGTERM to a launcher: the first lets its workers stop, a later one kills them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class LaunchSignals:
    """The signals that came to a launcher.

    The handler only notes them. The launcher asks between two looks at its workers what to do.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._handled = 0

    @property
    def first(self) -> str:
        """The name of the first signal that came, or ''."""
        return self._names[0] if self._names else ""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals in the block."""
        before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def to_pass_on(self) -> signal.Signals | None:
        """Return the signal that workers are to get now.

        SIGTERM asks them for a checkpoint, SIGKILL does not wait for one. None: no signal has come
        since the last call.
        """
        if len(self._names) == self._handled:
            return None
        number = signal.SIGKILL if self._handled else signal.SIGTERM
        self._handled = len(self._names)
        return number

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._names.append(signal.Signals(number).name)
