"""Helpers of the search tests: a workspace in which searches are started, run by this process, and looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from echolm.record import RunRecord, find_records
from echolm.training.cohorts import Compute
from echolm.workspace import Workspace
from grid.search.definition import load_search
from grid.search.folder import start_search
from grid.search.results import Found, trials
from grid.search.study import Study
from grid.search.worker import run_worker

BASE: dict[str, Any] = {
    "data": "tiny", "task": "landmarks", "encoder": "none", "trainable": "k0", "head": {"name": "mlp", "width": 16}, "optimizer": "adam",
    "epochs": 3, "batch_size": 5,
}  # fmt: skip
LR = {"optimizer.lr": {"float": [1e-5, 0.5], "log": True}}
QUICK = Compute(patience_s=0.6, heartbeat_s=0.05)
TOLD = 6
"""The journal's operation that ends a trial (optuna.storages.journal._storage.JournalOperation)."""


class Searches:
    """Searches in the workspace ``root/workspace``."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root, self.workspace = root, Workspace(root / "workspace")
        self.workspace.store("tiny").parent.mkdir(parents=True, exist_ok=True)
        self.workspace.store("tiny").symlink_to(store)

    def file(self, name: str = "toy", base: dict[str, Any] | None = None, **sections: Any) -> Path:
        """A search file. Unless told otherwise: the learning rate, random, nothing pruned."""
        content = {"space": LR, "sampler": "random", "pruner": "none", **sections, "base": {**BASE, **(base or {})}}
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    def start(self, name: str = "toy", **sections: Any) -> Study:
        """Start a search, or continue it: its study."""
        search = load_search(str(self.file(name, **sections)))
        return Study(search, start_search(search, self.workspace), make=True)

    def run(self, study: Study, count: int) -> list[Found]:
        """Run trials in this process until there are ``count``; all that were found, by number."""
        assert run_worker(self.folder(study), count, "cpu", QUICK)
        return self.found(study)

    def found(self, study: Study) -> list[Found]:
        """All trials, by number."""
        return sorted(trials(study, self.folder(study)), key=lambda found: found.trial)

    def folder(self, study: Study) -> Path:
        """The folder of a search."""
        return study.path.parent

    def record(self, study: Study, cell: str) -> RunRecord:
        """The one record of a trial's cell in the search's folder."""
        [record] = find_records(self.folder(study) / "runs", cell)
        return record


def told(folder: Path) -> list[int]:
    """How often each trial was ended, in the journal, by number."""
    entries = [json.loads(line) for line in (folder / "study.journal").read_text().splitlines()]
    count = [0] * sum("distributions" in entry for entry in entries)
    for entry in entries:
        if entry["op_code"] == TOLD:
            count[entry["trial_id"]] += 1
    return count


def outcome(found: list[Found]) -> list[tuple[Any, ...]]:
    """What is the same of the same trials."""
    return [(trial.parameters, trial.cell, trial.state, trial.value, trial.epochs) for trial in found]
