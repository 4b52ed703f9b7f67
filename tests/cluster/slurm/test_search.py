"""``echolm search --on slurm`` on a site with limits, and workers that fail: what is submitted, and
what is said.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from launch_support import Done
from login_node import LoginNode
from search_shell import space_file

from cluster.batch import JobBatch
from cluster.slurm.search import _progress
from cluster.slurm.search_ends import note_end

LOST = (
    "Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named "
    "'torch'\nsrun: error: n{}: task 0: Exited with exit code 1\n"
)


def search(login: LoginNode, *options: object) -> Done:
    return login.inside(
        "search",
        space_file(login),
        "--trials",
        50,
        "--on",
        "slurm",
        "--profile",
        login.root / "site.yaml",
        *options,
    )


def batches(login: LoginNode) -> list[JobBatch]:
    return [
        JobBatch.read(path.parent)
        for path in sorted(login.workspace.searches.glob("toy/jobs/*/batch.json"))
    ]


def fail(login: LoginNode, names: list[str], text: str = LOST) -> None:
    """All jobs have ended, and failed those with these names, which have written why."""
    lines = [
        [*line[:2], "FAILED" if "_".join(line[:2]) in names else "COMPLETED", *line[3:]]
        for line in login.queue()
    ]
    (login.slurm / "queue").write_text("".join("|".join(line) + "\n" for line in lines))
    for name in names:
        (batches(login)[-1].path / "logs" / f"{name}_0_log.err").write_text(text.format(name[-1]))


def test_the_default_is_what_the_profile_allows_at_once(login: LoginNode) -> None:
    done = search(login)
    assert "submitted 4 workers: job 41; " in done.err and [line[1] for line in login.queue()] == [
        "0",
        "1",
        "2",
        "3",
    ], done
    again = search(login)
    assert (
        "4 workers in SLURM already; the trials so far" in again.err and len(login.queue()) == 4
    ), again


def test_workers_keep_to_the_sites_limits(login: LoginNode) -> None:
    (login.slurm / "config").write_text("MaxArraySize            = 3\n")
    login.profile(jobs_at_once=8, submit_limit=6)
    (login.slurm / "queue").write_text("7|N/A|RUNNING|None|n1|else|other|2026-11-24T12:00:00|7\n")
    done = search(login, "--workers", 50)
    assert (
        "submitted 5 workers: job 41, 42; jobs_at_once of site.yaml allows 8 of 50; 3 "
        "workers must wait for room (submit_limit 6)" in done.err
    ), done
    assert [len([line for line in login.queue() if line[0] == id]) for id in ("7", "41", "42")] == [
        1,
        3,
        2,
    ]
    assert [(array["count"], array["at_once"]) for array in batches(login)[0].submitted()] == [
        (3, 3),
        (2, 2),
    ]
    (login.slurm / "queue").write_text(
        "7|N/A|RUNNING|None|n1|else|other|2026-11-24T12:00:00|7\n" * 6
    )
    full = search(login)
    assert (
        full.status == 1
        and "no worker can be submitted: submit_limit of" in full.err
        and len(batches(login)) == 1
    ), full


def test_workers_that_end_by_the_same_error_are_told_and_then_not_submitted_again(
    login: LoginNode,
) -> None:
    login.profile(jobs_at_once=2)
    search(login)
    fail(login, ["41_0"])
    told = search(login)
    assert (
        "1 worker of this search failed, the last so: ModuleNotFoundError: No module "
        "named 'torch'; see " in told.err
    ), told
    assert "submitted 2 workers: job 42" in told.err, "one failure may be chance"
    fail(login, ["41_0", "42_0", "42_1"])
    stopped = search(login)
    assert stopped.status == 1 and len(batches(login)) == 2, stopped
    assert (
        "the same error ended 3 workers of this search, and no more are submitted: "
        "ModuleNotFoundError: No module named 'torch'" in stopped.err
    )
    assert "--retry" in stopped.err
    assert "submitted 2 workers: job 43" in search(login, "--retry").err
    login.queue("COMPLETED")
    assert "failed" not in search(login).err, "what failed before --retry does not count any more"


def test_workers_that_ended_well_or_were_ended_from_outside_did_not_fail(
    login: LoginNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(login)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "41")
    for task in "01":
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        note_end(batches(login)[0].path)
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    fail(login, ["41_0", "41_1"], "a warning\n")
    fail(
        login,
        ["41_2", "41_3"],
        "slurmstepd-n1: error: *** JOB 41 ON n1 CANCELLED AT 2026-11-24T12:00:00 DUE TO "
        "NODE FAILURE ***\n",
    )
    (login.slurm / "queue").write_text("")
    done = search(login)
    assert "failed" not in done.err and "submitted 4 workers: job 42" in done.err, done


@pytest.mark.parametrize("options", ["--threads 9", "--gpus 1 --threads 9"])
def test_what_no_node_has_is_refused_before_anything_is_written(
    login: LoginNode, options: str
) -> None:
    done = search(login, *options.split())
    assert done.status == 1 and "--threads 9: a node of partition main has 8 CPUs" in done.err, done
    assert not login.workspace.searches.exists()


@pytest.mark.parametrize(
    ("on", "option"), [("local", "--gpus"), ("ray", "--gpus"), ("local", "--retry")]
)
def test_options_of_slurm_are_refused_elsewhere(
    login: LoginNode, on: str, option: str, tmp_path: Path
) -> None:
    words = [option, *(["1"] if option == "--gpus" else [])]
    done = login.inside("search", space_file(login), "--trials", 1, "--on", on, *words)
    assert done.status == 2 and f"{option} goes with --on slurm; not with --on {on}" in done.err, (
        done
    )


def test_a_search_has_moved_with_a_step_that_was_kept_or_a_trial_that_ended(tmp_path: Path) -> None:
    """Not with a new attempt, or a trial that has just begun."""
    record = tmp_path / "runs" / "cell" / "fingerprint"
    (record / "attempts" / "1").mkdir(parents=True)
    assert _progress(tmp_path) == {}
    (record / "attempts" / "1" / "checkpoint-00001-00003-0123abcd.pt").touch()
    begun = _progress(tmp_path)
    (record / "attempts" / "2").mkdir()
    (record / "attempts" / "2" / "checkpoint-00001-00003-4567abcd.pt").touch()
    assert begun != {} and _progress(tmp_path) == begun
    (record / "summary.json").touch()
    assert _progress(tmp_path) != begun
