"""Run one rank in a process that Ray started.

It trains one unit after another and pays for its imports once. Ray runs the methods of an actor in
threads, so signals (which Python gives to the main thread) do not reach the runs: ``stop`` asks
them by ``echolm.training.signals``. SIGTERM from elsewhere ends the process, as Ray has it.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echolm.arithmetic import Arithmetic
from echolm.garbage import look_for_garbage_seldom
from grid.units import Report, Unit

STOP = "SIGTERM"
LOOK_S = 0.2


@dataclass(frozen=True)
class WorkerSettings:
    """What all units of a worker share.

    Attributes:
        workspace: the workspace's folder.
        grid: the grid's name.
        device: ``cpu`` or ``cuda``.
        threads: CPU threads.
        arithmetic: the precision, and whether a compiler is used.
        times: patience and heartbeat of the attempts, and what else ``Compute`` takes by name.
        log: its output goes there.
    """

    workspace: Path
    grid: str
    device: str
    threads: int
    arithmetic: Arithmetic
    times: dict[str, Any]
    log: Path


@dataclass(frozen=True)
class RankPlace:
    """A rank among those of its unit. Rank 0's system chose the port."""

    rank: int = 0
    world: int = 1
    local: int = 0
    host: str = ""
    port: int = 0

    def environment(self) -> dict[str, str]:
        """Return the variables that torchrun sets."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world),
            "LOCAL_RANK": str(self.local),
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(self.port),
        }


class Rank:
    """The actor. ``train`` takes one of its threads, ``stop`` and ``open`` come in on another."""

    def __init__(self, settings: WorkerSettings) -> None:
        _redirect_output(settings.log)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        first_line = f"{stamp} worker {os.getpid()} on {settings.device}"
        print(first_line, file=sys.stderr, flush=True)
        look_for_garbage_seldom()
        import cluster.unit  # noqa: F401  (seconds, once)
        from echolm.training.distributed import pick_device

        pick_device(settings.device)
        self._settings = settings
        self._stopping = False
        self._store: Any = None

    def ready(self) -> dict[str, Any]:
        """Return where it is: Ray's node id, its address, the process."""
        import ray

        return {
            "node": ray.get_runtime_context().get_node_id(),
            "host": ray.util.get_node_ip_address(),
            "pid": os.getpid(),
        }

    def open(self, world: int) -> tuple[str, int]:
        """Listen, as rank 0, for the ranks of the next unit. Return the host and a free port."""
        import ray
        import torch.distributed as dist

        host = ray.util.get_node_ip_address()
        self._store = dist.TCPStore(host, 0, world, is_master=True, wait_for_workers=False)
        return host, self._store.port

    def train(self, unit: Unit, micro_batch: int | None, place: RankPlace) -> Iterator[Report]:
        """Train a unit.

        Yields:
            Its reports as they come (from rank 0), then ``over`` with what interrupted it, or ''.
        """
        news: queue.SimpleQueue[Report | BaseException] = queue.SimpleQueue()
        thread = threading.Thread(
            target=self._work, args=(news, unit, micro_batch, place), name="unit", daemon=True
        )
        thread.start()
        while True:
            if self._stopping:
                _request_stop()  # again and again: it is heard only while a run is being trained
            try:
                item = news.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if isinstance(item, BaseException):
                raise item
            yield item
            if item.event == "over":
                return

    def stop(self) -> None:
        """Let its runs checkpoint and stop at their next step."""
        self._stopping = True

    def over(self) -> Report:
        """Answer a launcher that had lost its connection: reports are not sent again."""
        return Report("over", "", {"stopped": "the connection to its process was lost"})

    def _work(
        self,
        news: queue.SimpleQueue[Report | BaseException],
        unit: Unit,
        micro_batch: int | None,
        place: RankPlace,
    ) -> None:
        """Train a unit in a thread of its own."""
        try:
            from cluster.unit import is_outage_end

            stopped = self._train(unit, micro_batch, place, news)
            if is_outage_end(stopped):  # its cells have ended: the launch stops of that
                stopped = ""
            news.put(Report("over", "", {"stopped": stopped}))
        except BaseException as error:
            traceback.print_exc()
            news.put(error)

    def _train(
        self,
        unit: Unit,
        micro_batch: int | None,
        place: RankPlace,
        news: queue.SimpleQueue[Any],
    ) -> str:
        import torch

        from cluster.unit import train_unit
        from echolm.training.cohorts import Compute
        from echolm.training.distributed import joined, pick_device
        from echolm.workspace import Workspace

        settings = self._settings
        torch.set_num_threads(settings.threads)
        store = self._meet(place)
        compute = Compute(micro_batch, arithmetic=settings.arithmetic, **settings.times)
        with joined(place.rank, place.world, pick_device(settings.device), store) as ranks:
            return train_unit(
                Workspace(settings.workspace), settings.grid, unit, compute, ranks, news.put
            )

    def _meet(self, place: RankPlace) -> Any:
        """Return the store at which the ranks of a unit meet. None for a single rank."""
        import torch.distributed as dist

        if place.world == 1:
            self._store = None
            return None
        os.environ.update(place.environment())
        if place.rank == 0:
            store, self._store = self._store, None
            return store
        return dist.TCPStore(place.host, place.port, place.world, is_master=False)


def _request_stop() -> None:
    from echolm.training.signals import request_stop

    request_stop(STOP)


def _redirect_output(log: Path) -> None:
    """Let standard output and errors, crashes too, go to ``log``.

    The launch has made the grid's folder. Where it is away, its mount point is left empty.
    """
    from echolm.outages import wait_for

    grid = log.parent.parent
    wait_for(lambda: "" if grid.is_dir() else f"the folder {grid} is not there", print)
    log.parent.mkdir(exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    faulthandler.enable(file=2)
