"""One ``echolm launch`` without ``--watch`` ends with both stages of a grid complete."""

from __future__ import annotations

import re

import pytest

from grid.definition.grid import Cell
from tests.slurm.client import Slurm
from tests.slurm.site import Site, until

SLOW = {"name": "recall", "acts": "slow"}


def test_one_launch_ends_with_both_stages_though_each_is_requeued(site: Site) -> None:
    """By an administrator, in the middle of either stage: what depends on it goes on waiting."""
    site.slow(5, from_step=4)
    grid = site.stages(objective=SLOW, heads=("mean", "slow"), epochs=2)
    mean, slow, first = site.cells(grid)
    done = site.submit(grid)
    assert done.status == 0 and "submitted 3 cells: 2 arrays" in done.out, done
    until(lambda: site.saved(first) >= 1, "an epoch of the first stage")
    assert site.states(grid)[:2] == ["waiting", "waiting"]
    site.faults.requeue(site.job_of(grid, first))
    until(lambda: site.trains(first, attempts=1), "it goes on")
    site.slow(0)
    until(lambda: site.states(grid)[2] == "complete", "the first stage is complete")
    site.slow(5, from_step=4)
    until(lambda: site.saved(slow) >= 1, "an epoch of the second stage")
    site.faults.requeue(site.job_of(grid, slow))
    until(lambda: site.trains(slow, attempts=1), "it goes on")
    site.slow(0)
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert site.attempts_of(first) == site.attempts_of(slow) == [1, 2]
    assert site.attempts_of(mean) == [1, 2], "it is trained together with the slow one"


def test_a_first_stage_that_is_lost_is_submitted_again_with_what_waits_for_it(site: Site) -> None:
    """Its job is cancelled by nobody that EchoLM knows, so the second stage comes too early."""
    site.slow(5, from_step=4)
    grid = site.stages(objective=SLOW, epochs=2)
    mean, mlp, first = site.cells(grid)
    site.submit(grid)
    until(lambda: site.saved(first) >= 1, "an epoch of the first stage")
    site.slurm("scancel", site.job_of(grid, first))
    until(lambda: not site.jobs(grid), "the second stage has found nothing to begin with")
    assert site.attempts_of(mean) == site.attempts_of(mlp) == []
    site.slow(0)
    assert site.submit(grid, command="retry").status == 0
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert site.attempts_of(first) == [1, 2]
    assert site.attempts_of(mean) == site.attempts_of(mlp) == [1]


def newest_events(site: Site, cell: Cell) -> list[str]:
    """The events of a cell's newest attempt, none before its first."""
    numbers = site.attempts_of(cell)
    if not numbers:
        return []
    return [event["event"] for event in site.record(cell).events(numbers[-1])]


def meet_time_limit(site: Site, job: str, cell: Cell) -> None:
    """Cut the limit of the job that trains a cell to 40 to 100 seconds from now, until the warning.

    SLURM looks every 30 s. With less, the limit may come before the warning.
    """
    before = len(site.attempts_of(cell))
    used = re.search(r"RunTime=(\d+):(\d+):(\d+)", site.slurm("scontrol", "show", "job", job))
    assert used
    hours, minutes, seconds = map(int, used.groups())
    limit = 60 * hours + minutes + (2 if seconds > 20 else 1)
    site.slurm("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")

    until(lambda: "interrupted" in newest_events(site, cell), "it is warned, and has a checkpoint")
    site.slurm("scontrol", "update", f"JobId={job}", "TimeLimit=10")
    until(lambda: len(site.attempts_of(cell)) > before, "it starts again")


@pytest.mark.timeout(600, func_only=True)
def test_one_launch_ends_with_both_stages_though_the_first_meets_its_limit_twice_and_is_preempted(
    site: Site, slurm: Slurm
) -> None:
    site.profile(partition="low")
    site.slow(3)
    common = {"data": "tiny", "encoder": "tiny-r3d", "batch_size": 5}
    first_base = {"kind": "pretrain", "objective": SLOW, "epochs": 40, **common}
    grid = site.stages(first={"base": first_base}, heads=("mean",))
    then, first = site.cells(grid)
    assert site.submit(grid).status == 0

    def moves() -> bool:
        return "epoch" in newest_events(site, first)

    for _ in range(2):
        until(moves, "an epoch since its start")
        meet_time_limit(site, site.job_of(grid, first), first)
    until(moves, "an epoch since its start")
    high = slurm.sbatch("sleep 1", "-p", "high", "-N", str(site.settings.nodes), "--exclusive")
    until(lambda: slurm.state(high) == "COMPLETED", "the preempting job ends")
    until(lambda: site.trains(first, attempts=3), "it goes on")
    assert site.states(grid) == ["waiting", "running"]
    site.slow(0)
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert site.attempts_of(first) == [1, 2, 3, 4]
    assert site.attempts_of(then) == [1]
