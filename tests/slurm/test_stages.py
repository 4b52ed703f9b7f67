"""One ``echolm launch`` without ``--watch`` ends with both stages of a grid complete."""

from __future__ import annotations

from tests.slurm.site import Site, until

SLOW = {"name": "recall", "acts": "slow"}


def test_one_launch_ends_with_both_stages_though_the_first_is_requeued(site: Site) -> None:
    """By an administrator, in the middle of its first stage: what depends on it goes on waiting."""
    site.slow(5, from_step=4)
    grid = site.stages(objective=SLOW, epochs=2)
    mean, mlp, first = site.cells(grid)
    done = site.submit(grid)
    assert done.status == 0 and "submitted 3 cells: 2 arrays" in done.out, done
    until(lambda: site.saved(first) >= 1, "an epoch of the first stage")
    assert site.states(grid)[:2] == ["waiting", "waiting"]
    site.faults.requeue(site.job_of(grid, first))
    until(lambda: site.trains(first, attempts=1), "it goes on")
    site.slow(0)
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert site.attempts_of(first) == [1, 2]
    assert site.attempts_of(mean) == site.attempts_of(mlp) == [1]


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
