"""``echolm launch --on slurm --watch`` through a night: a controller that is away, an sbatch that
refuses, a signal.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from launch_support import ended, until
from login_node import BLANK, LoginNode

WATCH = ("--on", "slurm", "--profile", "site.yaml", "--watch", "--every", "1")


def told(path: Path, words: str) -> int:
    """How many lines of standard error hold these words."""
    return sum(words in line for line in path.read_text().splitlines())


def test_a_hiccup_is_told_once_and_ctrl_c_leaves_the_jobs(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    errors = login.root / "errors"
    with errors.open("w") as file:
        process = login.start("launch", grid, *WATCH, stderr=file)
        until(login.queue, "a job")

        (login.slurm / "mute").touch()
        until(lambda: told(errors, "Unable to contact slurm controller"), "the outage is told")
        looks = login.asked()
        until(lambda: login.asked() >= looks + 2, "it goes on asking")
        assert (
            told(errors, "Unable to contact slurm controller")
            == told(errors, "trying again every 1 s")
            == 1
        )

        (login.slurm / "refusing").touch()
        (login.slurm / "mute").unlink()
        login.queue("COMPLETED")
        until(lambda: told(errors, "sbatch refused"), "the refusal is told")
        looks = login.asked()
        until(lambda: login.asked() >= looks + 4, "it goes on submitting")
        assert told(errors, "sbatch refused") == 1 and told(errors, "Invalid account") == 1

        (login.slurm / "refusing").unlink()
        until(
            lambda: {line[0] for line in login.queue()} == {"41", "42"},
            "the job is submitted again",
        )
        process.send_signal(signal.SIGINT)
        done = ended(process)
    assert done.status == 130, errors.read_text()
    assert (
        errors.read_text().splitlines()[-1]
        == "stopped by SIGINT; the jobs go on, and the same command goes on watching"
    )
    counts = [line.partition("1 pending; ")[2] for line in done.out.splitlines()]
    assert [line for line in counts if line != "1 in jobs"] == [
        f"submitted 1 cell: 1 array {id}" for id in (41, 42)
    ]
    assert len(counts) <= 4, "a line only when it says something new"
    assert "Traceback" not in errors.read_text()


def test_sigterm_ends_a_watch_with_one_document(login: LoginNode) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    process = login.start("launch", grid, *WATCH, "--json")
    until(login.queue, "a job")
    process.send_signal(signal.SIGTERM)
    done = ended(process)
    found = json.loads(done.out)
    assert (done.status, found["stopped"], found["submitted"]) == (143, "SIGTERM", ["41"]), done
    assert done.err.startswith("stopped by SIGTERM; ")


@pytest.mark.parametrize("trouble", ["mute", "refusing"])
def test_what_the_first_look_cannot_do_is_an_error(login: LoginNode, trouble: str) -> None:
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    login.submit(grid)
    login.queue("COMPLETED")
    (login.slurm / trouble).touch()
    done = login.inside("launch", grid, *WATCH)
    assert done.status == 1 and done.err.startswith("Error: "), done


def test_what_goes_away_does_not_end_a_watch(login: LoginNode) -> None:
    """The store, then the workspace: its empty mount point stays empty."""
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    root, store = login.workspace.root, login.workspace.store("tiny")
    errors = login.root / "errors"
    with errors.open("w") as file:
        process = login.start("launch", grid, *WATCH, stderr=file)
        until(login.queue, "a job")
        store.rename(store.with_name("away"))
        login.queue("COMPLETED")  # else jobs would keep the watch going
        until(lambda: told(errors, "no clip store here"), "the store is missed")
        looks = login.asked()
        until(lambda: login.asked() >= looks + 2, "it goes on looking")
        assert told(errors, "no clip store here") == told(errors, "; waiting") == 1
        store.with_name("away").rename(store)
        until(lambda: len(login.queue()) == 2, "the job is submitted again")

        root.rename(root.with_name("away"))
        root.mkdir()
        until(lambda: told(errors, f"the workspace {root} is not there"), "it is missed")
        assert process.poll() is None
        assert list(root.iterdir()) == []
        root.rmdir()
        root.with_name("away").rename(root)
        login.queue("COMPLETED")
        until(lambda: len(login.queue()) == 3, "it goes on")
        process.send_signal(signal.SIGINT)
        assert ended(process).status == 130
    assert "Traceback" not in errors.read_text()


def test_a_workspace_that_goes_away_while_sbatch_answers_is_left_empty(login: LoginNode) -> None:
    """submitit makes its folder then. What was submitted is found, and not submitted twice."""
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    root = login.workspace.root
    errors = login.root / "errors"
    with errors.open("w") as file:
        process = login.start("launch", grid, *WATCH, stderr=file)
        until(login.queue, "a job")
        (login.slurm / "unmounting").write_text(str(root))
        login.queue("COMPLETED")
        until(lambda: told(errors, f"the workspace {root} is not there"), "it is missed")
        assert process.poll() is None
        assert list(root.iterdir()) == [] and len(login.queue()) == 2
        root.rmdir()
        root.with_name(f"{root.name} away").rename(root)
        looks = login.asked()
        until(lambda: login.asked() >= looks + 3, "it goes on looking")
        assert len(login.queue()) == 2
        process.send_signal(signal.SIGINT)
        assert ended(process).status == 130
    assert "Traceback" not in errors.read_text()


def test_an_empty_workspace_is_left_empty(login: LoginNode) -> None:
    """It may be the mount point of a disk that is not there."""
    grid = login.grid({"head": ["mlp"]}, **BLANK)
    root = login.workspace.root
    root.rename(root.with_name("away"))
    root.mkdir()
    done = login.submit(grid)
    assert done.status == 1 and "no clip store here" in done.err, done
    assert list(root.iterdir()) == [] and login.queue() == []
