"""A search on a real Ray cluster of this machine: Ray Tune chooses, and the study prunes.

Study and records are the search's own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest
from launch_support import Shell, ended, until
from optuna.pruners import MedianPruner, SuccessiveHalvingPruner
from search_shell import record, shown, space_file, told

from grid.search.definition import load_search
from grid.search.folder import start_search
from grid.search.study import Study
from tests.grid.search.search_support import replayed

QUICK: dict[str, Any] = {
    "base": {"epochs": 4, "head": {"name": "mlp", "width": 16}},
    "space": {"optimizer.lr": {"float": [1e-5, 0.1], "log": True}},
}
"""Sections of a search of which a trial takes a fraction of a second."""


def test_halving_prunes_over_trials_that_are_run_records(shell: Shell, ray_cluster: str) -> None:
    file = space_file(shell, **QUICK, pruner={"name": "halving", "warmup": 1, "factor": 2})
    search = load_search(str(file))
    left = Study(search, start_search(search, shell.workspace), make=True).ask(1)
    assert left is not None
    done = shell(
        "search",
        file,
        "--trials",
        6,
        "--workers",
        1,
        "--on",
        "ray",
        "--ray-address",
        ray_cluster,
        "--json",
    )
    assert done.status == 0, done.err
    found = shown(shell)
    study = Study(search, shell.workspace.searches / "toy")
    ends = [(trial["state"], trial["epochs"]) for trial in found]
    assert ends == replayed(study, SuccessiveHalvingPruner(1, 2)), "one worker, so in this order"
    assert json.loads(done.out)["states"] == {
        state: sum(t["state"] == state for t in found) for state in ("complete", "pruned")
    }
    assert len(found) == 6 and told(shell) == [1] * 6
    assert (found[0]["parameters"], found[0]["state"]) == (left.params, "complete"), (
        "what was left is run first, and to its end"
    )
    pruned = [trial for trial in found if trial["state"] == "pruned"]
    assert pruned
    assert {trial["epochs"] for trial in found if trial["state"] == "complete"} == {4}
    for trial in found:
        kept = record(shell, trial)
        assert kept.state().name == trial["state"]
        assert len(kept.history()) == trial["epochs"]
        assert not [
            name
            for event in kept.history()
            for name in event["metrics"]
            if name.startswith("test/")
        ]
        summary = kept.summary()
        assert summary is None or (
            trial["value"] == summary["metrics"]["val/loss"]
            and not [n for n in summary["metrics"] if "test" in n]
        )
    assert all(trial["epochs"] < 4 for trial in pruned)
    assert not shell.workspace.runs.exists()

    more = shell(
        "search", file, "--trials", 7, "--on", "ray", "--ray-address", ray_cluster, "--json"
    )
    assert more.status == 0, more.err
    assert shown(shell)[:6] == found and told(shell) == [1] * 7


def test_median_is_the_median_on_ray_too(shell: Shell, ray_cluster: str) -> None:
    file = space_file(shell, **QUICK, pruner={"name": "median", "startup": 1, "warmup": 1})
    where = ("--on", "ray", "--ray-address", ray_cluster)
    done = shell("search", file, "--trials", 5, "--workers", 1, *where)
    assert done.status == 0, done.err
    ends = [(trial["state"], trial["epochs"]) for trial in shown(shell)]
    study = Study(load_search(str(file)), shell.workspace.searches / "toy")
    assert ends == replayed(study, MedianPruner(1, 1))
    assert ("pruned", 2) in ends


def test_a_search_that_is_stopped_checkpoints_and_goes_on(shell: Shell, ray_cluster: str) -> None:
    """On a cluster of its own: by SIGTERM while Tune runs trials, and by Ctrl-C while those that
    were left are finished. A second Ctrl-C does not wait. It ends on another cluster."""
    shell.slow(1.0)
    command = (
        "search",
        space_file(shell, base={"epochs": 8}),
        "--trials",
        "2",
        "--workers",
        "2",
        "--on",
        "ray",
    )
    going = shell.start(*command)
    until(lambda: _epochs(shell, 1), "both trials have an epoch")
    going.terminate()
    done = ended(going)
    assert (done.status, done.err.splitlines()[-1]) == (143, _stopped_by("SIGTERM")), done
    assert [trial["state"] for trial in shown(shell)] == ["interrupted"] * 2
    for trial in shown(shell):
        found = record(shell, trial)
        newest = found.events(1)[-1]
        assert found.attempts() == [1]
        assert (newest["event"], newest["reason"]) == ("interrupted", "SIGTERM")
        assert list(found.attempt_path(1).glob("checkpoint-*.pt"))

    going = shell.start(*command)
    until(lambda: _epochs(shell, 2), "both trials have an epoch of attempt 2")
    shell.slow(3600)
    os.killpg(going.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        going.wait(timeout=2)
    os.killpg(going.pid, signal.SIGINT)
    done = ended(going)
    assert (done.status, done.err.splitlines()[-1]) == (130, _stopped_by("SIGINT")), done

    shell.slow(0)
    done = shell(*command, "--ray-address", ray_cluster)
    assert done.status == 0, done.err
    assert [trial["state"] for trial in shown(shell)] == ["complete"] * 2 and told(shell) == [1] * 2
    for trial in shown(shell):
        assert len(record(shell, trial).history()) == 8


def _stopped_by(name: str) -> str:
    return f"stopped by {name}; the same command continues from the checkpoints"


def _epochs(shell: Shell, attempt: int) -> bool:
    """Whether both trials have an epoch of that attempt behind them."""
    records = [record(shell, trial) for trial in shown(shell) if trial["epochs"]]
    return (
        len([r for r in records if any(event["event"] == "epoch" for event in r.events(attempt))])
        == 2
    )


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("ray", "Error: no Ray cluster at 127.0.0.1:1: Connection refused"),
        ("local", "Error: --ray-address goes with --on ray; not with --on local"),
    ],
)
def test_an_address_without_a_cluster_or_without_ray(shell: Shell, on: str, message: str) -> None:
    done = shell(
        "search", space_file(shell), "--trials", 1, "--on", on, "--ray-address", "127.0.0.1:1"
    )
    assert done.status != 0 and done.err.splitlines()[-1] == message
