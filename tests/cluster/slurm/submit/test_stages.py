"""What is submitted of a grid whose cells begin with the weights of other cells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from launch_support import Shell
from login_node import LoginNode

from cluster.batch import JobBatch, batches
from cluster.slurm.job.run import run_job
from echolm.attempt import mark_cancelled
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from grid.definition.grid import Cell

OWN = {"resources": {"gpus": 1, "minutes": 90}}


def made(login: LoginNode) -> list[JobBatch]:
    """The batches, oldest first."""
    return batches(login.workspace, "toy")


def script(batch: JobBatch) -> str:
    """What was given to sbatch for a batch."""
    [path] = batch.path.rglob("*submission.sh")
    return path.read_text()


def value(batch: JobBatch, option: str) -> str:
    """An option of a batch's script, or ''."""
    match = re.search(rf"^#SBATCH --{option}=(.*)$", script(batch), re.MULTILINE)
    return match[1] if match else ""


def train(shell: Shell, cell: Cell) -> None:
    """Train a cell here."""
    [outcome] = fit([prepare_run(cell.config, shell.workspace)])
    assert outcome.state == "complete"


def test_one_launch_submits_both_stages(login: LoginNode) -> None:
    grid = login.stages(first=OWN)
    mean, mlp, first = login.cells(grid)
    document = json.loads(login.submit(grid, "--dry-run", "--json").out)
    planned = document["arrays"]
    assert [shape["after"] for shape in planned] == [[], [first.id]]
    assert "--dependency=afterany:ARRAY0.0" in planned[1]["sbatch"]
    done = login.submit(grid)
    assert done.status == 0, done
    one, two = made(login)
    assert one.cells == (first.id,) and set(two.cells) == {mean.id, mlp.id}
    [array] = one.submitted()
    assert value(one, "dependency") == ""
    assert value(two, "dependency") == f"afterany:{array['job']}"
    assert (value(one, "gpus-per-node"), value(one, "time")) == ("1", "90")
    assert (value(two, "gpus-per-node"), value(two, "time")) == ("", "60")
    said = login.inside("status", grid)
    assert "2 cells waiting" in said.err and "1 pending, 2 waiting" in said.out, said
    assert "3 queued in SLURM" in said.out

    again = login.submit(grid)
    assert again.status == 0 and len(made(login)) == 2, "what jobs have is not submitted again"
    assert "3 in jobs" in again.out


def test_what_was_typed_counts_more_than_a_block(login: LoginNode) -> None:
    login.submit(login.stages(first=OWN), "--gpus", 0, "--minutes", 30)
    one, two = made(login)
    for batch in (one, two):
        assert (value(batch, "gpus-per-node"), value(batch, "time")) == ("", "30")


def test_gpus_of_a_block_are_not_asked_for_other_blocks_later(login: LoginNode) -> None:
    """Hints leave --gpus out, and the last submission's count then: of blocks that say nothing."""
    grid = login.stages(first=OWN)
    login.submit(grid, "--where", "subgrid=first")
    done = login.submit(grid)
    assert done.status == 0 and "as the last submission" not in done.err, done
    assert value(made(login)[1], "gpus-per-node") == ""


def test_a_block_that_no_node_suits_is_refused_before_anything_is_submitted(
    login: LoginNode,
) -> None:
    done = login.submit(login.stages(first={"resources": {"minutes": 999}}))
    assert done.status != 0 and "999" in done.err and made(login) == [], done


def test_slots_of_a_block_are_the_throttle_of_its_arrays(login: LoginNode) -> None:
    grid = login.stages(
        then={"axes": {"seed": [0, 1, 2], "head": ["mean"], "trainable": ["k0", "k1", "all"]}},
        first={"axes": {"seed": [0, 1, 2]}, "resources": {"slots": 2}},
    )
    login.submit(grid)
    one, two = made(login)
    assert value(one, "array").endswith("%2")
    assert value(two, "array") == "0-5%4"


def test_what_waits_has_the_slots_of_what_it_waits_for(login: LoginNode) -> None:
    """All slots are taken by the first stage, and the second is submitted nevertheless."""
    login.profile(jobs_at_once=1)
    login.submit(login.stages())
    one, two = made(login)
    assert [array["at_once"] for array in two.submitted()] == [1]
    assert value(two, "dependency")


