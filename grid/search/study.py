"""The trials of a search: an Optuna study in a journal file that any number of processes share.

A trial is born whole, in one entry of the journal: running, with its values, its configuration and its cell. So a
process that is killed at any instruction leaves no trial of which it is unknown what to run. Whether a running trial's
process is still there is told by the trial's run record alone (grid/search/trial.py). Telling a trial a second time
changes nothing: the journal takes the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from echolm.errors import EchoLMError
from echolm.identity import cell_id
from echolm.randomness import word
from grid.search.definition import Search

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial

JOURNAL = "study.journal"
STUDY = "search"
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "pending"}
"""Optuna's names of states, and the records'."""


@dataclass(frozen=True)
class Verdict:
    """How a trial ended: ``complete`` with its value, ``pruned``, or ``failed`` with the reason. ``attempt``: of the
    record that says so."""

    state: str
    value: float | None = None
    reason: str = ""
    attempt: int = 0


class Study:
    """The trials of one search, from any process. ``make``: start the journal where there is none."""

    def __init__(self, search: Search, folder: Path, make: bool = False) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.search, self.path = search, (folder / JOURNAL).absolute()
        if not make and not self.path.exists():
            raise EchoLMError(f"{self.path}: is not there: the search has no trials; type: echolm search SPACE --trials N")
        self._asking = self.path.with_name("ask")
        self._lock = JournalFileSymlinkLock(str(self._asking))
        with self._reading():
            self._storage: JournalStorage = JournalStorage(JournalFileBackend(str(self.path)))
            known = [study.study_name for study in self._storage.get_all_studies()]
            if STUDY not in known:
                direction = DIRECTIONS[search.metric.direction]
                optuna.create_study(storage=self._storage, study_name=STUDY, direction=direction, load_if_exists=True)
            self._study = optuna.load_study(study_name=STUDY, storage=self._storage, pruner=search.definition.pruner.build())
            self._id = self._storage.get_study_id_from_name(STUDY)

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        with self._reading():
            return self._study.get_trials(deepcopy=False)

    def running(self) -> list[FrozenTrial]:
        """Trials that have not been told."""
        return [trial for trial in self.trials() if not trial.state.is_finished()]

    def ask(self, most: int) -> FrozenTrial | None:
        """A new trial with values from the sampler; None when there are ``most`` already."""
        while True:
            with self._alone():
                known = self.trials()
                if len(known) >= most:
                    return None
                trial = self._add(self._sample(known))
            if not trial.state.is_finished():
                return trial

    def add(self, parameters: Mapping[str, Any], **marks: Any) -> FrozenTrial:
        """A new trial with these values of the free fields, and further attributes; failed when they give no run."""
        return self._add(dict(parameters), **marks)

    def report(self, trial: FrozenTrial, values: Mapping[int, float]) -> bool:
        """Note the metric after epochs (from 0), where it is not noted yet. False: the trial has been told by then."""
        from optuna.exceptions import UpdateFinishedTrialError

        noted = self._storage.get_trial(self._key(trial)).intermediate_values
        try:
            for epoch, value in values.items():
                if epoch not in noted:
                    self._storage.set_trial_intermediate_value(self._key(trial), epoch, value)
        except UpdateFinishedTrialError:
            return False
        return True

    def prunes(self, trial: FrozenTrial) -> bool:
        """Whether the pruner ends the trial after what was reported of it."""
        return self._study.pruner.prune(self._study, self._storage.get_trial(self._key(trial)))

    def tell(self, trial: FrozenTrial, verdict: Verdict) -> None:
        """End the trial; without effect when that was done before."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[verdict.state]
        try:
            for name, value in (("attempt", verdict.attempt), ("reason", verdict.reason)):
                if value:
                    self._storage.set_trial_user_attr(self._key(trial), name, value)
            self._study.tell(trial.number, verdict.value, state=state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            return

    def _key(self, trial: FrozenTrial) -> int:
        """The storage's name of a trial."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)

    def sampler(self, number: int) -> BaseSampler:
        """The sampler for trial ``number``."""
        sampler = self.search.definition.sampler
        return sampler.build(word("search", sampler.seed, number) & 0xFFFFFFFF)

    def _sample(self, known: list[FrozenTrial]) -> dict[str, Any]:
        """Values for the next trial, from a copy of the study in memory: sampling writes nothing."""
        import optuna

        copy = optuna.create_study(sampler=self.sampler(len(known)), direction=self._study.direction)
        copy.add_trials(known)
        return dict(copy.ask(self.search.distributions()).params)

    def _add(self, parameters: dict[str, Any], **marks: Any) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        state = TrialState.RUNNING
        try:
            config = self.search.config(parameters)
            marks |= {"cell": cell_id(config), "config": config.model_dump(mode="json")}
        except EchoLMError as error:
            state, marks = TrialState.FAIL, {**marks, "reason": str(error)}
        trial = create_trial(state=state, params=parameters, distributions=self.search.distributions(), user_attrs=marks)
        with self._reading():
            return self._storage.get_trial(self._storage.create_new_trial(self._id, trial))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: that trials are not more than asked for, and the sampler knows those that run."""
        self._asking.touch()
        self._lock.acquire()
        try:
            yield
        finally:
            try:
                self._lock.release()
            except RuntimeError:
                pass  # this process was stopped for so long that another one took the lock

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Damage of the journal as an EchoLMError."""
        try:
            yield
        except (ValueError, KeyError, AssertionError) as error:
            raise EchoLMError(f"{self.path}: damaged ({error}); restore it from a copy, or delete the line that is cut off") from error
