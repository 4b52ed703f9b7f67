"""The local executor: a supervised pool of warm workers on this machine, one per GPU or CPU slot.

A worker that dies costs its unit one attempt; it is replaced and the unit is started again (``cluster.supervision``).
SIGINT or SIGTERM stops the workers at their next optimiser step, with checkpoints; a second one kills them. Killing the
launcher stops them too: their standard input ends.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from cluster.supervision import Supervision
from echolm.errors import EchoLMError
from echolm.liveness import HEARTBEAT_S, PATIENCE_S
from grid.plan import Job, Limits, Report, Unit

POLL_S = 0.2


class LocalExecutor:
    """Runs a job's units in worker processes and returns when all have ended or a signal stopped them.

    ``devices``: one entry a slot (``cpu``, ``cuda:0``), used in turn. ``stopped`` names the signal that ended a launch;
    ``halted`` is the sentence that says why units were not started: the same error had ended several cells.
    """

    def __init__(self, devices: list[str], patience_s: float = PATIENCE_S, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._devices = devices
        self._times = {"patience_s": patience_s, "heartbeat_s": heartbeat_s}
        self.stopped = self.halted = ""

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """See ``grid.plan.Executor``. Returns the process ids that were started.

        EchoLMError: workers end before they are ready, in every slot.
        """
        units = Supervision(job, limits, report)
        pool = _Pool(units, limits, self._devices, self._times)
        before = {number: signal.signal(number, pool.note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            pool.run()
        finally:
            pool.close()
            for number, handler in before.items():
                signal.signal(number, handler)
            self.stopped, self.halted = pool.stopped, units.halted
        return pool.started


class _Worker:
    """One worker process, the unit it has, and what it said about it."""

    def __init__(self, settings: dict[str, Any], log: Path) -> None:
        self.unit: Unit | None = None
        self.ready = False
        self.log = log
        environment = {
            **os.environ, "OMP_NUM_THREADS": str(settings["threads"]), "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),  # the launcher's modules; with -P, none of the current folder
        }  # fmt: skip
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "cluster.worker", json.dumps(settings)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env=environment, start_new_session=True, bufsize=0,
            )  # fmt: skip
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        self._rest = b""

    def give(self, unit: Unit, cells: list[str]) -> None:
        """Send those cells of a unit; a worker that has just died is noticed when its output ends."""
        self.unit = unit
        try:
            self.input.write(json.dumps(cells).encode() + b"\n")
        except BrokenPipeError:
            pass

    def lines(self) -> list[dict[str, Any]] | None:
        """What it has said since the last call; None when its output has ended."""
        content = os.read(self.output.fileno(), 65536)
        *whole, self._rest = (self._rest + content).split(b"\n")
        return [json.loads(line) for line in whole] if content else None


class _Pool:
    """The supervision of one launch: slots, their workers, and signals."""

    def __init__(self, units: Supervision, limits: Limits, devices: list[str], times: dict[str, float]) -> None:
        self._units, self._job, self._limits, self._devices, self._times = units, units.job, limits, devices, times
        self._false_starts: Counter[int] = Counter()
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._signals: list[str] = []
        self._obeyed = 0
        self._log = Path()
        self.started: list[str] = []

    @property
    def stopped(self) -> str:
        """The first signal that came, or ''."""
        return self._signals[0] if self._signals else ""

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler. What follows from it is done between two looks at the workers."""
        self._signals.append(signal.Signals(number).name)

    def run(self) -> None:
        """Until no unit waits and no worker has one."""
        self._assign()
        while any(worker.unit for worker in self._workers.values()):
            for key, _ in self._selector.select(POLL_S):
                self._hear(key.data, self._workers[key.data])
            self._obey()
            self._assign()
        if self._units.waits:
            raise EchoLMError(f"no worker starts: {_last_line(self._log)}; see {self._log}")

    def close(self) -> None:
        """End all workers. One that has a unit (after an error of the launcher) stops because its input ends."""
        for worker in self._workers.values():
            worker.input.close()
            if worker.unit is None:
                worker.process.kill()  # it holds nothing
        for worker in self._workers.values():
            while worker.process.poll() is None:
                self._obey()
                time.sleep(0.02)
            worker.output.close()
        self._selector.close()

    def _assign(self) -> None:
        """Give waiting units to slots that are free, with a new worker where there is none."""
        for slot in range(self._limits.slots):
            if not self._units.waits or self._signals:
                return
            worker = self._workers.get(slot)
            if worker is None and self._false_starts[slot] <= self._limits.restarts:
                worker = self._start(slot)
            if worker and worker.unit is None:
                unit = self._units.next()
                worker.give(unit, self._units.left(unit))

    def _start(self, slot: int) -> _Worker:
        resources = self._job.resources
        settings = {
            "workspace": str(self._job.workspace), "grid": self._job.grid, "device": self._devices[slot % len(self._devices)],
            "threads": resources.threads, "micro_batch": resources.micro_batch, "times": self._times,
        }  # fmt: skip
        worker = _Worker(settings, self._job.workspace / "grids" / self._job.grid / "workers" / f"{slot}.log")
        self._workers[slot] = worker
        self._selector.register(worker.output, selectors.EVENT_READ, slot)
        self.started.append(str(worker.process.pid))
        return worker

    def _hear(self, slot: int, worker: _Worker) -> None:
        lines = worker.lines()
        if lines is None:
            return self._bury(slot, worker)
        for line in lines:
            event, cell = line.pop("event"), line.pop("cell", "")
            if event == "ready":
                worker.ready, self._false_starts[slot] = True, 0
            elif event == "idle":
                worker.unit = None
            elif worker.unit and (event != "ended" or line["state"] != "interrupted" or self._signals):
                self._units.hear(worker.unit, Report(event, cell, line))

    def _bury(self, slot: int, worker: _Worker) -> None:
        """A worker's output ended: it died, or a signal that was not the launcher's stopped it. Its unit waits again."""
        self._selector.unregister(worker.output)
        del self._workers[slot]
        worker.input.close()
        worker.output.close()
        status, unit = worker.process.wait(), worker.unit
        if not worker.ready:
            self._false_starts[slot] += 1
            self._log = worker.log
        if unit and not self._signals:
            self._units.died(unit, {"status": status, "log": str(worker.log)}, within=None if worker.ready else True)

    def _obey(self) -> None:
        """Act on signals since the last call: the first asks the workers to checkpoint and stop, the next kills them."""
        if len(self._signals) == self._obeyed:
            return
        for worker in self._workers.values():
            worker.process.kill() if self._obeyed else worker.process.terminate()
        self._units.clear()
        self._obeyed = len(self._signals)


def _last_line(log: Path) -> str:
    """The last line of a worker's log that says something."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
