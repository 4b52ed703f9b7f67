"""A warm worker: trains the units it is told on standard input, one JSON line each.

``cluster.worker_server`` forks it. It reports on standard output in JSON lines: ``ready``, those of
``cluster.unit``, ``idle`` (the unit has ended, and none after a signal). When standard input ends
while a unit is running, the launcher is gone: the worker checkpoints and stops.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import torch

from cluster.unit import is_outage_end, train_unit
from echolm.arithmetic import Arithmetic
from echolm.training.cohorts import Compute
from echolm.training.distributed import Ranks, pick_device
from echolm.workspace import Workspace
from grid.units import Report, Unit


class Inbox:
    """Units from standard input, read by a thread.

    The end of input while ``busy`` becomes SIGTERM.
    """

    def __init__(self, stream: TextIO) -> None:
        self.busy = self.closed = False
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self) -> Unit | None:
        """Wait for the next unit. None: the input has ended."""
        line = self._lines.get()
        # Before the look at ``closed``: the reader sets that before it looks at ``busy``.
        self.busy = line is not None
        if line is None or self.closed:
            return None
        unit = json.loads(line)
        return Unit(tuple(unit["cells"]), unit["configs"])

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            self._lines.put(line)
        self.closed = True
        self._lines.put(None)
        if self.busy:
            os.kill(os.getpid(), signal.SIGTERM)


class Worker:
    """Trains units of one grid, one after another, on one device."""

    def __init__(
        self, workspace: Workspace, grid: str, compute: Compute, device: str, out: TextIO
    ) -> None:
        self._workspace = workspace
        self._grid = grid
        self._compute = compute
        self._out = out
        self._ranks = Ranks(device=pick_device(device))
        self._say(Report("ready", ""))

    def run(self, unit: Unit) -> bool:
        """Train one unit. False when a signal asked to stop."""
        stopped = train_unit(
            self._workspace, self._grid, unit, self._compute, self._ranks, self._say
        )
        if stopped and not is_outage_end(stopped):
            return False
        self._say(Report("idle", ""))
        return True

    def _say(self, report: Report) -> None:
        line = json.dumps({"event": report.event, "cell": report.cell, **report.facts})
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except BrokenPipeError:
            pass  # the launcher is gone; the end of input stops this worker


def run_worker(settings: dict[str, Any], device: str) -> None:
    """Train units from standard input until it ends or a signal comes.

    Args:
        settings: ``workspace``, ``grid``, ``threads``, ``micro_batch``, ``precision``, ``compile``,
            and ``times``: what else ``Compute`` takes by name.
        device: ``cpu`` or ``cuda:N``. CUDA begins here, never in the process that forked this one.
    """
    torch.set_num_threads(settings["threads"])
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"{now} worker {os.getpid()} on {device}", file=sys.stderr, flush=True)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # prints of libraries go to the log
    inbox = Inbox(sys.stdin)
    arithmetic = Arithmetic(settings["precision"], settings["compile"])
    compute = Compute(settings["micro_batch"], arithmetic=arithmetic, **settings["times"])
    workspace = Workspace(Path(settings["workspace"]))
    worker = Worker(workspace, settings["grid"], compute, device, out)
    while unit := inbox.next():
        goes_on = worker.run(unit)
        # Before a return closes the output: the launcher answers that with the end of the input,
        # which would become a SIGTERM that nothing catches any more.
        inbox.busy = False
        if not goes_on:
            return
