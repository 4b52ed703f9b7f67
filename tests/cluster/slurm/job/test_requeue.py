"""How a stopped job asks to be started again: which id it names, and what it leaves where SLURM
cannot be asked.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from batch_site import BatchSite

from cluster.slurm.job.requeue import ATTEMPTS, TRY_AGAIN, requeue_this_job


@pytest.fixture
def job(site: BatchSite, monkeypatch: pytest.MonkeyPatch) -> BatchSite:
    """This process is the last task of array 100: it has the id of all."""
    for name, value in {
        "SLURM_JOB_ID": "100",
        "SLURM_ARRAY_JOB_ID": "100",
        "SLURM_ARRAY_TASK_ID": "3",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(os, "_exit", lambda status: (_ for _ in ()).throw(SystemExit(status)))
    return site


def noted(site: BatchSite) -> list[str]:
    return [path.name for path in (site.batch.path / "again").glob("*")]


def ask(site: BatchSite) -> list[str]:
    """What scontrol was asked."""
    with pytest.raises(SystemExit) as ended:
        requeue_this_job(site.batch.path)
    assert ended.value.code == TRY_AGAIN
    return site.calls("scontrol")


def test_a_task_names_itself_and_not_its_array(job: BatchSite) -> None:
    job.says("scontrol", "JobId=100 ArrayJobId=100 ArrayTaskId=3 JobState=RUNNING")
    assert ask(job) == ["show job -o 100_3", "requeue 100_3"] and noted(job) == []


def test_a_job_that_is_no_array_has_its_own_id(
    job: BatchSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    job.says("scontrol", "JobId=100 JobState=RUNNING")
    assert ask(job) == ["show job -o 100", "requeue 100"]


def test_a_cancelled_job_does_not_ask(job: BatchSite) -> None:
    job.says("scontrol", "JobId=100 ArrayTaskId=3 JobState=CANCELLED")
    assert ask(job) == ["show job -o 100_3"] and noted(job) == []


def test_without_scontrol_the_batch_script_finds_a_note(job: BatchSite) -> None:
    (job.root / "scontrol").unlink()
    assert ask(job) == [] and noted(job) == ["100"]


def test_a_controller_that_does_not_answer_is_asked_again_and_then_left_to_the_batch_script(
    job: BatchSite,
) -> None:
    job.says("scontrol")
    with open(job.root / "scontrol", "a") as script:
        script.write("exit 1\n")
    assert len(ask(job)) == ATTEMPTS and noted(job) == ["100"]


def test_the_folder_may_be_a_link(job: BatchSite, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(job.batch.path)
    (job.root / "scontrol").unlink()
    with pytest.raises(SystemExit):
        requeue_this_job(tmp_path / "link")
    assert noted(job) == ["100"]