def test_a_stage_without_room_takes_what_waits_for_it_with_it(login: LoginNode) -> None:
    login.profile(jobs_at_once=1, submit_limit=1)
    grid = login.stages(heads=("mean",))
    done = login.submit(grid)
    assert len(made(login)) == 1 and "must wait for room" in done.out, done
    login.queue("COMPLETED")
    train(login, login.cells(grid)[1])
    login.submit(grid)
    assert [batch.cells for batch in made(login)][1:] == [(login.cells(grid)[0].id,)]
    assert value(made(login)[1], "dependency") == ""


def test_stages_of_stages_wait_for_each_other(login: LoginNode) -> None:
    last = {
        "base": {
            "kind": "pretrain",
            "objective": "recall",
            "data": "tiny",
            "encoder": "tiny-r3d",
            "epochs": 2,
            "weights": {"of": "first", "where": {}},
        },
        "axes": {"seed": [1]},
    }
    then = {
        "base": {
            "data": "tiny",
            "encoder": "tiny-r3d",
            "task": "landmarks",
            "trainable": "k0",
            "weights": {"of": "middle"},
        },
        "axes": {"head": ["mean"]},
    }
    login.submit(login.stages(middle=last, then=then))
    one, two, three = made(login)
    jobs = [batch.submitted()[0]["job"] for batch in (one, two, three)]
    assert value(two, "dependency") == f"afterany:{jobs[0]}"
    assert value(three, "dependency") == f"afterany:{jobs[1]}"


def test_a_later_look_waits_for_the_jobs_that_are_there(login: LoginNode) -> None:
    grid = login.stages(heads=("mean",))
    login.submit(grid, "--where", "subgrid=first")
    [array] = made(login)[0].submitted()
    login.submit(grid)
    assert value(made(login)[1], "dependency") == f"afterany:{array['job']}"


def test_what_is_blocked_or_given_up_is_not_submitted(login: LoginNode) -> None:
    grid = login.stages()
    first = login.cells(grid)[2]
    login.failed(first, "killed", 4)
    done = login.submit(grid)
    assert done.status == 1 and made(login) == [] and "is given up" in done.err, done
    mark_cancelled(login.workspace.runs, first.id)
    done = login.submit(grid)
    assert done.status == 1 and made(login) == [] and "2 cells blocked" in done.err, done


def as_jobs(batch: JobBatch, monkeypatch: Any, array: str) -> str:
    """Do what the batch's first job does."""
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", array)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    return run_job(batch.path)


def test_a_job_that_comes_too_early_leaves_its_units_and_ends_well(
    login: LoginNode, monkeypatch: Any
) -> None:
    """Its cells are submitted again with the next look, after what they wait for."""
    grid = login.stages()
    mean, mlp, first = login.cells(grid)
    login.submit(grid)
    one, two = made(login)
    [array] = two.submitted()
    why = as_jobs(two, monkeypatch, array["job"])
    assert why.startswith("1 unit not begun: what their cells begin with is not there"), why
    assert two.claims() == {} and two.ended() == {f"{array['job']}_0"}
    assert login.states(grid) == ["waiting", "waiting", "pending"]

    login.queue("COMPLETED")  # those of the first stage were ended before it was complete
    done = login.submit(grid)
    assert "given up" not in done.err and len(made(login)) == 4, done
    third, fourth = made(login)[2:]
    assert value(fourth, "dependency") == f"afterany:{third.submitted()[0]['job']}"
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    assert run_job(third.path) == "no unit waits"
    assert run_job(fourth.path) == "no unit waits"
    assert login.states(grid) == ["complete"] * 3
    assert login.attempts(grid) == [1, 1, 1]


def test_a_batch_keeps_what_its_units_wait_for(login: LoginNode, tmp_path: Path) -> None:
    grid = login.stages()
    login.submit(grid)
    first = login.cells(grid)[2]
    _, two = made(login)
    for unit in two.units:
        assert unit.after == (first.id,)
        config = unit.config_of(first.id)
        assert config is not None and config.kind == "pretrain"
