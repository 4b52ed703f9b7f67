"""A launch under a seeded storm of signals to its workers ends as if nothing had happened."""

from __future__ import annotations

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from launch_support import Reference, Shell, ended, result, until
from storm import FAULTS, STEP_S, Storm


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
