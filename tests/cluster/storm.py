"""A seeded storm of faults over a launch: its workers are struck, or the launch itself."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence

import psutil
from launch_support import Shell, until

from echolm.states import RunState
from grid.definition.grid import Cell

FAULTS = 10
STEP_S = 0.3
STEPS = 3
"""In an epoch."""
LAUNCH = "launch"
"""The fault that kills the launch and not a worker."""


class Storm:
    """Strikes workers of a launch, until it ends or there have been enough faults.

    A worker is struck somewhere in an epoch after its cell has got on since it was struck last. So
    ten faults fit into the run, however fast the machine is: the cells have many more epochs.

    Args:
        shell: the workspace.
        grid: the name of the grid's file.
        seed: of moments, cells and faults.
        acts: the faults to choose from: methods of a process, ``suspend`` for a while, or
            ``launch``.

    Attributes:
        faults: those of so far.
        struck: how often each cell was struck, by its id.
    """

    def __init__(
        self,
        shell: Shell,
        grid: str,
        seed: int,
        acts: Sequence[str] = ("kill", "kill", "terminate", "suspend"),
    ) -> None:
        self.faults: list[str] = []
        self.struck: Counter[str] = Counter()
        self._shell = shell
        self._grid = shell.root / grid
        self._random = random.Random(seed)
        self._acts = acts
        self._epochs: dict[str, int] = {}
        """Cell -> its epochs when it was struck last."""

    def rage(self, launch: subprocess.Popen[str], faults: int = FAULTS) -> None:
        """Strike until the launch has ended, or there have been so many faults.

        Then steps take no time.
        """
        while len(self.faults) < faults:
            cells = until(
                lambda: launch.poll() is not None or self._ready(), "a cell has got on, or the end"
            )
            if launch.poll() is not None:
                return
            cell = self._random.choice(cells)
            time.sleep(self._random.uniform(0, STEPS * STEP_S))
            try:
                self.faults.append(self._strike(self._shell.worker_of(cell), launch))
            except psutil.NoSuchProcess:
                continue
            self._epochs[cell.id] = self._shell.epochs(cell)
            self.struck[cell.id] += 1
        self._shell.slow(0)

    def _ready(self) -> list[Cell]:
        """The cells in training that have got on since they were struck."""
        cells = []
        for standing in self._shell.standings(self._grid):
            epochs = self._shell.epochs(standing.cell)
            is_training = standing.state.name == RunState.RUNNING
            if is_training and epochs > self._epochs.get(standing.cell.id, -1):
                cells.append(standing.cell)
        return cells

    def _strike(self, process: psutil.Process, launch: subprocess.Popen[str]) -> str:
        """Do one thing to a process: SIGKILL, SIGTERM, or SIGSTOP with SIGCONT soon after.

        Or kill the launch.
        """
        act = self._random.choice(self._acts)
        if act == LAUNCH:
            launch.kill()
            launch.wait()
            return act
        getattr(process, act)()
        if act == "suspend":
            time.sleep(0.5)
            process.resume()
        return act
