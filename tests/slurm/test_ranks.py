"""Several ranks on several nodes of the real SLURM: struck again and again, all go on from one
checkpoint.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch
from launch_support import Shell, result

from cluster.batch import batches
from cluster.rendezvous import meet
from echolm.liveness import read_holder
from echolm.training.distributed import joined
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from grid.definition.grid import Cell
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site, until

EPOCHS, STEPS, WORLD = 8, 3, 4


def train(shell: Shell, cell: Cell, rank: int) -> None:
    """One rank of an undisturbed run."""
    store = meet(shell.root / "meeting.json", rank, WORLD)
    with joined(rank, WORLD, torch.device("cpu"), store) as ranks:
        fit([prepare_run(cell.config, shell.workspace)], ranks=ranks)


def undisturbed(root: Path, store: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A workspace in which four processes of this machine have trained the cell."""
    root.mkdir()
    shell, context = Shell(root, store), multiprocessing.get_context("fork")
    monkeypatch.setenv("TEST_TRACE", str(root / "trace"))
    ranks = [context.Process(target=train, args=(shell, cell, rank)) for rank in range(WORLD)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
    assert [process.exitcode for process in ranks] == [0] * WORLD
    return shell


def test_a_job_of_two_nodes_with_two_ranks_each_is_struck_twice_and_ends_as_if_undisturbed(
    site: Site, slurm: Slurm, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank is killed. Then a job of a higher partition takes one of its nodes."""
    site.profile(partition="low")
    grid = site.grid({"head": ["traced"]}, epochs=EPOCHS, **BLANK)
    [cell] = site.cells(grid)
    site.slow(5, from_step=4)
    assert site.submit(grid, "--gpus", str(WORLD)).status == 0
    [array] = [array for batch in batches(site.workspace, "toy") for array in batch.submitted()]

    def trains(attempt: int) -> None:
        until(
            lambda: (
                site.trains(cell, attempt - 1)
                and site.record(cell).checkpoint_position() >= (attempt, 0)
            ),
            f"attempt {attempt} trains, with a checkpoint",
        )

    trains(1)
    site.faults.kill_rank(array["job"], 3)
    trains(2)
    node = [line["node"] for line in site.traced() if line["rank"] == 3][-1]
    slurm.sbatch("sleep 1", "-p", "high", "-w", node, "--exclusive")
    until(lambda: site.record(cell).events(2)[-1]["event"] == "interrupted", "preempted")
    site.slow(0)
    still = undisturbed(site.root / "still", tiny / "store", cell, monkeypatch)
    until(lambda: site.states(grid) == ["complete"], "complete")

    record = site.record(cell)
    assert result(record) == result(still.record(cell)), "bitwise"
    attempts = record.attempts()
    assert len(attempts) >= 3, "on a busy machine SLURM may end a start of its own accord"
    weights = [line["weights"] for line in still.traced() if line["rank"] == 0]
    assert len(weights) == len(set(weights)) == EPOCHS * STEPS
    trained = 0
    for attempt in attempts:
        holder = read_holder(record.attempt_path(attempt))
        assert holder
        start = str(holder["slurm_restart"] or "")
        if not any(line["start"] == start for line in site.traced()):
            continue  # SLURM ended this start before its first step
        trained += 1
        [started] = [event for event in record.events(attempt) if event["event"] == "started"]
        begin = started["epoch"] * STEPS + started["step"]
        assert started["world"] == WORLD and (begin > 0) == (attempt > 1)
        for rank in range(WORLD):
            own = [
                line["weights"]
                for line in site.traced()
                if (line["start"], line["rank"]) == (start, rank)
            ]
            assert own and own == weights[begin : begin + len(own)], (
                f"attempt {attempt}, rank {rank}: not as undisturbed from step {begin} on"
            )
    assert trained >= 3
