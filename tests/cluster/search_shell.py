"""Helpers of the tests of searches in real processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import yaml
from launch_support import Shell

from echolm.liveness import read_holder
from echolm.record import RunRecord, find_records

SPACE: dict[str, Any] = {"optimizer.lr": {"float": [0.001, 0.1], "log": True}}
BASE: dict[str, Any] = {
    "data": "tiny",
    "task": "landmarks",
    "encoder": "none",
    "trainable": "k0",
    "head": "slow",
    "optimizer": "adam",
    "epochs": 3,
    "batch_size": 5,
}
TOLD = 6
"""The journal's operation that ends a trial (optuna.storages.journal._storage.JournalOperation)."""


def space_file(
    shell: Shell, name: str = "toy", base: dict[str, Any] | None = None, **sections: Any
) -> Path:
    """A search file: the learning rate, random, no pruning, steps as slow as ``slow`` says."""
    path = shell.root / f"{name}.yaml"
    content = {
        "space": SPACE,
        "sampler": "random",
        "pruner": "none",
        **sections,
        "base": {**BASE, **(base or {})},
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def shown(shell: Shell, name: str = "toy") -> list[dict[str, Any]]:
    """All trials of a search, by number; none before it is started."""
    if not (shell.workspace.searches / name / "study.journal").exists():
        return []
    trials = json.loads(shell.inside("search", name, "--show", "--json").out)["trials"]
    return sorted(trials, key=lambda trial: int(trial["trial"]))


def outcome(trials: list[dict[str, Any]]) -> list[Any]:
    """What is the same of the same trials."""
    return [
        [trial[key] for key in ("trial", "state", "value", "epochs", "parameters", "cell")]
        for trial in trials
    ]


def record(shell: Shell, trial: dict[str, Any], name: str = "toy") -> RunRecord:
    """The record of a trial."""
    [found] = find_records(shell.workspace.searches / name / "runs", trial["cell"])
    return found


def holder(found: RunRecord) -> psutil.Process:
    """The process that holds a record's newest attempt."""
    facts = read_holder(found.attempt_path(found.attempts()[-1]))
    assert facts
    return psutil.Process(facts["pid"])


def workers(shell: Shell) -> list[psutil.Process]:
    """The worker processes of this workspace's searches."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "cluster.search_worker" in words and str(shell.workspace.root) in " ".join(words):
            found.append(process)
    return found


def told(shell: Shell, name: str = "toy") -> list[int]:
    """How often each trial was ended, in the journal, by number."""
    lines = (shell.workspace.searches / name / "study.journal").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    count = [0] * sum("distributions" in entry for entry in entries)
    for entry in entries:
        if entry["op_code"] == TOLD:
            count[entry["trial_id"]] += 1
    return count
