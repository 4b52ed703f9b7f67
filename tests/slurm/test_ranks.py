"""Several ranks on several nodes of the real SLURM: each with a device of its own, and all on from one checkpoint."""

from __future__ import annotations

from pathlib import Path

from launch_support import result, until

from cluster.batch import batches
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site

STEPS = 3
"""Optimiser steps of an epoch."""


def test_a_job_of_two_nodes_and_four_ranks_is_struck_three_times_and_ends_as_if_undisturbed(site: Site, slurm: Slurm, tiny: Path) -> None:
    """A rank is killed, a third party requeues the job, a job of a higher partition takes one of its nodes."""
    (site.root / "still").mkdir()
    still = Site(site.root / "still", tiny / "store", slurm.settings)
    still.profile()
    undisturbed = still.grid({"head": ["traced"]}, epochs=8, **BLANK)
    assert still.submit(undisturbed, "--gpus", "4").status == 0
    grid = site.grid({"head": ["traced"]}, epochs=8, **BLANK)
    [cell] = site.cells(grid)
    site.profile(partition="low")
    site.slow(0.3)
    assert site.submit(grid, "--gpus", "4").status == 0
    [batch] = batches(site.workspace, "toy")
    [job] = [array["job"] for array in batch.submitted()]

    def trains(attempt: int) -> None:
        until(lambda: site.trains(cell, attempt - 1) and site.epochs(cell) >= attempt, f"attempt {attempt} trains, with an epoch behind it")

    trains(1)
    site.faults.kill_rank(job, 3)
    trains(2)
    site.faults.requeue(job)
    trains(3)
    node = next(line["node"] for line in site.traced() if (line["start"], line["rank"]) == ("2", 3))
    slurm.sbatch("sleep 1", "-p", "high", "-w", node, "--exclusive")
    until(lambda: site.record(cell).events(3)[-1]["event"] == "interrupted", "preempted")
    site.slow(0)
    until(lambda: set(site.states(grid) + still.states(undisturbed)) == {"complete"}, "complete")

    record = site.record(cell)
    assert result(record) == result(still.record(cell)), "bitwise"
    assert record.attempts() == [1, 2, 3, 4] and still.attempts(undisturbed) == [1]
    weights = [line["weights"] for line in still.traced() if line["rank"] == 0]
    assert len(weights) == len(set(weights)) == 8 * STEPS
    for attempt, start in zip(record.attempts(), ("", "1", "2", "3"), strict=True):
        [started] = [event for event in record.events(attempt) if event["event"] == "started"]
        begin = started["epoch"] * STEPS + started["step"]
        assert started["world"] == 4 and (begin > 0) == (attempt > 1)
        for rank in range(4):
            own = [line["weights"] for line in site.traced() if (line["start"], line["rank"]) == (start, rank)]
            assert own and own == weights[begin : begin + len(own)], f"attempt {attempt}, rank {rank}: not as undisturbed from step {begin} on"
