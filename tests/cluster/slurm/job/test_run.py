"""The body of a SLURM job, in this process: units are claimed one after another, while time is left
and nothing stops it.
"""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest
from launch_support import Shell

from cluster.batch import Claim, JobBatch, new_batch_path
from cluster.slurm.job.requeue import TRY_AGAIN
from cluster.slurm.job.run import run_job
from cluster.tracebacks import LIMIT
from grid.definition.grid import load_grid
from grid.plan import save_cells
from grid.units import Resources, Unit

BLANK = {"encoder": "none", "trainable": "k0", "epochs": 1}


def batch(shell: Shell, grid: Path, **resources: int) -> JobBatch:
    """A batch with each cell of a grid as a unit."""
    save_cells(load_grid(str(grid)), shell.workspace)
    units = tuple(Unit((cell.id,)) for cell in shell.cells(grid))
    made = JobBatch(
        new_batch_path(shell.workspace, grid.stem),
        shell.workspace.root,
        grid.stem,
        units,
        Resources(**resources),
    )
    made.write()
    return made


def test_one_job_takes_all_units_and_a_second_finds_nothing(shell: Shell) -> None:
    grid = shell.grid({"head": ["mlp"], "seed": [0, 1, 2]}, **BLANK)
    made = batch(shell, grid)
    assert run_job(made.path) == "no unit waits"
    assert shell.states(grid) == ["complete"] * 3
    assert {claims[-1]["over"] for claims in made.claims().values()} == {"done"}
    assert run_job(made.path) == "no unit waits"
    assert shell.attempts(grid) == [1, 1, 1]


def test_no_further_unit_is_begun_when_it_would_not_end_in_time(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = shell.grid({"head": ["mlp"], "seed": [0, 1, 2]}, **BLANK)
    made = batch(shell, grid)
    others = [Claim.take(made, unit) for unit in made.units[1:]]
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + 0.01))
    assert all(others) and "the longest unit took" in run_job(made.path)
    assert shell.states(grid) == ["complete", "pending", "pending"], (
        "the first is always begun: it has checkpoints"
    )
    assert made.ended(), "units that other jobs have are theirs"


def test_a_job_without_time_starts_again_for_the_units_that_wait(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without scontrol here: by the note that the batch script finds."""
    grid = shell.grid({"head": ["mlp"], "seed": [0, 1, 2]}, **BLANK)
    made = batch(shell, grid)
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + 0.01))
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("PATH", str(tmp_path))
    job = multiprocessing.get_context("fork").Process(target=run_job, args=(made.path,))
    job.start()
    job.join(60)
    assert (job.exitcode, shell.states(grid), made.ended()) == (
        TRY_AGAIN,
        ["complete", "pending", "pending"],
        set(),
    )
    assert [path.name for path in (made.path / "again").iterdir()] == ["77"]


def test_three_cells_with_one_traceback_stop_the_job(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_HEALED")
    grid = shell.grid({"head": ["fails"], "seed": list(range(LIMIT + 2))}, **BLANK)
    why = run_job(batch(shell, grid).path)
    assert why.startswith("the same error ended 3 cells") and "this head is broken" in why
    assert shell.states(grid) == ["failed"] * LIMIT + ["pending"] * 2


def test_cuda_out_of_memory_is_tried_again_with_half_the_micro_batch(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of 5: 5, then 2, where the head has room for 2."""
    monkeypatch.delenv("TEST_HEALED")
    grid = shell.grid({"head": ["greedy"]}, **BLANK)
    assert run_job(batch(shell, grid).path) == "no unit waits"
    assert (shell.states(grid), shell.attempts(grid)) == (["complete"], [2])
    record = shell.record(shell.cells(grid)[0])
    [failed] = [event for event in record.events(1) if event["event"] == "failed"]
    assert failed["class"] == "out-of-memory" and record.failures() == []


def test_cells_that_cannot_run_are_named_in_the_claim(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOLM_OUTAGE_S", "0")
    grid = shell.grid({"head": ["mlp"]}, **{**BLANK, "data": "elsewhere"})
    made = batch(shell, grid)
    run_job(made.path)
    [claims] = made.claims().values()
    assert claims[0]["over"] == "done" and "elsewhere" in next(iter(claims[0]["left"].values()))
