"""Signals that come to the launcher, passed on to runs in processes of Ray that it cannot call itself: those of Ray Tune, and tasks.

The first signal rings a bell, an actor beside the launcher; each run looks at it, checkpoints and stops at its next optimiser
step. The second one ends the launcher at once, and with it Ray its processes.
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


class Bell:
    """The actor."""

    def __init__(self) -> None:
        self._rung = ""

    def ring(self, name: str) -> None:
        """From now on, runs are to stop: the signal ``name`` has come."""
        self._rung = name

    def rung(self) -> str:
        """The signal that has come, or ''."""
        return self._rung


class Stopping:
    """The launcher's side. ``bell`` goes to the runs."""

    def __init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        actor: Any = ray.remote(Bell)
        self.bell = actor.options(num_cpus=0, scheduling_strategy=here).remote()
        self.signals: list[str] = []
        self._obeyed = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """SIGINT and SIGTERM are noted in the block; KeyboardInterrupt at the second one."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def obey(self) -> bool:
        """Pass on a signal that has come. True: one has, and a run that starts from now on knows it."""
        import ray

        if self.signals and not self._obeyed:
            ray.get(self.bell.ring.remote(self.signals[0]))
            self._obeyed = True
        return self._obeyed

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(signal.Signals(number).name)
        if len(self.signals) == 2:
            raise KeyboardInterrupt


@contextmanager
def listening(bell: Any) -> Iterator[str]:
    """In a process of Ray: runs of the block stop when the bell rings. Yields the signal that has come before, or ''."""
    import ray

    from echolm.training.signals import ask_to_stop

    over = threading.Event()

    def listen() -> None:
        name = ""
        while not over.wait(LOOK_S):
            name = name or ray.get(bell.rung.remote())
            if name:
                ask_to_stop(name)  # again and again: it is heard only while a run is being trained

    name = ray.get(bell.rung.remote())
    threading.Thread(target=listen, name="bell", daemon=True).start()
    try:
        yield name
    finally:
        over.set()
