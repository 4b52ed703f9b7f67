"""What ends jobs from outside, caused on the real SLURM: its class, its evidence, and what the next
launch does about it.
"""

from __future__ import annotations

import pytest

from cluster.failures import JobFailure, failures
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site, until


def node_of(site: Site, job: str) -> str:
    return site.slurm("squeue", "-h", "-j", job, "-o", "%N").strip()


@pytest.mark.timeout(400, func_only=True)
def test_a_dead_node_a_preemption_and_a_time_limit_are_noted_as_such(
    site: Site, slurm: Slurm
) -> None:
    """Three runs stand in their first step, each on a node of its own. The first loses its node and
    the second is preempted: SLURM itself starts them again. The third reaches its time limit
    without a step done, and would not get further by requeueing itself.
    """
    slurm.configure(KillWait="2")
    site.slow(1000)
    site.profile(partition="low", jobs_at_once=3, extra={"exclusive": True})
    grid = site.grid({"head": ["slow"], "seed": [0, 1, 2]}, **BLANK)
    assert site.submit(grid).status == 0
    cells = site.cells(grid)
    until(lambda: all(site.job_of(grid, cell) for cell in cells), "a job each")
    jobs = [site.job_of(grid, cell) for cell in cells]
    until(lambda: [len(site.attempts_of(cell)) for cell in cells] == [1, 1, 1], "an attempt each")
    nodes = [node_of(site, job) for job in jobs]
    assert len(set(nodes)) == 3

    site.slurm("scontrol", "update", f"JobId={jobs[2]}", "TimeLimit=1")
    site.faults.node_kill(nodes[0])
    high = slurm.sbatch("sleep 1", "-p", "high", "-w", nodes[1], "--exclusive", "--mem=100")
    until(lambda: slurm.state(high) == "COMPLETED", "the preempting job ends")
    until(lambda: node_of(site, jobs[0]) not in (nodes[0], ""), "the first goes on elsewhere")
    until(lambda: slurm.state(jobs[2]) == "TIMEOUT", "the third meets its time limit", 200)

    told = site.submit(grid)
    assert (
        f"job {jobs[0]}, start 1 on {nodes[0]}: node-failure; 1 cell again from the checkpoint"
        in told.err
    ), told
    found: dict[str, JobFailure] = {
        failure.kind: failure for failure in failures(site.workspace, "toy")
    }
    assert set(found) == {"node-failure", "preempted", "time-limit"}
    for cell, kind, state, node in zip(
        cells,
        ("node-failure", "preempted", "time-limit"),
        ("NODE_FAIL", "PREEMPTED", "TIMEOUT"),
        nodes,
        strict=True,
    ):
        assert (found[kind].cells, found[kind].node) == ((cell.id,), node) and state in found[
            kind
        ].evidence
    [script] = [text for text in site.scripts(grid)[-1:] if "--exclude" in text]
    assert f"--exclude={nodes[0]}" in script, (
        "the third was submitted again, not to the node that died"
    )

    site.faults.node_up(nodes[0])
    site.slow(0)
    site.finish(grid)
    assert [len(site.attempts_of(cell)) > 1 for cell in cells] == [True] * 3
