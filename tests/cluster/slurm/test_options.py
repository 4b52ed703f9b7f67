"""What one may ask SLURM for: options against the site profile, and what stands in the script."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from login_node import BLANK, NODE, LoginNode

REFUSED: dict[str, tuple[dict[str, object], list[str]]] = {
    "--threads 9": ({}, ["--threads 9: a node of partition main has 8 CPUs; valid: 1 to 8"]),
    "--memory-gb 999": ({}, ["--memory-gb 999: a node of partition main has 32; valid: up to 32"]),
    "--minutes 500": ({}, ["--minutes 500: partition main allows jobs of 120; valid: 3 to 120"]),
    "--minutes 1": (
        {},
        [
            "--minutes 1: jobs on partition main are warned 60 s before",
            "as they begin; valid: 3 to 120",
        ],
    ),
    "--minutes 2": (
        {"partitions": {"main": {**NODE, "max_minutes": None}}},
        ["--minutes 2: ", "valid: 3 or more"],
    ),
    "--gpus 2 --threads 5": (
        {},
        ["(--threads)", "partition main has 8; valid with 2 tasks a node: 1 to 4"],
    ),
    "--gpus 3": ({}, ["gpus 3: nodes of partition main hold 2 each"]),
    "--gpus 2 --ranks 3": ({}, ["--gpus 2 are as many ranks"]),
    "--every 5": ({}, ["--every goes with --watch"]),
    "--ray-address here:1": ({}, ["--ray-address goes with --on ray; not with --on slurm"]),
}


@pytest.mark.parametrize("options", REFUSED)
@pytest.mark.parametrize("command", ["launch", "retry"])
def test_what_the_partition_cannot_give_is_one_error_before_anything_is_written(
    login: LoginNode, options: str, command: str
) -> None:
    changes, parts = REFUSED[options]
    login.profile(**changes)
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.failed(login.cells(grid)[0], "killed", 1)
    before = (
        sorted(login.workspace.root.rglob("*")),
        (login.workspace.grids / "toy" / "failures.jsonl").read_text(),
    )
    done = login.submit(grid, *options.split(), command=command)
    assert done.status in (1, 2) and done.out == "", done
    assert [part for part in parts if part not in done.err] == [] and done.err.count(
        "Error: "
    ) == 1, done.err
    assert (
        sorted(login.workspace.root.rglob("*")),
        (login.workspace.grids / "toy" / "failures.jsonl").read_text(),
    ) == before
    assert login.queue() == []


@pytest.mark.parametrize(
    ("on", "options", "sentence"),
    [
        (
            "local",
            "--minutes 10 --watch --gpus 1",
            "--minutes, --watch go with --on slurm; --gpus goes with --on slurm or ray;"
            " not with --on local",
        ),
        (
            "local",
            "--budget-gpu-hours 3",
            "--budget-gpu-hours goes with --on slurm; not with --on local",
        ),
        (
            "local",
            "--memory-gb 3 --ray-address x:1",
            "--memory-gb goes with --on slurm or ray; --ray-address goes with --on ray;"
            " not with --on local",
        ),
        ("local", "--ranks 2", "--on local trains a unit in one process"),
        (
            "ray",
            "--budget-gpu-hours 3 --minutes 5",
            "--minutes, --budget-gpu-hours go with --on slurm; not with --on ray",
        ),
        ("ray", "--profile site.yaml", "--profile goes with --on slurm; not with --on ray"),
    ],
)
def test_options_that_mean_nothing_in_a_place_are_refused(
    login: LoginNode, on: str, options: str, sentence: str
) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    for command in ("launch", "retry"):
        done = login.inside(command, grid, "--on", on, *options.split())
        assert done.status in (1, 2) and sentence in " ".join(done.err.split()), done
    assert not login.workspace.runs.exists() and not login.workspace.grids.exists()


def test_a_profile_in_the_environment_is_no_option_that_was_typed(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    done = login.inside(
        "launch", grid, "--dry-run", "--json", ECHOLM_PROFILE=str(login.root / "site.yaml")
    )
    assert done.status == 0, done


def sbatch_text(login: LoginNode, grid: Path, *options: str) -> str:
    """The script of the only array that a dry run shows."""
    done = login.submit(grid, "--dry-run", "--json", *options)
    assert done.status == 0, done
    [array] = json.loads(done.out)["arrays"]
    return str(array["sbatch"])


def test_a_rank_gets_its_cpus_from_srun_too(login: LoginNode) -> None:
    """From SLURM 22.05 on, srun does not take --cpus-per-task over from sbatch."""
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    for options, cpus in (((), 2), (("--threads", "4"), 4), (("--threads", "1"), 2)):
        login.profile(cpus_per_task=2)
        text = sbatch_text(login, grid, *options)
        assert f"#SBATCH --cpus-per-task={cpus}\n" in text
        assert text.index(f"export SRUN_CPUS_PER_TASK={cpus}\n") < text.index("\nsrun ")


def test_options_take_the_place_of_the_profiles_values(login: LoginNode) -> None:
    login.profile(memory_gb=4)
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    plain, asked = (
        sbatch_text(login, grid),
        sbatch_text(login, grid, "--memory-gb", "1.5", "--minutes", "30"),
    )
    assert re.findall(r"--(mem|time)=(\S+)", plain) == [("mem", "4096M"), ("time", "60")]
    assert re.findall(r"--(mem|time)=(\S+)", asked) == [("mem", "1536M"), ("time", "30")]


def test_a_workload_key_is_sent_only_when_the_profile_has_one(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    assert "wckey" not in sbatch_text(login, grid)
    login.profile(wckey="echo")
    assert "#SBATCH --wckey=echo\n" in sbatch_text(login, grid)


def test_variables_do_not_override_what_the_profile_says(login: LoginNode) -> None:
    script = login.slurm / "sbatch"
    script.write_text(
        script.read_text().replace("#!/bin/sh", f"#!/bin/sh\nenv > {login.slurm}/environment")
    )
    done = login.inside(
        "launch",
        login.grid({"head": ["mlp"]}, **BLANK),
        "--on",
        "slurm",
        "--profile",
        "site.yaml",
        SBATCH_PARTITION="odd",
        SLURM_CONF="kept",
        SLURM_CPU_BIND="a job's",
        RANK="1",
    )
    assert "submitted 1 cell" in done.out, done
    got = (login.slurm / "environment").read_text().splitlines()
    assert (
        not [line for line in got if line.startswith(("SBATCH_", "SLURM_CPU", "RANK="))]
        and "SLURM_CONF=kept" in got
    )


def test_relative_paths_mean_in_a_job_what_they_mean_here(login: LoginNode) -> None:
    words = (
        "launch",
        login.grid({"head": ["mlp"]}, **BLANK),
        "--on",
        "slurm",
        "--profile",
        "site.yaml",
        "--dry-run",
    )
    done = login.inside(
        *words,
        ECHOLM_WEIGHTS="weights",
        ECHOLM_PLUGINS="",
        PYTHONPATH=f"lib{os.pathsep}{os.pathsep}/opt/lib",
    )
    assert f"export ECHOLM_WEIGHTS={login.root}/weights\n" in done.out, done
    assert (
        f":{login.root}/lib:/opt/lib\n" in done.out and "export ECHOLM_PLUGINS=''\n" in done.out
    ), done


def test_cells_without_data_are_a_status_of_their_own_and_keep_their_marks(
    login: LoginNode,
) -> None:
    grid = login.grid({"head": ["mlp"]}, data="elsewhere", **BLANK)
    done = login.submit(grid)
    assert (
        done.status == 1 and "no clip store here" in done.err and "to follow them" not in done.err
    ), done
    assert "1 cell cancelled" in login.inside("cancel", grid).out and login.states(grid) == [
        "cancelled"
    ]
    assert "1 cell may run again" in login.inside(
        "retry", grid, "--no-launch"
    ).out and login.states(grid) == ["pending"]


def test_a_refused_ray_cluster_leaves_nothing(login: LoginNode) -> None:
    (login.slurm / "refusing").touch()
    done = login.inside("cluster", "ray-on-slurm", login.root / "site.yaml")
    assert done.status == 1 and "Invalid account; see: echolm cluster check" in done.err, done
    assert not list((login.workspace.root / "ray").glob("*"))


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_path_that_slurm_would_misread_is_refused_before_anything_is_written(
    tiny: Path, tmp_path: Path, dry_run: bool
) -> None:
    root = tmp_path / "50%j (x)"
    root.mkdir()
    login = LoginNode(root, tiny / "store")
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    done = login.submit(grid, *(["--dry-run"] if dry_run else []))
    assert done.status == 1 and "SLURM reads % in the paths" in done.err, done
    assert not login.workspace.grids.exists() and login.queue() == []


def test_so_is_such_a_work_dir(login: LoginNode) -> None:
    login.profile(work_dir=str(login.root / "%A"))
    done = login.submit(login.grid({"head": ["mlp"]}, **BLANK))
    assert done.status == 1 and "work_dir of the profile" in done.err, done
