"""The workers of a search as processes of this machine: watched, and started again when they die.

SIGINT or SIGTERM stops them at their next optimiser step, with checkpoints. A second one kills
them. Killing this process stops them too: their standard input ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cluster.launch_signals import LaunchSignals
from cluster.search_request import Workers
from echolm.errors import EchoLMError
from echolm.text import last_line
from grid.search.trial import DEATHS

POLL_S = 0.1
LOOK_S = 1.0


def run_local(workers: Workers) -> str:
    """Run the workers here. See ``cluster.search.start_workers``."""
    pool = _Pool(workers)
    with pool.signals.noted():
        try:
            pool.run()
        finally:
            pool.close()
    return pool.signals.first


@dataclass
class _Slot:
    """A worker's place: its process, and how often one died here since a trial ended anywhere."""

    number: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    ended: int = 0


class _Pool:
    """The supervision of one call."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._slots = []
        for number in range(workers.count):
            self._slots.append(_Slot(number, workers.folder / "workers" / f"{number}.log"))
        self.signals = LaunchSignals()

    def run(self) -> None:
        """Wait until no worker has anything to do.

        Raises:
            EchoLMError: all died again and again without a trial ending.
        """
        ended, looked = self._workers.look(), time.monotonic()
        for slot in self._slots:
            slot.ended = ended
            self._start(slot)
        while any(slot.process for slot in self._slots):
            time.sleep(POLL_S)
            self._pass_on_signals()
            if time.monotonic() - looked > LOOK_S:
                ended, looked = self._workers.look(), time.monotonic()
            for slot in self._slots:
                self._watch(slot, ended)
        self._workers.look()
        if not self.signals.first and all(slot.deaths > DEATHS for slot in self._slots):
            log = self._slots[0].log
            raise EchoLMError(f"no worker stays alive: {last_line(log)}; see {log}")

    def close(self) -> None:
        """Let workers stop that are there after an error of this process."""
        for slot in self._slots:
            if slot.process:
                assert slot.process.stdin
                slot.process.stdin.close()
                slot.process.wait()

    def _watch(self, slot: _Slot, ended: int) -> None:
        """Start a worker again that has died.

        ``DEATHS`` times without a trial that ended meanwhile.
        """
        status = slot.process.poll() if slot.process else None
        if status is None:
            return
        assert slot.process and slot.process.stdin
        slot.process.stdin.close()
        slot.process = None
        if status != 0:
            slot.deaths = 1 if ended > slot.ended else slot.deaths + 1
            slot.ended = ended
            if slot.deaths <= DEATHS and not self.signals.first:
                self._start(slot)

    def _start(self, slot: _Slot) -> None:
        """Start a worker's process."""
        workers = self._workers
        device = workers.devices[slot.number % len(workers.devices)]
        arithmetic = workers.arithmetic
        words = [str(workers.folder), str(workers.trials), device, arithmetic.precision]
        if arithmetic.compile:
            words.append("compile")
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(workers.threads),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        slot.log.parent.mkdir(parents=True, exist_ok=True)
        with open(slot.log, "ab") as log:
            slot.process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "cluster.search_worker", *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _pass_on_signals(self) -> None:
        """Act on signals since the last call."""
        number = self.signals.to_pass_on()
        if number is None:
            return
        for slot in self._slots:
            if slot.process:
                slot.process.send_signal(number)
