"""A launch under a seeded storm of signals to its workers ends as if nothing had happened."""

from __future__ import annotations

import random
import subprocess
import time

import psutil
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from launch_support import Reference, Shell, ended, result

FAULTS = 10


def training(shell: Shell, grid: str) -> list[psutil.Process]:
    """The workers that hold a cell."""
    held = [standing.cell for standing in shell.standings(shell.root / grid) if standing.state.name == "running"]
    return [shell.worker_of(cell) for cell in held]


def strike(rng: random.Random, process: psutil.Process) -> str:
    """Do one thing to a process: SIGKILL, SIGTERM, or SIGSTOP with SIGCONT half a second later."""
    act = rng.choice(["kill", "kill", "terminate", "suspend"])
    getattr(process, act)()
    if act == "suspend":
        time.sleep(0.5)
        process.resume()
    return act


def storm(shell: Shell, grid: str, rng: random.Random, launch: subprocess.Popen[str], faults: list[str]) -> None:
    """Strike workers of a launch at random times, until it ends or there have been enough faults."""
    while launch.poll() is None and len(faults) < FAULTS:
        time.sleep(rng.uniform(0.2, 0.9))
        targets = training(shell, grid)
        try:
            faults += [strike(rng, rng.choice(targets))] if targets else []
        except psutil.NoSuchProcess:
            continue


@pytest.mark.parametrize("seed", [0])
def test_storm(shell: Shell, reference: Reference, seed: int) -> None:
    grid = shell.grid({"head": ["slow"], "seed": list(range(8))}, epochs=3, encoder="none", trainable="k0")
    shell.slow(0.15)
    rng, faults, launches = random.Random(seed), list[str](), 0
    while not launches or "interrupted" in shell.states(grid):
        launches += 1
        assert launches <= 4, "a unit is given up only after three deaths without a new epoch"
        process = shell.start("launch", grid, "--slots", 2, "--no-collect")
        storm(shell, grid.name, rng, process, faults)
        done = ended(process)
        assert "Traceback" not in done.err and "Error" not in done.err, done.err
    assert len(faults) == FAULTS
    assert not shell.workers()
    assert shell.states(grid) == ["complete"] * 8
    for cell in shell.cells(grid):
        assert result(shell.record(cell)) == reference(cell)

    collected = shell("collect", "toy")
    assert collected.status == 0, collected.err
    runs = pq.read_table(shell.workspace.results("toy") / "runs.parquet")
    assert sorted(runs["cell"].to_pylist()) == sorted(cell.id for cell in shell.cells(grid))
    found = ds.dataset(shell.workspace.results("toy") / "predictions", partitioning="hive").to_table()
    stored = [pq.read_metadata(shell.record(cell).file("predictions.parquet")).num_rows for cell in shell.cells(grid)]
    assert found.num_rows == sum(stored)
