"""Waiting for a Ray cluster's job in a queue, where squeue does not always answer."""

from __future__ import annotations

import json

import pytest
from login_node import LoginNode

NO_ANSWER = 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1'
THERE = """\
for folder in ../workspace/ray/*; do
  echo '{"address": "n1:6379", "token": "token"}' > $folder/new
  mv $folder/new $folder/address
done"""
QUEUED = "echo '41|N/A|PENDING|Priority|(null)|(null)|echolm-ray|2026-11-26T10:00:00|41'"


@pytest.fixture
def queue(login: LoginNode, monkeypatch: pytest.MonkeyPatch) -> LoginNode:
    """A login node whose sbatch gives out job 41; looks are quick."""
    monkeypatch.setattr("cluster.ray.on_slurm.LOOK_S", 0.01)
    stand_in(login, "sbatch", "echo 41")
    return login


def stand_in(login: LoginNode, name: str, *answers: str) -> None:
    """What a command says when it is called for the first time, the second time, ...; the last of
    them ever after.
    """
    cases = "".join(f"{number}) {answer} ;;\n" for number, answer in enumerate(answers[:-1], 1))
    lines = (
        f"echo x >> {name}.calls\ncase $(wc -l < {name}.calls) in\n{cases}*) {answers[-1]} ;;\nesac"
    )
    (login.slurm / name).write_text(f'#!/bin/sh\ncd "{login.slurm}"\n{lines}\n')
    (login.slurm / name).chmod(0o755)


def test_a_controller_that_is_away_for_a_while_ends_nothing(
    queue: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once; the folder and how to use and end the cluster were printed before."""
    monkeypatch.setattr("cluster.ray.on_slurm.PATIENCE_S", 0.0)
    stand_in(queue, "squeue", QUEUED, NO_ANSWER, NO_ANSWER, QUEUED, f"{THERE}; {QUEUED}")
    done = queue.inside("cluster", "ray-on-slurm", "site.yaml")
    [folder] = (queue.workspace.root / "ray").iterdir()
    assert (done.status, done.out.splitlines()) == (
        0,
        [
            f"job 41: 1 node with 8 CPUs and 2 GPUs each, 60 minutes; address and token: {folder}",
            "to use it, and to end it:",
            f"  echolm launch GRID --on ray --ray-address {folder}",
            "  scancel 41",
            "address n1:6379",
        ],
    ), done
    assert done.err.splitlines() == [
        "waiting for it (Ctrl-C: do not wait)",
        "squeue: slurm_load_jobs error: Unable to contact slurm controller; the "
        "controller may be restarting; job 41 is not affected by that; "
        "still waiting (Ctrl-C: do not wait)",
    ]
    assert len((queue.slurm / "sbatch.calls").read_text().split()) == 1


def test_a_job_that_ends_in_the_queue_is_told_after_its_folder(queue: LoginNode) -> None:
    stand_in(queue, "squeue", NO_ANSWER, QUEUED, "true")
    done = queue.inside("cluster", "ray-on-slurm", "site.yaml", "--json")
    [folder] = (queue.workspace.root / "ray").iterdir()
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[-1] == (
        f"Error: job 41 ended before the cluster was there: it wrote nothing; see {folder / 'log'}"
    )
    assert f"--ray-address {folder}" in done.err and "scancel 41" in done.err


def test_squeue_is_asked_seldom_while_the_job_waits(
    queue: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first seconds: here at once, so that one answer is enough until the cluster is
    there.
    """
    monkeypatch.setattr("cluster.ray.on_slurm.OFTEN_S", 0.0)
    monkeypatch.setattr("cluster.ray.on_slurm.SELDOM_S", 3600.0)
    stand_in(queue, "squeue", f"(sleep 1; {THERE}) > /dev/null 2>&1 & {QUEUED}")
    done = queue.inside("cluster", "ray-on-slurm", "site.yaml", "--json")
    assert (done.status, json.loads(done.out)["address"]) == (0, "n1:6379"), done
    assert len((queue.slurm / "squeue.calls").read_text().split()) == 1
