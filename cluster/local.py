"""The local executor: a supervised pool of warm workers on this machine, one a GPU or CPU slot.

A worker that dies costs its unit one attempt. It is replaced and the unit is started again
(``cluster.supervision``). SIGINT or SIGTERM stops the workers at their next optimiser step, with
checkpoints. A second one kills them. Killing the launcher stops them too: their input ends.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.launch_signals import LaunchSignals
from cluster.premises import Premises
from cluster.supervision import Supervision
from cluster.worker_server import LOST_STATUS, WorkerProcess, WorkerServer
from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.fusion import FUSIONS
from echolm.heads import HEADS
from echolm.liveness import HEARTBEAT_S, PATIENCE_S
from echolm.objectives import OBJECTIVES
from echolm.registry import Registry
from echolm.states import RunState
from echolm.text import last_line
from grid.units import Job, Limits, Report, Unit

NETWORKS: dict[str, Registry[Any]] = {
    "encoder": ENCODERS,
    "fusion": FUSIONS,
    "head": HEADS,
    "objective": OBJECTIVES,
}
"""Fields of a configuration whose components are networks."""
POLL_S = 0.2
OUTPUT_BYTES = 65536
"""What is read at once of a worker's output: all that a pipe holds."""


class LocalExecutor:
    """Runs a job's units in worker processes.

    Attributes:
        stopped: the signal that ended a launch, or ''.
        halted: the sentence that says why units were not started, or '': the same error had ended
            several cells.
    """

    def __init__(
        self, devices: list[str], patience_s: float = PATIENCE_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        """Take the devices of the slots (``cpu``, ``cuda:0``), which are used in turn."""
        self._devices = devices
        self._times = {"patience_s": patience_s, "heartbeat_s": heartbeat_s}
        self.stopped = ""
        self.halted = ""

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """Run the units, and return when all have ended or a signal stopped them.

        See ``grid.units.Executor``.

        Returns:
            The ids of the processes that were started.

        Raises:
            EchoLMError: workers end before they are ready, in every slot.
        """
        units = Supervision(job, limits, report)
        pool = _Pool(units, limits, self._devices, self._times)
        with pool.signals.noted():
            try:
                pool.run()
            finally:
                pool.close()
                self.stopped = pool.signals.first
                self.halted = units.stop_reason
        return pool.started


class _Worker:
    """One worker process, the unit it has, and what it said about it."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self.unit: Unit | None = None
        self.ready = False
        self._rest = b""

    def give(self, unit: Unit, cells: list[str]) -> None:
        """Send those cells of a unit.

        A worker that has just died is noticed when its output ends.
        """
        self.unit = unit
        try:
            self.process.write(json.dumps(asdict(unit.only(cells))).encode() + b"\n")
        except BrokenPipeError:
            pass

    def lines(self) -> list[dict[str, Any]] | None:
        """Read what it has said since the last call. None: its output has ended."""
        content = os.read(self.process.output, OUTPUT_BYTES)
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [json.loads(line) for line in lines] if content else None


class _Pool:
    """The supervision of one launch: slots, their workers, the workers' server, and signals."""

    def __init__(
        self, units: Supervision, limits: Limits, devices: list[str], times: dict[str, float]
    ) -> None:
        self._units = units
        self._job = units.job
        self._limits = limits
        self._devices = devices
        self._times = times
        self._logs = self._job.workspace / "grids" / self._job.grid / "workers"
        self._premises = Premises(self._job.workspace, self._tell_outage)
        self._server: WorkerServer | None = None
        self._server_false_starts = 0
        self._workers: dict[int, _Worker] = {}
        self._false_starts: Counter[int] = Counter()
        self._selector = selectors.DefaultSelector()
        self._log = Path()
        """Of what did not start last."""
        self.signals = LaunchSignals()
        self.started: list[str] = []

    def run(self) -> None:
        """Work until no unit waits and no worker has one."""
        self._assign()
        while self._is_busy() or self._units.waits_elsewhere or self._waits_out():
            for key, _ in self._selector.select(POLL_S):
                if key.data is None:
                    self._on_server_news()
                else:
                    self._on_worker_news(key.data)
            self._pass_on_signals()
            self._assign()
        if self._units.waits:
            raise EchoLMError(f"no worker starts: {last_line(self._log)}; see {self._log}")

    def close(self) -> None:
        """End all workers.

        One that has a unit (after an error of the launcher) stops because its input ends.
        """
        for worker in self._workers.values():
            worker.process.close_input()
            if worker.unit is None:
                worker.process.send_signal(signal.SIGKILL)  # it holds nothing
        for worker in self._workers.values():
            while worker.process.poll() is None:
                self._pass_on_signals()
                time.sleep(0.02)
            worker.process.close()
        self._selector.close()
        if self._server:
            self._server.close()

    def _is_busy(self) -> bool:
        """Return whether a worker has a unit, or units wait for workers that will start."""
        starts = self._server is not None and not self._server.ready
        return any(worker.unit for worker in self._workers.values()) or (
            starts and self._units.waits > 0
        )

    def _waits_out(self) -> bool:
        """Return whether units wait for a workspace that is not there. Pauses, and raises its end.

        Raises:
            OutageError: it has been away for too long.
        """
        if not self._units.waits or self.signals.first:
            return False
        return self._premises.pause_while_away()

    def _tell_outage(self, line: str) -> None:
        self._units.tell(Report("outage", "", {"line": line}))

    def _assign(self) -> None:
        """Give waiting units to slots that are free, with a new worker where there is none."""
        self._units.look_elsewhere()
        if not self._units.waits or self._premises.away():
            return
        for slot in range(self._limits.slots):
            if not self._units.waits or self.signals.first:
                return
            worker = self._workers.get(slot) or self._start(slot)
            if worker and worker.unit is None:
                unit = self._units.next()
                worker.give(unit, self._units.left(unit))

    def _start(self, slot: int) -> _Worker | None:
        """Start a worker. None: it has failed too often here, or the server is not ready."""
        if self._false_starts[slot] > self._limits.restarts:
            return None
        if self._server is None:
            self._start_server()
        if self._server is None or not self._server.ready:
            return None
        device = self._devices[slot % len(self._devices)]
        try:
            process = self._server.fork(device, self._logs / f"{slot}.log")
        except ConnectionError:
            self._server_false_starts += 1
            self._log = self._server.log
            self._drop_server()
            return self._start(slot)  # by the next server, once it is ready
        worker = _Worker(process)
        self._workers[slot] = worker
        self._selector.register(process.output, selectors.EVENT_READ, slot)
        self.started.append(str(process.pid))
        return worker

    def _start_server(self) -> None:
        """Start the workers' server, unless it has ended too often before it was ready."""
        if self._server_false_starts > self._limits.restarts:
            return
        resources = self._job.resources
        settings = {
            "workspace": str(self._job.workspace),
            "grid": self._job.grid,
            "threads": resources.threads,
            "micro_batch": resources.micro_batch,
            "precision": resources.precision,
            "compile": resources.compile,
            "times": {**self._times, **resources.saving},
            "imports": slow_imports(self._job.units),
        }
        self._server = WorkerServer(settings, self._logs / "server.log")
        self._selector.register(self._server.socket, selectors.EVENT_READ, None)

    def _on_server_news(self) -> None:
        """Note that the server is ready, or that it is gone: another follows when it is needed."""
        assert self._server
        was_ready = self._server.ready
        if self._server.read_ready():
            return
        if not was_ready:
            self._server_false_starts += 1
            self._log = self._server.log
        self._drop_server()

    def _drop_server(self) -> None:
        """Forget a server that is gone. Its workers go on."""
        assert self._server
        self._selector.unregister(self._server.socket)
        self._server.close()
        self._server = None

    def _on_worker_news(self, slot: int) -> None:
        """Take what a worker has said, or that it is gone."""
        worker = self._workers[slot]
        lines = worker.lines()
        if lines is None:
            self._bury(slot)
            return
        for line in lines:
            event = line.pop("event")
            cell = line.pop("cell", "")
            if event == "ready":
                worker.ready = True
                self._false_starts[slot] = 0
                self._server_false_starts = 0
            elif event == "idle":
                worker.unit = None
            elif worker.unit and self._is_news(event, line):
                self._units.on_report(worker.unit, Report(event, cell, line))

    def _is_news(self, event: str, facts: dict[str, Any]) -> bool:
        """Return whether to pass a report on. Cells that somebody else interrupted run again."""
        if event != "ended" or facts["state"] != RunState.INTERRUPTED:
            return True
        return bool(self.signals.first or facts.get("outage"))

    def _bury(self, slot: int) -> None:
        """Let a unit wait again whose worker died, or was stopped by a signal to it alone."""
        worker = self._workers.pop(slot)
        self._selector.unregister(worker.process.output)
        worker.process.close()
        status = worker.process.wait()
        if not worker.ready:
            self._false_starts[slot] += 1
            self._log = worker.process.log
        if worker.unit and not self.signals.first:
            facts: dict[str, Any] = {"status": status, "log": str(worker.process.log)}
            if status == LOST_STATUS:
                facts["how"] = "its process is gone"
            counts = worker.ready and not self._premises.away()
            again = None if counts else True
            self._units.on_death(worker.unit, facts, again)

    def _pass_on_signals(self) -> None:
        """Stop the workers when a signal has come since the last call. Nothing waits any more."""
        number = self.signals.to_pass_on()
        if number is None:
            return
        if number == signal.SIGTERM:
            self._units.tell(Report("stopping", "", {"signal": self.signals.first}))
        for worker in self._workers.values():
            worker.process.send_signal(number)
        self._units.clear()


def slow_imports(units: Iterable[Unit]) -> list[str]:
    """Return the packages that networks of the units need and that take long to import, sorted."""
    names = set()
    for unit in units:
        for text in unit.configs.values():
            config = json.loads(text)
            for field in NETWORKS:
                if config.get(field):
                    names.add((field, config[field]["name"]))
    packages: set[str] = set()
    for field, name in names:
        packages.update(NETWORKS[field].get(name).imports)
    return sorted(packages)
