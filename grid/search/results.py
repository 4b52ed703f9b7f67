"""What a search has found so far: its trials, the best of them, and a grid that runs the best with several seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echolm.record import RunRecord, find_records
from grid.search.definition import Search
from grid.search.folder import workspace_of
from grid.search.study import STATES, Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SEEDS = 5
"""Seeds of the grid that runs the best trial again."""
ORDER = ("complete", "pruned", "running", "interrupted", "pending", "failed")


@dataclass(frozen=True)
class Found:
    """A trial at the moment of looking. ``value``: its metric, or the last one known of a trial that did not end.
    A trial that runs has the state of its record: running, interrupted, or pending."""

    trial: int
    state: str
    value: float | None
    epochs: int
    parameters: dict[str, Any]
    cell: str
    reason: str
    record: str


def trials(study: Study, folder: Path) -> list[Found]:
    """All trials: complete ones first, the best at the top; then pruned ones, those that run, and failed ones."""
    found = [_found(trial, study.search, folder) for trial in study.trials()]
    sign = 1.0 if study.search.metric.direction == "min" else -1.0
    return sorted(found, key=lambda f: (ORDER.index(f.state), sign * f.value if f.value is not None else 0.0, f.trial))


def best(found: Sequence[Found]) -> Found | None:
    """The best complete trial of ``trials``; the first of equal ones."""
    return next((trial for trial in found if trial.state == "complete"), None)


def counts(found: Sequence[Found]) -> dict[str, int]:
    """State -> number of trials."""
    number = Counter(trial.state for trial in found)
    return {state: number[state] for state in ORDER if number[state]}


def seeds_grid(search: Search, trial: Found) -> dict[str, Any]:
    """The definition of a grid: the run of a trial with ``SEEDS`` seeds, the trial's own first."""
    base = search.values(trial.parameters)
    first = int(base.pop("seed", 0))
    title = f"the best of search {search.name}: trial {trial.trial}, validation {search.metric.name} {trial.value:.6g}"
    return {"title": title, "base": base, "axes": {"seed": list(range(first, first + SEEDS))}}


def _found(trial: FrozenTrial, search: Search, folder: Path) -> Found:
    marks, state = trial.user_attrs, STATES[trial.state.name]
    record = _record(marks.get("cell", ""), folder)
    if state == "running":
        state = record.state().name if record else "pending"
        state = state if state in ("running", "interrupted", "pending") else "running"  # it has ended; a worker will tell
    values = trial.intermediate_values
    value = trial.value if trial.value is not None else values[max(values)] if values else None
    parameters = {name: trial.params[name] for name in search.dimensions if name in trial.params}
    where, reason = str(record.path) if record else "", marks.get("reason", "") if state == "failed" else ""
    return Found(trial.number, state, value, len(values), parameters, marks.get("cell", ""), reason, where)


def _record(cell: str, folder: Path) -> RunRecord | None:
    """The newest record of a trial's cell, of the search or else of the workspace."""
    for runs in (folder / "runs", workspace_of(folder).runs):
        if cell and (records := find_records(runs, cell)):
            return records[0]
    return None
