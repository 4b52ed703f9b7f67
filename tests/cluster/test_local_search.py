"""Searches in worker processes of this machine: killed, stopped and started again.

Nothing is lost or told twice.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from launch_support import Shell, ended, until
from search_shell import holder, outcome, record, shown, space_file, told, workers

from grid.search.definition import load_search
from grid.search.folder import start_search
from grid.search.study import Study
from grid.search.worker import run_worker


@pytest.fixture(autouse=True)
def none_left(shell: Shell) -> Iterator[None]:
    """Workers that a failed test leaves behind are killed."""
    yield
    left = workers(shell)
    for process in left:
        process.kill()
    assert not left, "workers that nobody waits for"


def in_training(shell: Shell) -> list[dict[str, Any]]:
    """Trials that a process runs now."""
    return [trial for trial in shown(shell) if trial["state"] == "running"]


def test_one_of_two_workers_is_killed_and_then_the_search_is_stopped_and_continued(
    shell: Shell,
) -> None:
    shell.slow(1.0)
    file = space_file(shell)
    going = shell.start("search", file, "--trials", 5, "--workers", 2, cold=True)
    until(
        lambda: len(runs := in_training(shell)) == 2 and min(trial["epochs"] for trial in runs) > 0,
        "two trials with an epoch each",
    )
    first = record(shell, in_training(shell)[0])
    assert len(workers(shell)) == 2
    holder(first).kill()
    until(
        lambda: len(first.attempts()) == 2 and len(first.history()) == 3,
        "another process continues the trial",
    )
    shell.slow(5.0)  # no further trial can be complete before the signal comes
    until(
        lambda: (
            len(workers(shell)) == 2
            and [trial for trial in in_training(shell) if trial["trial"] > 1]
        ),
        "a further trial has begun",
    )
    going.send_signal(signal.SIGINT)
    done = ended(going)
    assert done.status == 130, done.err
    assert "the same command continues" in done.err and "Traceback" not in done.err
    assert not workers(shell)
    between = shown(shell)
    assert [trial for trial in between if trial["state"] != "complete"] and len(between) <= 5

    shell.slow(0)
    done = shell("search", file, "--trials", 5, "--workers", 2, "--json")
    assert done.status == 0, done.err
    after = shown(shell)
    assert (
        json.loads(done.out)["trials"] and [trial["state"] for trial in after] == ["complete"] * 5
    )
    assert told(shell) == [1] * 5
    assert [trial["cell"] for trial in between] == [trial["cell"] for trial in after][
        : len(between)
    ]
    epochs = [
        [e["epoch"] for e in first.events(n) if e["event"] == "epoch"] for n in first.attempts()
    ]
    assert sum(epochs, []) in ([0, 1, 2], [0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 2, 2]), (
        "continued, at most one epoch again"
    )
    again = shell("search", file, "--trials", 5)
    assert (again.status, told(shell)) == (0, [1] * 5), "there is nothing to do"

    search = load_search(str(space_file(shell, "undisturbed")))
    folder = start_search(search, shell.workspace)
    Study(search, folder, make=True)
    assert run_worker(folder, 5, "cpu")
    assert outcome(shown(shell, "undisturbed")) == outcome(after)


def test_a_killed_launcher_takes_its_workers_with_it(shell: Shell) -> None:
    shell.slow(0.3)
    going = shell.start("search", space_file(shell), "--trials", 2, "--workers", 1)
    until(lambda: [trial["epochs"] > 0 for trial in shown(shell)] == [True], "an epoch")
    going.kill()
    ended(going)
    until(lambda: not workers(shell), "the worker stops by itself", 20)
    [trial] = shown(shell)
    found = record(shell, trial)
    assert found.events(1)[-1]["event"] == "interrupted"
    assert list(found.attempt_path(1).glob("checkpoint-*.pt"))


def test_workers_that_cannot_work_are_given_up(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what their log says."""
    from cluster.search import Workers, start_workers
    from echolm.errors import EchoLMError

    monkeypatch.setattr("cluster.local_search.DEATHS", 0)
    with pytest.raises(
        EchoLMError, match="no worker stays alive: error: .*holds no search.json.*workers/0.log"
    ):
        start_workers("local", Workers(shell.workspace.searches / "none", 1))
