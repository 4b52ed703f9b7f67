"""A controller that is slow, silent or forgetful, on the real SLURM.

Nothing of it is a failure that waits for a person.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cluster.batch import batches
from cluster.failures import failures
from tests.slurm import daemons
from tests.slurm.client import Slurm
from tests.slurm.site import BLANK, Site, until


def wrap(site: Site, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """Put programs before SLURM's own, ``$real`` being that. They act while the file ``odd`` is
    there.
    """
    folder = site.root / "wrapped"
    folder.mkdir()
    (folder / "odd").touch()
    for name, lines in scripts.items():
        real = shutil.which(name, path=site.environment()["PATH"])
        text = f'#!/bin/sh\nreal={real}\n[ -e {folder}/odd ] || exec $real "$@"\n{lines}\n'
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    variables = site.environment()
    variables["PATH"] = f"{folder}:{variables['PATH']}"
    monkeypatch.setattr(site, "environment", lambda: variables)
    return folder / "odd"


def test_an_array_whose_answer_was_lost_runs(
    site: Site, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """squeue does not answer either, so nobody learns of the array before it has run."""
    silence = "echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1"
    lost = (
        '$real "$@" > /dev/null\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out' >&2\nexit 1"
    )
    odd = wrap(site, monkeypatch, sbatch=lost, squeue=silence)
    grid = site.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK, epochs=1)
    done = site.submit(grid)
    assert done.status == 1 and "Socket timed out" in done.err, done
    [batch] = batches(site.workspace, "toy")
    assert batch.submitted() == []
    until(lambda: set(site.states(grid)) == {"complete"}, "the array runs")
    odd.unlink()
    assert "submitted" not in site.submit(grid).out
    assert failures(site.workspace, "toy") == []
    assert site.attempts(grid) == [1, 1]


def test_a_squeue_that_says_nothing_is_not_believed(
    site: Site, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.slow(1000)
    grid = site.grid({"head": ["slow"], "seed": [0, 1]}, **BLANK, epochs=1)
    assert site.submit(grid).status == 0
    cells = site.cells(grid)
    until(lambda: all(site.trains(cell) for cell in cells), "both train")
    odd = wrap(site, monkeypatch, squeue="exit 0")
    for _ in range(2):
        done = site.submit(grid)
        assert done.status == 1 and "squeue says nothing, although SLURM has job" in done.err, done
    assert failures(site.workspace, "toy") == []
    odd.unlink()
    again = site.submit(grid)
    assert again.status == 0 and "2 in jobs" in again.out and "submitted" not in again.out, again
    site.slow(0)
    site.finish(grid)
    assert site.attempts(grid) == [1, 1]


def test_a_controller_that_lost_its_state_cancels_nobodys_cells(site: Site, slurm: Slurm) -> None:
    """Two cells train and one waits when it forgets all jobs."""
    site.slow(1000)
    site.profile(jobs_at_once=2)
    grid = site.grid({"head": ["slow"], "seed": [0, 1, 2]}, **BLANK, epochs=1)
    assert site.submit(grid).status == 0
    first, second, third = site.cells(grid)
    until(lambda: sum(site.trains(cell) for cell in (first, second, third)) == 2, "two train")
    [array] = [
        array["job"] for batch in batches(site.workspace, "toy") for array in batch.submitted()
    ]
    states = ("sacct", "-X", "-n", "-P", "--format=State", "--jobs", array)
    # What the controller has not yet told accounting is lost with its state.
    until(lambda: slurm.run(*states).split().count("RUNNING") == 2, "accounting knows of both")
    slurm._ctld_stop(kill=True)
    shutil.rmtree(site.settings.directory / "state")
    (site.settings.directory / "state").mkdir()
    daemons.controller(site.settings)
    until(lambda: slurm.run(*states).split().count("CANCELLED") >= 2, "accounting closes the jobs")
    done = site.submit(grid)
    assert "cancelled" not in site.states(grid), (done, site.states(grid))
    assert {failure.kind for failure in failures(site.workspace, "toy")} <= {"outage"}, done
    assert "submitted" in done.out, "what waited, and what trains no more"
    site.slow(0)
    site.finish(grid)
    assert "cancelled" not in site.states(grid)
    # What the controller forgot is still on the nodes, and its ids are given again.
    for node in ("n1", "n2", "n3", "n4"):
        slurm.node_kill(node)
        slurm.node_up(node)
