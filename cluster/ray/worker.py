"""What runs in a process that Ray started: one rank, which trains one unit after another and pays for its imports once.

Ray runs the methods of an actor in threads, so signals (which Python gives to the main thread) do not reach the runs:
``stop`` asks them by ``echolm.training.signals``. SIGTERM from elsewhere ends the process, as Ray has it.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grid.plan import Report

STOP = "SIGTERM"
LOOK_S = 0.2


@dataclass(frozen=True)
class Settings:
    """What all units of a worker share. ``device``: cpu or cuda; ``times``: of ``Compute``; ``log``: its output goes there."""

    workspace: Path
    grid: str
    device: str
    threads: int
    times: dict[str, float]
    log: Path


@dataclass(frozen=True)
class Place:
    """A rank among those of its unit; rank 0's system chose the port."""

    rank: int = 0
    world: int = 1
    local: int = 0
    host: str = ""
    port: int = 0

    def environment(self) -> dict[str, str]:
        """The variables that torchrun sets."""
        values = {"RANK": self.rank, "WORLD_SIZE": self.world, "LOCAL_RANK": self.local, "MASTER_ADDR": self.host, "MASTER_PORT": self.port}
        return {name: str(value) for name, value in values.items()}


class Rank:
    """The actor. ``train`` takes one of its threads, ``stop`` and ``open`` come in on another."""

    def __init__(self, settings: Settings) -> None:
        _redirect(settings.log)
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} worker {os.getpid()} on {settings.device}", file=sys.stderr, flush=True)
        import cluster.unit  # noqa: F401  (seconds, once)
        from echolm.training.distributed import pick_device

        pick_device(settings.device)
        self._settings = settings
        self._stopping = False
        self._store: Any = None

    def ready(self) -> dict[str, Any]:
        """Where it is: Ray's node id, its address, the process."""
        import ray

        context = ray.get_runtime_context()
        return {"node": context.get_node_id(), "host": ray.util.get_node_ip_address(), "pid": os.getpid()}

    def open(self, world: int) -> tuple[str, int]:
        """Rank 0: listen for the ranks of the next unit, at a free port."""
        import ray
        import torch.distributed as dist

        host = ray.util.get_node_ip_address()
        self._store = dist.TCPStore(host, 0, world, is_master=True, wait_for_workers=False)
        return host, self._store.port

    def train(self, cells: Sequence[str], micro_batch: int | None, place: Place) -> Iterator[Report]:
        """Train a unit; its reports as they come (from rank 0), then ``over`` with what interrupted it, or ''."""
        news: queue.SimpleQueue[Report | BaseException] = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(news, cells, micro_batch, place), name="unit", daemon=True).start()
        while True:
            if self._stopping:
                _ask_to_stop()  # again and again: it is heard only while a run is being trained
            try:
                found = news.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if isinstance(found, BaseException):
                raise found
            yield found
            if found.event == "over":
                return

    def stop(self) -> None:
        """Let its runs checkpoint and stop at their next step."""
        self._stopping = True

    def over(self) -> Report:
        """The answer to a launcher that had lost its connection to the reports: they are not sent again."""
        return Report("over", "", {"stopped": "the connection to its process was lost"})

    def _work(self, news: queue.SimpleQueue[Report | BaseException], cells: Sequence[str], micro_batch: int | None, place: Place) -> None:
        """The thread of a unit."""
        try:
            news.put(Report("over", "", {"stopped": self._train(cells, micro_batch, place, news)}))
        except BaseException as error:
            traceback.print_exc()
            news.put(error)

    def _train(self, cells: Sequence[str], micro_batch: int | None, place: Place, news: queue.SimpleQueue[Any]) -> str:
        import torch
        import torch.distributed as dist

        from cluster.unit import train_unit
        from echolm.training.cohorts import Compute
        from echolm.training.distributed import joined, pick_device
        from echolm.workspace import Workspace

        own, store = self._settings, None
        torch.set_num_threads(own.threads)
        if place.world > 1:
            os.environ.update(place.environment())
            store = self._store if place.rank == 0 else dist.TCPStore(place.host, place.port, place.world, is_master=False)
        self._store = None
        with joined(place.rank, place.world, pick_device(own.device), store) as ranks:
            return train_unit(Workspace(own.workspace), own.grid, cells, Compute(micro_batch, **own.times), ranks, news.put)


def _ask_to_stop() -> None:
    from echolm.training.signals import ask_to_stop

    ask_to_stop(STOP)


def _redirect(log: Path) -> None:
    """Standard output and errors, crashes too, go to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    faulthandler.enable(file=2)
