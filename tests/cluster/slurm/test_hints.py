"""What status, launch and dry runs say of a grid on SLURM.

That is: what its jobs have, what is given up, and what to type.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest
from login_node import BLANK, NODE, LoginNode

from cluster.batch import batches
from cluster.tracebacks import LIMIT
from echolm.files import write_atomic


def test_cells_that_jobs_have_need_no_command_and_the_rest_goes_to_slurm(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"], "seed": [0, 1, 2]}, **BLANK)
    assert "to run the rest: echolm launch toy.yaml\n" in login.inside("status", "toy.yaml").err, (
        "never submitted: here is as good a place"
    )
    assert "submitted 2 cells" in login.submit(grid, "--where", "seed=0,1").out
    some = login.inside("status", "toy.yaml")
    assert (
        "to run the rest: echolm launch toy.yaml --on slurm\n" in some.err
        and "2 queued in SLURM" in some.out
    ), some
    assert "submitted 1 cell" in login.submit(grid).out
    everything = login.inside("status", "toy.yaml")
    assert everything.err == "" and "3 queued in SLURM" in everything.out, everything
    login.queue("COMPLETED")
    assert (
        "to run the rest: echolm launch toy.yaml --on slurm\n"
        in login.inside("status", "toy.yaml").err
    )
    login.inside("cancel", grid)
    assert (
        "to run cancelled cells again: echolm retry toy.yaml --on slurm\n"
        in login.inside("status", "toy.yaml").err
    )


def test_given_up_cells_are_told_by_status_and_dry_run_until_they_are_retried(
    login: LoginNode,
) -> None:
    grid = login.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    lost, other = login.cells(grid)
    assert login.submit(grid).status == 0
    login.queue("COMPLETED")
    login.failed(lost, "killed", 4)
    why = "killed 4 times, the last in job 93_0 on n1"
    told = (
        f"cell {lost.id[:8]} is given up: {why}\n"
        "when the cause is mended: echolm retry toy.yaml --on slurm\n"
    )
    status = login.inside("status", "toy.yaml")
    assert status.err == told + "to run the rest: echolm launch toy.yaml --on slurm\n"
    dry = login.inside("launch", "toy.yaml", "--on", "slurm", "--profile", "site.yaml", "--dry-run")
    assert dry.err == told and "would submit 1 cell" in dry.out
    for words in (
        ["status", grid],
        ["launch", grid, "--on", "slurm", "--profile", "site.yaml", "--dry-run"],
    ):
        found = json.loads(login.inside(*words, "--json").out)
        assert (found["given_up"], found["stopped"]) == ({lost.id: why}, None)
    assert login.submit(grid, "--where", "seed=0", "--no-launch", command="retry").status == 0
    assert "given up" not in login.inside("status", grid).err
    assert other.id not in status.err


def test_a_hint_that_is_typed_asks_for_the_gpus_that_the_grid_had(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.submit(grid, "--gpus", 2)
    said = "as the last submission of toy asked: --gpus 2 (for none: --gpus 0)\n"

    def hinted(command: str) -> str:
        """What is said when one types what status says."""
        login.queue("COMPLETED")
        [typed] = re.findall(f"echolm ({command} .*)", login.inside("status", "toy.yaml").err)
        return login.inside(*typed.split(), ECHOLM_PROFILE=str(login.root / "site.yaml")).err

    login.failed(login.cells(grid)[0], "killed", 4)
    assert said in hinted("retry") and said in hinted("launch")
    assert said in login.submit(grid, "--dry-run").err
    login.queue("COMPLETED")
    assert "as the last" not in login.submit(grid, "--gpus", 0).err + hinted("launch")
    login.queue("COMPLETED")
    login.submit(grid, "--ranks", 2)
    assert "as the last submission of toy asked: --ranks 2 (for none: --ranks 1)\n" in hinted(
        "launch"
    )
    asked = [
        (batch.resources.gpus, batch.resources.ranks) for batch in batches(login.workspace, "toy")
    ]
    assert asked == [(2, 2)] * 3 + [(0, 1)] * 2 + [(0, 2)] * 2


def test_gpus_of_the_last_submission_that_the_partition_has_not_are_an_error_that_can_be_understood(
    login: LoginNode,
) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.submit(grid, "--gpus", 2)
    login.queue("COMPLETED")
    login.profile(partitions={"main": {**NODE, "gpus_per_node": 0}})
    done = login.submit(grid)
    assert (
        done.status == 1
        and "asked: --gpus 2 (for none: --gpus 0)\nError: gpus: nodes of partition main have none"
        in done.err
    ), done
    assert "submitted 1 cell" in login.submit(grid, "--gpus", 0).out


def test_cancel_and_logs_name_slurm_where_the_grid_is_there(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.submit(grid)
    assert (
        login.inside("logs", "toy.yaml", "--where", "head=mlp").err
        == "no cell of these has been run; to run them: echolm launch toy.yaml --on slurm\n"
    )
    assert (
        login.inside("cancel", "toy.yaml").err
        == "to let them continue: echolm retry toy.yaml --on slurm\n"
    )


def test_what_stops_a_grid_is_told_by_status_and_dry_run(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    assert login.submit(grid).status == 0
    login.queue("COMPLETED")
    login.failed(None, "launch", 3, "FAILED\nModuleNotFoundError: No module named 'torch'")
    stop = (
        "3 jobs ended before they took a unit, and nothing more is submitted:"
        " ModuleNotFoundError: No module named 'torch'"
    )
    status, dry = (
        login.inside("status", "toy.yaml"),
        login.inside("launch", "toy.yaml", "--on", "slurm", "--profile", "site.yaml", "--dry-run"),
    )
    assert (
        status.err
        == dry.err
        == f"{stop}\nwhen the cause is mended: echolm retry toy.yaml --on slurm\n"
    )
    assert "would submit 0 cells" in dry.out
    assert json.loads(login.inside("status", grid, "--json").out)["stopped"] == stop
    assert stop in login.submit(grid).err


def test_the_same_traceback_in_three_cells_is_told_where_a_grid_runs_here_too(
    login: LoginNode,
) -> None:
    grid = login.grid({"head": ["mlp"], "seed": list(range(LIMIT + 1))}, **BLANK)
    place = login.workspace.grids / "toy" / "tracebacks" / "0123456789abcdef"
    place.mkdir(parents=True)
    write_atomic(place / "text", b"Traceback\nValueError: broken")
    for cell in login.cells(grid)[:LIMIT]:
        (place / cell.id).touch()
    for words in (["status", "toy.yaml"], ["launch", "toy.yaml", "--dry-run"]):
        done = login.inside(*words)
        assert "the same error ended 3 cells" in done.err and "ValueError: broken" in done.err, done
        assert done.err.endswith("when the cause is mended: echolm retry toy.yaml\n"), (
            "and no other command"
        )
    assert "would run 0 in 0 units" in done.out
    assert (
        "ValueError: broken"
        in json.loads(login.inside("launch", grid, "--dry-run", "--json").out)["stopped"]
    )


def test_a_dry_run_says_when_it_would_be_done(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, encoder="r3d-18", weights="random")
    done = login.submit(grid, "--dry-run", "--gpus", "1")
    found = re.search(
        r"^done about (\S+ \S+) \(between (\S+ \S+) and (\S+ \S+)\) if jobs start now$",
        done.out,
        re.MULTILINE,
    )
    if found is None:
        pytest.fail(done.out)
    mid, low, high = (datetime.strptime(text, "%Y-%m-%d %H:%M") for text in found.groups())
    assert datetime.now() - timedelta(minutes=5) < low <= mid <= high
