"""Jobs that were cancelled, by echolm and by hand, and a job without an array whose node dies, on
the real SLURM.
"""

from __future__ import annotations

import re

from cluster.batch import batches
from cluster.failures import failures
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site, until


def test_a_waiting_and_a_running_cell_are_cancelled_and_retried_at_once(
    site: Site, slurm: Slurm
) -> None:
    """The running job is not even gone: SLURM calls it COMPLETING."""
    site.profile(jobs_at_once=1)
    site.slow(2)
    grid = site.grid({"head": ["slow"], "seed": [0, 1]}, **BLANK, epochs=2)
    assert site.submit(grid).status == 0
    first, second = site.cells(grid)
    until(lambda: site.trains(first) or site.trains(second), "one trains, and one waits")
    done = site("cancel", grid)
    assert "2 cells cancelled; jobs" in done.out, done
    again = site.submit(grid, command="retry")
    assert (
        again.status == 0 and "2 cells may run again" in again.out and "cancelled" not in again.err
    ), again
    site.slow(0)
    assert "cancelled" not in site.states(grid)
    site.finish(grid)
    assert [failure for failure in failures(site.workspace, "toy") if failure.cells] == []


def test_a_waiting_array_that_somebody_cancelled_and_squeue_forgot_is_cancelled(
    site: Site, slurm: Slurm
) -> None:
    slurm.configure(restart=True, MinJobAge="2")
    blocker = slurm.sbatch("sleep 60", "-p", "high", f"-N{slurm.settings.nodes}", "--exclusive")
    slurm.wait_for_state(blocker, "RUNNING")
    grid = site.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK, epochs=1)
    assert "submitted 2 cells" in site.submit(grid).out
    [array] = batches(site.workspace, "toy")[0].submitted()
    slurm.run("scancel", array["job"])
    until(
        lambda: array["job"] not in slurm.run("squeue", "-h", "--states=all", "-o", "%F").split(),
        "squeue forgets it",
    )
    slurm.run("scancel", blocker)
    done = site.submit(grid)
    assert site.states(grid) == ["cancelled", "cancelled"] and "submitted" not in done.out, done
    assert "submitted 2 cells" in site.submit(grid, command="retry").out
    site.finish(grid)


def test_a_job_that_is_no_array_does_not_meet_the_node_again_that_died_under_it(
    site: Site, slurm: Slurm
) -> None:
    site.profile(exclude=["n4"], jobs_at_once=1)
    site.slow(1000)
    grid = site.grid({"head": ["slow"]}, **BLANK, epochs=1)
    assert site.submit(grid).status == 0
    [cell] = site.cells(grid)
    job = until(lambda: site.job_of(grid, cell), "a job")
    assert "_" not in job
    until(lambda: site.trains(cell), "it trains")
    node = slurm.squeue(job)[0].nodes
    blocker = slurm.sbatch("sleep 100", "-N3", "--exclusive", "--mem=100")
    slurm.wait_for_state(blocker, "RUNNING")
    site.faults.node_kill(node)
    until(lambda: slurm.state(job) == "PENDING", "it waits to start again")
    until(
        lambda: f"start 1 on {node}: node-failure" in site.submit(grid).err,
        "a launch knows of it: accounting is told some seconds after the queue",
    )
    shown = slurm.run("scontrol", "show", "job", "-o", job)
    assert re.findall(r"ExcNodeList=(\S+)", shown) == [",".join(sorted([node, "n4"]))], (
        "beside the profile's own"
    )
    site.slow(0)
    site.faults.node_up(node)
    slurm.run("scancel", blocker)
    site.finish(grid)
    assert len(site.attempts_of(cell)) == 2
