"""Helpers of the search tests.

A workspace in which searches are started, run by this process, and looked at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from echolm.record import RunRecord, find_records
from echolm.training.cohorts import Compute
from echolm.workspace import Workspace
from grid.search.definition import load_search
from grid.search.folder import start_search
from grid.search.results import TrialSummary, trial_summaries
from grid.search.study import Study, TrialResult
from grid.search.worker import run_worker

BASE: dict[str, Any] = {
    "data": "tiny",
    "task": "landmarks",
    "encoder": "none",
    "trainable": "k0",
    "head": {"name": "mlp", "width": 16},
    "optimizer": "adam",
    "epochs": 3,
    "batch_size": 5,
}
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
        content = {
            "space": LR,
            "sampler": "random",
            "pruner": "none",
            **sections,
            "base": {**BASE, **(base or {})},
        }
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    def start(self, name: str = "toy", **sections: Any) -> Study:
        """Start a search, or continue it: its study."""
        search = load_search(str(self.file(name, **sections)))
        return Study(search, start_search(search, self.workspace), make=True)

    def run(self, study: Study, count: int) -> list[TrialSummary]:
        """Run trials in this process until there are ``count``; all that were found, by number."""
        assert run_worker(self.folder(study), count, "cpu", QUICK)
        return self.found(study)

    def found(self, study: Study) -> list[TrialSummary]:
        """All trials, by number."""
        summaries = trial_summaries(study, self.folder(study))
        return sorted(summaries, key=lambda summary: summary.trial)

    def folder(self, study: Study) -> Path:
        """The folder of a search."""
        return study.path.parent

    def record(self, study: Study, cell: str) -> RunRecord:
        """The one record of a trial's cell in the search's folder."""
        [record] = find_records(self.folder(study) / "runs", cell)
        return record


def dead_end(study: Study) -> None:
    """Add two trials that ended, none of them complete."""
    for result in (TrialResult("failed", reason="no luck"), TrialResult("pruned")):
        study.tell(study.add({"optimizer.lr": 0.1}), result)


def replayed(study: Study, pruner: BasePruner) -> list[tuple[str, int]]:
    """How Optuna's own study ends the trials of a search, run one after another with a pruner.

    Each reports the values that it reported in the search. Its state, and how many it reported.
    """
    own = optuna.create_study(direction=study._study.direction, pruner=pruner)
    ends = []
    for trial in study.trials():
        twin, epochs, is_pruned = own.ask(), 0, False
        for step, value in sorted(trial.intermediate_values.items()):
            twin.report(value, step)
            epochs = step + 1
            is_last = epochs == trial.user_attrs["config"]["epochs"]
            is_pruned = not is_last and twin.should_prune()
            if is_pruned:
                break
        if is_pruned:
            own.tell(twin, state=TrialState.PRUNED)
        else:
            own.tell(twin, trial.value)
        ends.append(("pruned" if is_pruned else "complete", epochs))
    return ends


def told(folder: Path) -> list[int]:
    """How often each trial was ended, in the journal, by number."""
    entries = [json.loads(line) for line in (folder / "study.journal").read_text().splitlines()]
    count = [0] * sum("distributions" in entry for entry in entries)
    for entry in entries:
        if entry["op_code"] == TOLD:
            count[entry["trial_id"]] += 1
    return count


def outcome(found: list[TrialSummary]) -> list[tuple[Any, ...]]:
    """What is the same of the same trials."""
    return [
        (trial.parameters, trial.cell, trial.state, trial.value, trial.epochs) for trial in found
    ]
