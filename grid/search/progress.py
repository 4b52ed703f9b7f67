"""Starting a search, and telling which trials end while workers run them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echolm.text import counted
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.search.definition import Search
from grid.search.folder import start_search
from grid.search.metric_names import check_metric
from grid.search.restart import make_room
from grid.search.results import TrialSummary, trial_summaries
from grid.search.study import Study
from grid.search.trial import TRIAL_SPLITS


@dataclass(frozen=True)
class EndedTrial:
    """A trial that has ended.

    Attributes:
        trial: how it ended.
        ended: how many trials have ended by now.
        seconds: since the search was started or continued.
    """

    trial: TrialSummary
    ended: int
    seconds: float


def begin_search(
    search: Search, workspace: Workspace, trials: int, tell: Callable[[EndedTrial], None]
) -> SearchProgress:
    """Start a search, or continue one.

    Args:
        search: what is searched.
        workspace: where its folder lies.
        trials: how many trials in all.
        tell: called for each trial that ends.

    Raises:
        EchoLMError: data or weights are missing that a trial may need, no run has the metric, or
            the search was started with another definition and has something to lose.
    """
    runs = []
    for sample in search.samples():
        runs.append(prepare_run(search.config(sample), workspace, splits=TRIAL_SPLITS))
    check_metric(search, runs)
    aside = make_room(search, workspace)
    folder = start_search(search, workspace)
    progress = SearchProgress(Study(search, folder, make=True), folder, trials, tell)
    if aside:
        progress.notes.append(
            f"an earlier search {search.name} had another definition and no complete trial: it lies"
            f" in {aside} now"
        )
    return progress


class SearchProgress:
    """Which trials of a search have ended.

    Args:
        study: the trials.
        folder: the search's folder.
        trials: how many trials in all.
        tell: called for each trial that ends.
    """

    def __init__(
        self, study: Study, folder: Path, trials: int, tell: Callable[[EndedTrial], None]
    ) -> None:
        self.folder = folder
        self._study = study
        self._tell = tell
        self._told = self._finished()
        self._began = time.monotonic()
        to_continue = len(study.running())
        to_run = max(0, trials - len(study.trials()))
        parts = []
        if to_continue:
            parts.append(f"{counted(to_continue, 'trial')} to continue")
        if to_run:
            parts.append(f"{counted(to_run, 'trial')} to run")
        self.left = ", ".join(parts)
        """What there is to do, in words. Empty for nothing."""
        self.notes: list[str] = []
        """What the user should know before it goes on."""
        if study.earlier_pruner:
            self.notes.append(
                f"search {study.search.name} was begun on Ray by an earlier EchoLM, where pruner "
                f"{study.earlier_pruner} was successive halving: its trials are pruned so as "
                "before; a new search names that pruner halving"
            )

    def __call__(self) -> int:
        """Tell what has ended since the last call, and return how many have ended."""
        new = self._finished() - self._told
        if not new:
            return len(self._told)
        summaries = trial_summaries(self._study, self.folder)
        for summary in sorted(summaries, key=lambda summary: summary.trial):
            if summary.trial in new:
                self._told.add(summary.trial)
                seconds = time.monotonic() - self._began
                self._tell(EndedTrial(summary, len(self._told), seconds))
        return len(self._told)

    def _finished(self) -> set[int]:
        return {trial.number for trial in self._study.trials() if trial.state.is_finished()}
