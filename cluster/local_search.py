"""The workers of a search as processes of this machine: watched, and started again when they die.

SIGINT or SIGTERM stops them at their next optimiser step, with checkpoints; a second one kills them. Killing this
process stops them too: their standard input ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cluster.search import Workers
from echolm.errors import EchoLMError
from grid.search.trial import DEATHS

POLL_S = 0.1
LOOK_S = 1.0


def run_local(workers: Workers) -> str:
    """See ``cluster.search.start_workers``."""
    pool = _Pool(workers)
    before = {number: signal.signal(number, pool.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        pool.run()
    finally:
        pool.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return pool.signals[0] if pool.signals else ""


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
        self._slots = [_Slot(number, workers.folder / "workers" / f"{number}.log") for number in range(workers.count)]
        self._obeyed = 0
        self.signals: list[str] = []

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        self.signals.append(signal.Signals(number).name)

    def run(self) -> None:
        """Until no worker has anything to do; EchoLMError when all died again and again without a trial ending."""
        ended, looked = self._workers.look(), time.monotonic()
        for slot in self._slots:
            slot.ended = ended
            self._start(slot)
        while any(slot.process for slot in self._slots):
            time.sleep(POLL_S)
            self._obey()
            if time.monotonic() - looked > LOOK_S:
                ended, looked = self._workers.look(), time.monotonic()
            for slot in self._slots:
                self._watch(slot, ended)
        self._workers.look()
        if not self.signals and all(slot.deaths > DEATHS for slot in self._slots):
            raise EchoLMError(f"no worker stays alive: {_last_line(self._slots[0].log)}; see {self._slots[0].log}")

    def close(self) -> None:
        """Let workers stop that are there after an error of this process."""
        for slot in self._slots:
            if slot.process:
                assert slot.process.stdin
                slot.process.stdin.close()
                slot.process.wait()

    def _watch(self, slot: _Slot, ended: int) -> None:
        """Start a worker again that has died, ``DEATHS`` times without a trial that ended meanwhile."""
        status = slot.process.poll() if slot.process else None
        if status is None:
            return
        assert slot.process and slot.process.stdin
        slot.process.stdin.close()
        slot.process = None
        if status != 0:
            slot.deaths = 1 if ended > slot.ended else slot.deaths + 1
            slot.ended = ended
            if slot.deaths <= DEATHS and not self.signals:
                self._start(slot)

    def _start(self, slot: _Slot) -> None:
        workers = self._workers
        device = workers.devices[slot.number % len(workers.devices)]
        words = [str(workers.folder), str(workers.trials), device]
        environment = {
            **os.environ, "OMP_NUM_THREADS": str(workers.threads), "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        slot.log.parent.mkdir(parents=True, exist_ok=True)
        with open(slot.log, "ab") as log:
            slot.process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "cluster.search_worker", *words],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip

    def _obey(self) -> None:
        """Act on signals since the last call."""
        if len(self.signals) == self._obeyed:
            return
        for slot in self._slots:
            if slot.process:
                slot.process.kill() if self._obeyed else slot.process.terminate()
        self._obeyed = len(self.signals)


def _last_line(log: Path) -> str:
    """The last line of a worker's log that says something."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
