"""Pass on signals that come to the launcher to runs that it cannot call itself.

These run in processes of Ray: those of Ray Tune, and tasks. The first signal sets a flag, an actor
beside the launcher. Each run looks at it, checkpoints and stops at its next optimiser step. The
second signal ends the launcher at once, and with it Ray its processes.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LOOK_S = 0.5
"""How often a run asks whether a signal has come."""


class StopFlag:
    """The actor."""

    def __init__(self) -> None:
        self._signal = ""

    def set(self, name: str) -> None:
        """Let runs stop from now on: the signal ``name`` has come."""
        self._signal = name

    def signal(self) -> str:
        """Return the signal that has come, or ''."""
        return self._signal


class StopSender:
    """The launcher's side.

    Attributes:
        flag: goes to the runs.
        signals: the signals that have come.
    """

    def __init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        actor: Any = ray.remote(StopFlag)
        self.flag = actor.options(num_cpus=0, scheduling_strategy=here).remote()
        self.signals: list[str] = []
        self._is_set = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM in a block.

        Raises:
            KeyboardInterrupt: at the second one.
        """
        before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def act(self) -> bool:
        """Pass on a signal that has come.

        Returns:
            True when one has. A run that starts from now on knows it.
        """
        import ray

        if self.signals and not self._is_set:
            ray.get(self.flag.set.remote(self.signals[0]))
            self._is_set = True
        return self._is_set

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(signal.Signals(number).name)
        if len(self.signals) == 2:
            raise KeyboardInterrupt


@contextmanager
def stopped_by(flag: Any) -> Iterator[str]:
    """Stop the runs of a block, in a process of Ray, when the flag is set.

    Yields:
        The signal that has come before, or ''.
    """
    import ray

    from echolm.training.signals import request_stop

    over = threading.Event()

    def listen() -> None:
        name = ""
        while not over.wait(LOOK_S):
            name = name or ray.get(flag.signal.remote())
            if name:
                request_stop(name)  # again and again: it is heard only while a run is being trained

    name = ray.get(flag.signal.remote())
    threading.Thread(target=listen, name="stop-flag", daemon=True).start()
    try:
        yield name
    finally:
        over.set()
