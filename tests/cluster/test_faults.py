"""A launch under a seeded storm of signals to its workers ends as if nothing had happened."""

from __future__ import annotations

import random
import subprocess
import time

import psutil
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from launch_support import Reference, Shell, ended, result, until

from echolm.states import RunState
from grid.definition.grid import Cell

FAULTS = 10
STEP_S = 0.3
STEPS = 3
"""In an epoch."""


class Storm:
    """Strikes workers of a launch, until it ends or there have been enough faults.

    A worker is struck somewhere in an epoch after its cell has got on since it was struck last. So
    ten faults fit into the run, however fast the machine is: the cells have many more epochs.
    """

    def __init__(self, shell: Shell, grid: str, seed: int) -> None:
        self.faults: list[str] = []
        self._shell = shell
        self._grid = shell.root / grid
        self._random = random.Random(seed)
        self._struck: dict[str, int] = {}
        """Cell -> its epochs when it was struck last."""

    def rage(self, launch: subprocess.Popen[str]) -> None:
        while len(self.faults) < FAULTS:
            cells = until(
                lambda: launch.poll() is not None or self._ready(), "a cell has got on, or the end"
            )
            if launch.poll() is not None:
                return
            cell = self._random.choice(cells)
            time.sleep(self._random.uniform(0, STEPS * STEP_S))
            try:
                self.faults.append(self._strike(self._shell.worker_of(cell)))
            except psutil.NoSuchProcess:
                continue
            self._struck[cell.id] = self._shell.epochs(cell)
        self._shell.slow(0)

    def _ready(self) -> list[Cell]:
        """The cells in training that have got on since they were struck."""
        cells = []
        for standing in self._shell.standings(self._grid):
            epochs = self._shell.epochs(standing.cell)
            is_training = standing.state.name == RunState.RUNNING
            if is_training and epochs > self._struck.get(standing.cell.id, -1):
                cells.append(standing.cell)
        return cells

    def _strike(self, process: psutil.Process) -> str:
        """Do one thing to a process: SIGKILL, SIGTERM, or SIGSTOP with SIGCONT soon after."""
        act = self._random.choice(["kill", "kill", "terminate", "suspend"])
        getattr(process, act)()
        if act == "suspend":
            time.sleep(0.5)
            process.resume()
        return act


@pytest.mark.parametrize("seed", [0])
def test_storm(shell: Shell, reference: Reference, seed: int) -> None:
    seeds = list(range(8))
    grid = shell.grid({"head": ["slow"], "seed": seeds}, epochs=4, encoder="none", trainable="k0")
    shell.slow(STEP_S)
    storm, launches = Storm(shell, grid.name, seed), 0
    while not launches or "interrupted" in shell.states(grid):
        launches += 1
        assert launches <= 4, "a unit is given up only after three deaths without a new epoch"
        process = shell.start("launch", grid, "--slots", 2, "--no-collect")
        storm.rage(process)
        done = ended(process)
        assert "Traceback" not in done.err and "Error" not in done.err, done.err
    assert len(storm.faults) == FAULTS
    until(lambda: not shell.workers(), "no worker is left")
    assert shell.states(grid) == ["complete"] * len(seeds)
    for cell in shell.cells(grid):
        assert result(shell.record(cell)) == reference(cell)

    collected = shell("collect", "toy")
    assert collected.status == 0, collected.err
    runs = pq.read_table(shell.workspace.results("toy") / "runs.parquet")
    assert sorted(runs["cell"].to_pylist()) == sorted(cell.id for cell in shell.cells(grid))
    folder = shell.workspace.results("toy") / "predictions"
    predictions = ds.dataset(folder, partitioning="hive").to_table()
    rows = 0
    for cell in shell.cells(grid):
        rows += pq.read_metadata(shell.record(cell).file("predictions.parquet")).num_rows
    assert predictions.num_rows == rows
