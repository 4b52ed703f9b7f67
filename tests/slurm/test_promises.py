"""What jobs do without: a network, a tracking server, SLURM's own commands; and what a user sees of
them meanwhile.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from launch_support import HERE, ended

from cluster.batch import batches
from cluster.failures import failures
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site, until

ROOT = Path(__file__).parents[2]


def test_a_job_needs_no_network_and_no_slurm_and_its_watchers_see_it_start_again(
    site: Site, slurm: Slurm
) -> None:
    """In a container: its node's network is cut off, and it finds no scontrol when it is warned."""
    (site.root / "empty").mkdir()
    site.profile(container=f"unshare --net env PATH={site.root / 'empty'}", python=sys.executable)
    grid = site.grid({"head": ["slow"]}, epochs=6, **BLANK)
    [cell] = site.cells(grid)
    site.slow(5, from_step=4)
    launch = site.start(
        "launch",
        grid,
        "--on",
        "slurm",
        "--profile",
        site.root / "site.yaml",
        "--watch",
        "--every",
        "1",
    )
    until(
        lambda: site.trains(cell) and site.record(cell).checkpoint_position() >= (1, 0),
        "a checkpoint",
    )
    status = site.start("status", grid, "--watch", "--every", "0.5", "--json")
    slurm.run("scancel", "-s", "USR2", site.job_of(grid, cell))
    until(
        lambda: site.trains(cell, 1) and site.record(cell).checkpoint_position() >= (2, 0),
        "a second attempt trains",
    )
    first, second = (
        json.loads(site("logs", cell.id, "--json", *words).out)
        for words in (("--attempt", "1"), ())
    )
    site.slow(0)
    told, seen = ended(launch), ended(status)
    assert told.status == 0 and "toy: 1 cell: 1 complete" in told.out, told
    assert seen.status == 0 and '"running"' in seen.out and '"complete"' in seen.out, seen
    assert "the batch script does it" in site.logs(
        grid
    ) and "its tasks stopped: this job starts again" in site.logs(grid)
    assert site.record(cell).attempts() == [1, 2] and failures(site.workspace, "toy") == []
    assert (first["attempt"], second["attempt"]) == (1, 2) and first["log"] != second["log"]


def test_a_budget_refuses_before_anything_is_submitted(site: Site) -> None:
    grid = site.grid({"head": ["mlp"], "seed": list(range(40))}, **BLANK, epochs=40)
    done = site.submit(grid, "--gpus", "2", "--budget-gpu-hours", "0.001")
    assert done.status == 1 and done.err.startswith("Error: ") and "GPU-hours" in done.err, done
    assert not site.jobs(grid) and not (site.workspace.grids / "toy" / "jobs").exists()


def test_queued_jobs_run_the_checkout_as_it_was_at_submission(
    site: Site, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = site.root / "checkout"
    for name in ("echolm", "grid", "cluster"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, checkout)
    variables = site.environment() | {"PYTHONPATH": f"{HERE}:{checkout}"}
    monkeypatch.setattr(site, "environment", lambda: variables)
    grid = site.grid({"head": ["mlp"]}, **BLANK, epochs=1)
    blocker = slurm.sbatch("sleep 60", "-p", "high", f"-N{slurm.settings.nodes}", "--exclusive")
    slurm.wait_for_state(blocker, "RUNNING")
    assert site.submit(grid, process=True).status == 0
    (checkout / "echolm" / "record.py").write_text(
        "raise RuntimeError('edited after submission')\n"
    )
    slurm.run("scancel", blocker)
    until(lambda: set(site.states(grid)) == {"complete"}, "complete")
    assert site("status", grid).status != 0, "the checkout itself is broken by now"
    [batch] = batches(site.workspace, "toy")
    summary = site.record(site.cells(grid)[0]).summary()
    assert (
        summary
        and summary["provenance"]["commit"]
        == json.loads((Path(batch.code) / "CODE.json").read_text())["commit"]
    )
