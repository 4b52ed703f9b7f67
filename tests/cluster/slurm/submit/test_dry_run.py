"""A dry run says what the launch then does: jobs, arrays, and what must wait, also after earlier
launches.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from launch_support import Shell
from login_node import LoginNode

from cluster.batch import batches
from grid.definition.grid import load_grid

BLANK = {"encoder": "none", "trainable": "k0", "epochs": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"units_per_job": 1, "submit_limit": 5, "jobs_at_once": 4},
        {"units_per_job": 2, "submit_limit": None, "jobs_at_once": 3},
        {"units_per_job": None, "submit_limit": 4, "jobs_at_once": 4},
        {"units_per_job": 3, "submit_limit": 2, "jobs_at_once": 1},
    ],
)
def test_what_a_dry_run_says_is_what_a_launch_submits(
    login: LoginNode, changes: dict[str, int | None]
) -> None:
    login.profile(**{name: value for name, value in changes.items() if value})
    (login.slurm / "config").write_text("MaxArraySize            = 3\n")
    login.submit(login.grid({"head": ["mlp"], "seed": [0]}, **BLANK))
    wider = login.grid({"head": ["mlp"], "seed": list(range(9))}, **BLANK)
    text = login.submit(wider, "--dry-run").out
    [planned] = json.loads(login.submit(wider, "--dry-run", "--json").out)["arrays"]
    [first] = batches(login.workspace, "toy")
    done = login.submit(wider)
    assert done.status == 0, done
    arrays = []
    cells = 0
    for batch in batches(login.workspace, "toy"):
        if batch.path != first.path:
            arrays += [array["count"] for array in batch.submitted()]
            cells += len(batch.cells)
    assert (planned["arrays"], planned["jobs"]) == (arrays, sum(arrays))
    assert len(planned["units"]) - len(planned["waiting"]) == cells
    assert f"would submit {cells} cell" in text
    assert ("must wait for room" in text) == bool(planned["waiting"]), text


GPU_SITE = {
    "partitions": {"gpu": {"gpus_per_node": 4, "cpus_per_node": 32, "memory_gb_per_node": 256}},
    "time_minutes": 720,
    "jobs_at_once": 8,
    "submit_limit": 500,
}


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoginNode:
    """A machine without SLURM, data and weights, and a profile of some site."""
    shell = LoginNode(tmp_path, None)
    shutil.rmtree(shell.slurm)
    monkeypatch.setattr(shell, "environment", lambda: Shell.environment(shell) | {"PATH": "/none"})
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(GPU_SITE))
    return shell


def test_a_dry_run_needs_neither_slurm_nor_data_nor_weights(laptop: LoginNode) -> None:
    done = laptop.submit(Path("nldl2026"), "--dry-run", "--gpus", 1)
    assert done.status == 0, done
    for line in done.err.splitlines():
        assert "would be written: make room" in line, "this machine's disk may be too small"
    cells = len(load_grid("nldl2026").cells)
    for words in (
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --array=0-",
        "GPU-hours (",
        "done about 2",
        "assumed: store echonet-dynamic is not here",
        "taken with 7,465 training clips (of 10,030 published)",
        "assumed: weights published:",
        "assumed: SLURM is not here",
        "assumed: rates are assumed, not measured",
        f"would submit {cells} cells",
    ):
        assert words in done.out, (words, done.out[-3000:])
    assert "cannot run" not in done.out
    assert not laptop.workspace.root.exists(), "nothing is written"

    document = json.loads(laptop.submit(Path("nldl2026"), "--dry-run", "--gpus", 1, "--json").out)
    assert document["forecast"]["cells"] == cells and document["forecast"]["unknown"] == 0
    assert sum(len(array["units"]) for array in document["arrays"]) > 0
    assert any(line.startswith("SLURM is not here") for line in document["assumed"])
    [row] = document["cost"]["rows"]
    assert (row["stage"], row["label"], row["cells"]) == ("downstream", "all", cells)
    assert row["gpu_hours"] == pytest.approx(document["forecast"]["gpu_hours"])

    without = laptop.submit(Path("nldl2026"), "--dry-run")
    assert without.status == 0 and "with --gpus 1: " in without.out and "GPU-hours" in without.out


def test_what_is_not_here_is_refused_for_real(laptop: LoginNode) -> None:
    done = laptop.submit(Path("nldl2026"), "--gpus", 1)
    assert done.status == 1 and "cells cannot run" in done.err, done
    assert not laptop.workspace.root.exists()


def test_a_store_of_other_frames_is_not_assumed_away(login: LoginNode) -> None:
    """It is here, and the cell would not run with it."""
    info = json.loads((login.workspace.store("tiny") / "store.json").read_text())
    other = login.workspace.store("other")
    other.mkdir()
    (other / "store.json").write_text(json.dumps(info | {"clips": "first"}))
    grid = login.grid({"head": ["mlp"]}, **{**BLANK, "data": "other"})
    done = login.submit(grid, "--dry-run")
    assert "would submit 0 cells" in done.out and "assumed: store" not in done.out, done
    assert "1 cell cannot run" in done.err


def test_what_is_here_is_not_assumed(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    done = login.submit(grid, "--dry-run")
    assert done.status == 0 and "assumed: store" not in done.out
    assert "assumed: SLURM" not in done.out
