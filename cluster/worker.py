"""A warm worker: imports once, then trains the units it is told on standard input, one JSON line each.

Started by ``cluster.local`` as ``python -m cluster.worker``. It reports on standard output in JSON lines: ``ready``,
those of ``cluster.unit``, ``idle`` (the unit has ended; none after a signal). When standard input ends
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
from typing import TextIO

import torch

from cluster.unit import train_unit
from echolm.training.cohorts import Compute
from echolm.training.distributed import Ranks, pick_device
from echolm.workspace import Workspace
from grid.plan import Report


class Inbox:
    """Units from standard input, read by a thread; the end of input while ``busy`` becomes SIGTERM."""

    def __init__(self, stream: TextIO) -> None:
        self.busy = self.closed = False
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self) -> list[str] | None:
        """The next unit's cell ids, None when the input has ended."""
        line = self._lines.get()
        self.busy = line is not None  # before the look at ``closed``: the reader sets that before it looks here
        return None if line is None or self.closed else json.loads(line)

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            self._lines.put(line)
        self.closed = True
        self._lines.put(None)
        if self.busy:
            os.kill(os.getpid(), signal.SIGTERM)


class Worker:
    """Trains units of one grid, one after another, on one device."""

    def __init__(self, workspace: Workspace, grid: str, compute: Compute, device: str, out: TextIO) -> None:
        self._workspace, self._grid, self._compute, self._out = workspace, grid, compute, out
        self._ranks = Ranks(device=pick_device(device))
        self._say(Report("ready", ""))

    def run(self, cells: list[str]) -> bool:
        """Train one unit; False when a signal asked to stop."""
        if train_unit(self._workspace, self._grid, cells, self._compute, self._ranks, self._say):
            return False
        self._say(Report("idle", ""))
        return True

    def _say(self, report: Report) -> None:
        try:
            self._out.write(json.dumps({"event": report.event, "cell": report.cell, **report.facts}) + "\n")
            self._out.flush()
        except BrokenPipeError:
            pass  # the launcher is gone; the end of input stops this worker


def main(arguments: list[str]) -> None:
    """``workspace grid device threads micro_batch times`` (of ``Compute``) as JSON in the first argument."""
    settings = json.loads(arguments[0])
    torch.set_num_threads(settings["threads"])
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} worker {os.getpid()} on {settings['device']}", file=sys.stderr, flush=True)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # prints of libraries go to the log
    inbox = Inbox(sys.stdin)
    compute = Compute(settings["micro_batch"], **settings["times"])
    worker = Worker(Workspace(Path(settings["workspace"])), settings["grid"], compute, settings["device"], out)
    going = True
    while going and (cells := inbox.next()) is not None:
        going = worker.run(cells)
        inbox.busy = False


if __name__ == "__main__":
    main(sys.argv[1:])
