"""What a search has found so far.

Its trials, the best of them, and a grid that runs the best with several seeds.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echolm.record import RunRecord, find_records
from echolm.states import RunState
from echolm.text import ranges
from grid.search.definition import Search
from grid.search.folder import workspace_of
from grid.search.study import STATES, Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SEEDS = 5
"""Seeds of the grid that runs the best trial again. No trial used one of them."""
ORDER = (
    RunState.COMPLETE,
    RunState.PRUNED,
    RunState.RUNNING,
    RunState.INTERRUPTED,
    RunState.PENDING,
    RunState.FAILED,
)
"""States of trials, as they are listed."""
OPEN = (RunState.RUNNING, RunState.INTERRUPTED, RunState.PENDING)
FINAL = (RunState.COMPLETE, RunState.PRUNED, RunState.FAILED)


@dataclass(frozen=True)
class TrialSummary:
    """A trial at the moment of looking.

    Attributes:
        trial: its number.
        state: its state. Of a trial that runs, it is the state of its record: running, interrupted
            or pending.
        value: its metric, or the last one known of a trial that did not end.
        epochs: how many epochs reported the metric.
        parameters: the values of the free fields.
        cell: the cell id of its configuration.
        reason: why it failed.
        record: the folder of its run record.
    """

    trial: int
    state: str
    value: float | None
    epochs: int
    parameters: dict[str, Any]
    cell: str
    reason: str
    record: str


@dataclass(frozen=True)
class SearchReport:
    """What a search has found.

    Attributes:
        search: what is searched.
        trials: as ``trial_summaries`` orders them.
        best: the best complete trial, the first of equal ones.
        grid: the definition of a grid that runs the best trial with several seeds that no trial
            used.
    """

    search: Search
    trials: list[TrialSummary]
    best: TrialSummary | None
    grid: dict[str, Any] | None

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of trials."""
        counts = Counter(trial.state for trial in self.trials)
        return {str(state): counts[state] for state in ORDER if counts[state]}

    @property
    def all_ended(self) -> bool:
        """Whether there are trials and all of them have ended."""
        return bool(self.trials) and all(trial.state in FINAL for trial in self.trials)

    @property
    def succeeded(self) -> bool:
        """Whether all trials have ended and one is complete."""
        return self.best is not None and self.all_ended


def search_report(study: Study, folder: Path) -> SearchReport:
    """Report what the search in ``folder`` has found so far."""
    summaries = trial_summaries(study, folder)
    best = None
    if summaries and summaries[0].state == RunState.COMPLETE:
        best = summaries[0]
    grid = seeds_grid(study.search, best, summaries) if best else None
    return SearchReport(study.search, summaries, best, grid)


def trial_summaries(study: Study, folder: Path) -> list[TrialSummary]:
    """Return all trials: complete ones first, the best at the top.

    Then come pruned ones, those that run, and failed ones.
    """
    sign = 1.0 if study.search.metric.direction == "min" else -1.0

    def rank(summary: TrialSummary) -> tuple[int, float, int]:
        value = 0.0 if summary.value is None else sign * summary.value
        return ORDER.index(RunState(summary.state)), value, summary.trial

    summaries = [_summary(trial, study.search, folder) for trial in study.trials()]
    return sorted(summaries, key=rank)


def seeds_grid(
    search: Search, best: TrialSummary, trials: Sequence[TrialSummary]
) -> dict[str, Any]:
    """Define a grid: the run of the best trial with ``SEEDS`` seeds that no trial used.

    The best of many trials was lucky with its seed too. Results of other seeds do not show that.

    Args:
        search: what is searched.
        best: the trial.
        trials: all trials.
    """
    base = search.values(best.parameters)
    base.pop("seed", None)
    seeds = unused_seeds(search, trials)
    title = (
        f"the best of search {search.name}: trial {best.trial}, "
        f"validation {search.metric.name} {best.value:.6g}; "
        f"seeds {ranges(seeds)}, which no trial used"
    )
    return {"title": title, "base": base, "axes": {"seed": seeds}}


def unused_seeds(search: Search, trials: Sequence[TrialSummary]) -> list[int]:
    """Return the ``SEEDS`` smallest seeds that no trial used."""
    used = {int(search.values(trial.parameters).get("seed", 0)) for trial in trials}
    unused = (seed for seed in itertools.count() if seed not in used)
    return list(itertools.islice(unused, SEEDS))


def describe_trial(trial: TrialSummary) -> str:
    """Describe how a trial stands, in one line. Numbers are shortened."""
    value = "" if trial.value is None else shortened(trial.value)
    if trial.reason:
        what = trial.reason.splitlines()[0]
    else:
        fields = [f"{name}={shortened(value)}" for name, value in trial.parameters.items()]
        what = " ".join(fields)
    return f"{trial.state:<9} {value:<10} {trial.epochs:>3} epochs  {what}"


def shortened(value: Any) -> str:
    """Spell a value, a float by four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _summary(trial: FrozenTrial, search: Search, folder: Path) -> TrialSummary:
    cell = trial.user_attrs.get("cell", "")
    record = _newest_record(cell, folder)
    state = STATES[trial.state.name]
    if state == RunState.RUNNING:
        state = _state_of_running(record)
    reason = ""
    if state == RunState.FAILED:
        reason = trial.user_attrs.get("reason", "")
    reported = trial.intermediate_values
    value = trial.value
    if value is None and reported:
        value = reported[max(reported)]
    parameters = {name: trial.params[name] for name in search.dimensions if name in trial.params}
    return TrialSummary(
        trial=trial.number,
        state=str(state),
        value=value,
        epochs=len(reported),
        parameters=parameters,
        cell=cell,
        reason=reason,
        record=str(record.path) if record else "",
    )


def _state_of_running(record: RunRecord | None) -> RunState:
    """Return how a trial stands that has not been told, by its record."""
    if record is None:
        return RunState.PENDING
    state = RunState(record.state().name)
    if state in OPEN:
        return state
    return RunState.RUNNING  # it has ended; a worker will tell


def _newest_record(cell: str, folder: Path) -> RunRecord | None:
    """Return the newest record of a trial's cell, of the search or else of the workspace."""
    if not cell:
        return None
    for runs in (folder / "runs", workspace_of(folder).runs):
        records: Sequence[RunRecord] = find_records(runs, cell)
        if records:
            return records[0]
    return None
