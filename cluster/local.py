"""The local executor: a supervised pool of warm workers on this machine, one per GPU or CPU slot.

A worker that dies costs its unit one attempt; it is replaced and the unit is started again, ``Limits.restarts`` times.
SIGINT or SIGTERM stops the workers at their next optimiser step, with checkpoints. Killing the launcher does the same.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from echolm.liveness import HEARTBEAT_S, PATIENCE_S
from grid.plan import Job, Limits, Report, Unit


class LocalExecutor:
    """Runs a job's units in worker processes and returns when all have ended or a signal stopped them.

    ``devices``: one entry a slot (``cpu``, ``cuda:0``), used in turn. ``stopped`` names the signal that ended a launch.
    """

    def __init__(self, devices: list[str], patience_s: float = PATIENCE_S, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._devices = devices
        self._times = {"patience_s": patience_s, "heartbeat_s": heartbeat_s}
        self.stopped = ""

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """See ``grid.plan.Executor``. Returns the process ids that were started."""
        pool = _Pool(job, limits, report, self._devices, self._times)
        before = {number: signal.signal(number, pool.stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            pool.run()
        finally:
            pool.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        self.stopped = pool.stopped
        return pool.started


class _Worker:
    """One worker process and the unit it has."""

    def __init__(self, number: int, settings: dict[str, Any], environment: dict[str, str], log: Path) -> None:
        self.number = number
        self.unit: Unit | None = None
        self.ended: set[str] = set()
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cluster.worker", json.dumps(settings)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env=environment, start_new_session=True, bufsize=0,
            )  # fmt: skip
        self._rest = b""

    def give(self, unit: Unit) -> None:
        """Send a unit; a worker that has just died is noticed when its output ends."""
        self.unit, self.ended = unit, set()
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(list(unit.cells)).encode() + b"\n")
        except BrokenPipeError:
            pass

    def lines(self) -> list[dict[str, Any]] | None:
        """What it has said since the last call; None when its output has ended."""
        assert self.process.stdout
        content = os.read(self.process.stdout.fileno(), 65536)
        *whole, self._rest = (self._rest + content).split(b"\n")
        return [json.loads(line) for line in whole] if content else None


class _Pool:
    """The supervision of one launch."""

    def __init__(
        self, job: Job, limits: Limits, report: Callable[[Report], None], devices: list[str], times: dict[str, float]
    ) -> None:
        self._job, self._limits, self._report, self._devices, self._times = job, limits, report, devices, times
        self._waiting = deque(job.units)
        self._deaths: Counter[str] = Counter()
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}
        self.started: list[str] = []
        self.stopped = ""

    def run(self) -> None:
        """Until no unit waits and no worker has one."""
        for number in range(min(self._limits.slots, len(self._waiting))):
            self._start(number)
        while any(worker.unit for worker in self._workers.values()):
            for key, _ in self._selector.select(timeout=1.0):
                self._hear(self._workers[key.data])

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: give out no more units and ask the workers to checkpoint and stop."""
        self.stopped = signal.Signals(number).name
        self._waiting.clear()
        for worker in self._workers.values():
            worker.process.terminate()

    def close(self) -> None:
        """End all workers: the end of their input lets them stop by themselves."""
        for worker in self._workers.values():
            assert worker.process.stdin
            worker.process.stdin.close()
        for worker in self._workers.values():
            worker.process.wait()
        self._selector.close()

    def _start(self, number: int) -> None:
        device = self._devices[number % len(self._devices)]
        resources = self._job.resources
        settings = {
            "workspace": str(self._job.workspace), "grid": self._job.grid, "device": device, "threads": resources.threads,
            "micro_batch": resources.micro_batch, "times": self._times,
        }  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": str(resources.threads), "PYTHONUNBUFFERED": "1"}
        logs = self._job.workspace / "grids" / self._job.grid / "workers"
        logs.mkdir(parents=True, exist_ok=True)
        worker = _Worker(number, settings, environment, logs / f"{number}.log")
        self._workers[number] = worker
        self.started.append(str(worker.process.pid))
        assert worker.process.stdout
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, number)
        if self._waiting:
            worker.give(self._waiting.popleft())

    def _hear(self, worker: _Worker) -> None:
        lines = worker.lines()
        if lines is None:
            return self._bury(worker)
        for line in lines:
            event, cell = line.pop("event"), line.pop("cell")
            if event == "idle":
                worker.unit = None
                if self._waiting:
                    worker.give(self._waiting.popleft())
                continue
            if event == "ended":
                worker.ended.add(cell)
            self._report(Report(event, cell, line))

    def _bury(self, worker: _Worker) -> None:
        """A worker's output ended: put its unit back, replace it while there is work."""
        assert worker.process.stdout
        self._selector.unregister(worker.process.stdout)
        status, unit, worker.unit = worker.process.wait(), worker.unit, None
        if unit is None or self.stopped:
            return
        self._deaths[unit.id] += 1
        again = self._deaths[unit.id] <= self._limits.restarts
        facts = {"status": status, "again": again, "log": f"grids/{self._job.grid}/workers/{worker.number}.log"}
        for cell in (cell for cell in unit.cells if cell not in worker.ended):
            self._report(Report("died", cell, facts))
        if again:
            self._waiting.appendleft(unit)
        if self._waiting:
            self._start(worker.number)
