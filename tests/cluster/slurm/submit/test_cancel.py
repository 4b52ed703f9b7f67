"""Cancelled jobs: by echolm, which is over with the retry, and by somebody else, which is noted
once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from batch_site import BatchSite
from login_node import BLANK, LoginNode

from cluster.batch import Claim, batches, end_claim
from cluster.failures import failures
from cluster.slurm.submit.cancel import cancel_jobs
from echolm.attempt import Attempt, mark_cancelled
from echolm.liveness import describe_self
from echolm.training.prepare import prepare_run
from grid.definition.grid import Cell


def cancel(site: BatchSite) -> list[str]:
    for unit in site.batch.units:
        mark_cancelled(site.workspace.runs, unit.id)
    return cancel_jobs(site.workspace, "toy")


def retry(site: BatchSite) -> None:
    for mark in site.workspace.runs.glob("*/cancelled"):
        mark.unlink()


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", ""])
def test_what_echolm_cancelled_is_not_cancelled_again_after_a_retry(
    site: BatchSite, state: str
) -> None:
    """One job runs, the others wait; whether SLURM still has them, or has forgotten them (state
    '').
    """
    site.claim(0, "0")
    site.says(
        "squeue",
        site.queued("100_0", "RUNNING"),
        *(site.queued(f"100_{task}", "PENDING") for task in (1, 2, 3)),
    )
    assert cancel(site) == ["100"] == site.calls("scancel")
    retry(site)
    site.log(
        "100_0", "slurmstepd: error: *** STEP 100.0 ON n1 CANCELLED AT 2026-11-24T12:00:00 ***\n"
    )
    site.says(
        "squeue",
        *(
            site.queued(f"100_{task}", state if task == 0 else "CANCELLED")
            for task in range(4)
            if state
        ),
    )
    assert site.covered() == set(), "the next launch may submit them"
    assert site.settle() == [] and site.cancelled() == set() and site.settle() == []
    assert failures(site.workspace, "toy")[0].cells == ()


def test_jobs_that_scancel_did_not_take_are_not_taken_for_cancelled(site: BatchSite) -> None:
    site.says("squeue", *(site.queued(f"100_{task}", "RUNNING") for task in range(4)))
    (site.root / "scancel").write_text(
        "#!/bin/sh\necho Unable to contact slurm controller >&2\nexit 1\n"
    )
    with pytest.raises(Exception, match="Unable to contact slurm controller; the cells are marked"):
        cancel(site)
    assert failures(site.workspace, "toy") == []


def test_a_waiting_array_that_somebody_cancelled_and_squeue_forgot_is_cancelled(
    site: BatchSite,
) -> None:
    site.says("sacct", site.remembered("100_[0-3%2]", "CANCELLED by 0", "None assigned"))
    assert site.settle() == ["cancelled"] * 4
    assert site.cancelled() == {"cell0", "cell1", "cell2", "cell3"}
    retry(site)
    assert site.settle() == [] and site.cancelled() == set()


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED"])
def test_cancel_then_retry_submits_again_and_stays_so(login: LoginNode, state: str) -> None:
    grid = login.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    assert "submitted 2 cells" in login.submit(grid).out
    assert "2 cells cancelled; jobs 41 too" in login.inside("cancel", grid).out
    login.queue(state)
    again = login.submit(grid, command="retry")
    assert "2 cells may run again" in again.out and "submitted 2 cells: 1 array 42" in again.out, (
        again
    )
    assert "2 in jobs" in login.submit(grid).out and login.states(grid) == ["pending", "pending"]


def test_what_somebody_cancelled_before_the_retry_is_retried_by_it(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    login.submit(grid)
    login.queue("CANCELLED")
    again = login.submit(grid, command="retry")
    assert (
        "job 41_0: cancelled; it had no unit" in again.err
        and "submitted 2 cells: 1 array 42" in again.out
    ), again
    assert login.states(grid) == ["pending", "pending"]


def test_what_ended_a_job_just_before_the_retry_still_has_its_remedy(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.submit(grid)
    [batch] = batches(login.workspace, "toy")
    claim = Claim.take(batch, batch.units[0])
    assert claim
    (claim.path / "holder.json").write_text(
        json.dumps({**describe_self(), "boot": "another", "slurm_job": "41"})
    )
    login.queue("OUT_OF_MEMORY")
    again = login.submit(grid, command="retry")
    assert (
        "out-of-memory; 1 cell again with half the micro-batch" in again.err
        and "submitted 1 cell" in again.out
    ), again
    assert sorted(
        (batch.resources.micro_batch or 0) for batch in batches(login.workspace, "toy")
    ) == [0, 2], "half of a batch of 5"


def test_a_retry_of_one_cell_leaves_what_was_learned_of_the_others(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    hungry, stopped = login.cells(grid)
    login.failed(hungry, "out-of-memory", 1)
    login.failed(hungry, "node-failure", 1)
    login.failed(stopped, "killed", 2)
    login.inside("cancel", grid, "--where", "seed=1")
    assert "1 cell may run again" in login.submit(grid, "--no-launch", command="retry").out
    left = [(failure.kind, failure.cells) for failure in failures(login.workspace, "toy")]
    assert left == [("out-of-memory", (hungry.id,)), ("node-failure", (hungry.id,))]
    assert "submitted 2 cells" in login.submit(grid).out
    found = {batch.cells: batch.resources.micro_batch for batch in batches(login.workspace, "toy")}
    assert found == {(hungry.id,): 2, (stopped.id,): None}, "half of a batch of 5"


def test_a_retry_where_slurm_does_not_answer_changes_nothing_there_and_goes_on_here(
    login: LoginNode,
) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.submit(grid)
    login.inside("cancel", grid)
    (login.slurm / "mute").touch()
    assert login.submit(grid, command="retry").status == 1 and login.states(grid) == ["cancelled"]
    done = login.inside("retry", grid, "--no-launch")
    assert "SLURM is not asked: squeue: " in done.err and login.states(grid) == ["pending"], done


def test_a_retry_does_not_give_up_again_what_it_has_just_released(login: LoginNode) -> None:
    """Six nodes were lost while nobody looked: one more than the budget."""
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.submit(grid)
    [batch] = batches(login.workspace, "toy")
    for start in range(6):
        claim = Claim.take(batch, batch.units[0])
        assert claim
        holder = {
            **describe_self(),
            "boot": "another",
            "slurm_job": "41",
            "task": "0",
            "slurm_restart": start,
        }
        (claim.path / "holder.json").write_text(json.dumps(holder))
        if start < 5:
            end_claim(claim.path, "interrupted")
    login.queue("PENDING")
    submitted = login.queue()[0][7]
    lines = "\n".join(
        f"41|NODE_FAIL|n{start}|{batch.name}|echolm-toy|{submitted}" for start in range(6)
    )
    (login.slurm / "sacct").write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
    done = login.inside("retry", grid, "--no-launch")
    assert done.err.count("node-failure") == 6 and failures(login.workspace, "toy") == [], done
    assert "given up" not in login.submit(grid).err


def held_by(login: LoginNode, cell: Cell, job: str) -> Path:
    """An attempt of a cell that runs in a job, on another machine."""
    run = prepare_run(cell.config, login.workspace)
    run.record.create(run.identity)
    attempt = Attempt.acquire(run.record, heartbeat_s=60)
    attempt._heartbeat.stop()
    (attempt.path / "holder.json").write_text(
        json.dumps({**describe_self(), "boot": "another", "slurm_job": job})
    )
    return attempt.path


def test_a_cell_that_still_runs_with_its_mark_is_retried_too(login: LoginNode) -> None:
    """Whether its loop saw the mark or not."""
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    attempt = held_by(login, login.cells(grid)[0], "41")
    login.inside("cancel", grid)
    assert "1 cell may run again" in login.inside(
        "retry", grid, "--no-launch"
    ).out and login.states(grid) == ["running"]
    with open(attempt / "events.jsonl", "a") as file:
        file.write(json.dumps({"event": "cancelled", "time": 0}) + "\n")
    assert login.states(grid) == ["pending"]


def test_a_cell_that_a_job_of_another_grid_trains_is_not_submitted(login: LoginNode) -> None:
    grid, wider = (
        login.grid({"head": ["mlp"], "seed": [0]}, **BLANK),
        login.grid({"head": ["mlp"], "seed": [0, 1]}, name="wider", **BLANK),
    )
    login.submit(grid)
    held_by(login, login.cells(grid)[0], "41")
    login.queue("RUNNING")
    looks = login.asked()
    done = login.submit(wider)
    assert "1 in jobs; submitted 1 cell" in done.out and login.asked() == looks + 1, done
    assert login.states(wider) == ["running", "pending"]
    assert "2 in jobs" in login.submit(wider).out and len(login.queue()) == 2
    dry = login.submit(wider, "--dry-run")
    assert "would submit 0 cells" in dry.out, dry
    (login.slurm / "queue").write_text(
        "41|N/A|COMPLETED|None|n1|x|echolm-toy|2026-11-24T12:00:00|41\n"
    )
    assert "submitted 2 cells" in login.submit(wider).out, "its job is gone: it is taken over"
