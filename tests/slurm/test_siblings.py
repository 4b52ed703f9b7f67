"""Jobs of one array: what befalls one of them leaves the others alone."""

from __future__ import annotations

from tests.slurm import processes
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site, until


def test_a_warned_job_starts_itself_again_and_not_its_array(site: Site, slurm: Slurm) -> None:
    """One task of an array has the id of the whole array in SLURM_JOB_ID."""
    grid = site.grid({"head": ["slow"], "seed": [0, 1]}, epochs=5, **BLANK)
    site.slow(5, from_step=4)
    assert site.submit(grid).status == 0
    cells = site.cells(grid)
    until(
        lambda: all(
            site.trains(cell) and site.record(cell).checkpoint_position() >= (1, 0)
            for cell in cells
        ),
        "both have a checkpoint",
    )
    ids = dict(line.split() for line in slurm.run("squeue", "-h", "-r", "-o", "%i %A").splitlines())
    [struck] = [job for job, id in ids.items() if job.split("_")[0] == id]
    [victim], [other] = (
        [cell for cell in cells if (site.job_of(grid, cell) == struck) is hit]
        for hit in (True, False)
    )
    slurm.run("scancel", "-s", "USR2", struck)
    until(lambda: site.trains(victim, 1), "it trains again")
    site.slow(0)
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert (site.attempts_of(victim), site.attempts_of(other)) == ([1, 2], [1])


def test_the_unit_of_a_job_that_somebody_cancels_is_not_trained_by_a_sibling(
    site: Site, slurm: Slurm
) -> None:
    site.profile(jobs_at_once=1)
    grid = site.grid({"head": ["slow"], "seed": [0, 1]}, epochs=5, **BLANK)
    site.slow(5, from_step=4)
    assert site.submit(grid).status == 0
    first, second = site.cells(grid)
    until(
        lambda: site.trains(first) and site.record(first).checkpoint_position() >= (1, 0),
        "a checkpoint",
    )
    struck = site.faults.tasks(job=site.job_of(grid, first))
    slurm.run("scancel", site.job_of(grid, first))
    until(
        lambda: not any(map(processes.name, struck)),
        "its processes are gone, which jobs on its node can see",
    )
    until(lambda: site.trains(second), "the sibling trains its own unit")
    site.slow(0)
    until(
        lambda: site.states(grid)[1] == "complete" and not site.jobs(grid), "the sibling has ended"
    )
    assert site.attempts_of(first) == [1]
    assert "cancelled" in site.submit(grid).err and site.states(grid) == ["cancelled", "complete"]
    assert "submitted 1 cell" in site.submit(grid, command="retry").out
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")


def test_an_array_gets_the_slots_that_others_have_left(site: Site, slurm: Slurm) -> None:
    site.profile(jobs_at_once=2)
    grid = site.grid({"head": ["slow"], "seed": [0, 1, 2, 3]}, epochs=5, **BLANK)
    first, *others = site.cells(grid)
    site.slow(5, from_step=4)
    assert site.submit(grid, "--where", "seed=0").status == 0
    until(lambda: site.trains(first), "the first trains")
    assert site.submit(grid).status == 0
    until(
        lambda: any(map(site.trains, others)) and len(site.jobs(grid, "RUNNING")) == 2,
        "one of the others, too",
    )
    slurm.run(
        "scancel", *(job for job in site.jobs(grid, "RUNNING") if job == site.job_of(grid, first))
    )
    until(lambda: len(site.jobs(grid)) == 3, "the first is cancelled")
    assert len(site.jobs(grid, "RUNNING")) == 1, "its array may run one job at once"
    assert "cancelled" in site.submit(grid).err
    until(lambda: len(site.jobs(grid, "RUNNING")) == 2, "two of the others run")
    site.slow(0)
    until(lambda: site.states(grid) == ["cancelled", *["complete"] * 3], "complete")
