"""The trials of a search: an Optuna study in a journal file that any number of processes share.

A trial is born whole, in one entry of the journal: running, with its values, its configuration and
its cell. So a process that is killed at any instruction leaves no trial of which it is unknown what
to run. Whether a running trial's process is still there is told by the trial's run record alone
(grid/search/trial.py). Telling a trial a second time changes nothing: the journal takes the first.

The study is named after the search, and has its metric's name. Those of earlier versions of EchoLM
are all called ``search``, and keep that name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import writing
from echolm.identity import cell_id
from echolm.randomness import word
from echolm.states import RunState
from grid.search.definition import Search
from grid.search.samplers import HalvingPruner, Pruner

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial

JOURNAL = "study.journal"
EARLIER_NAME = "search"
"""What earlier versions of EchoLM called every study."""
EARLIER_RAY_MARK = "ray"
"""An attribute of trials that earlier versions ran on Ray, where every pruner was ASHA."""
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}
STATES = {
    "COMPLETE": RunState.COMPLETE,
    "PRUNED": RunState.PRUNED,
    "FAIL": RunState.FAILED,
    "RUNNING": RunState.RUNNING,
    "WAITING": RunState.PENDING,
}
"""Optuna's names of states, and the records'."""


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    Attributes:
        state: ``complete``, ``pruned`` or ``failed``.
        value: the metric of a complete trial.
        reason: why it failed.
        attempt: the attempt of the record that says so.
    """

    state: str
    value: float | None = None
    reason: str = ""
    attempt: int = 0


class Study:
    """The trials of one search, from any process.

    Args:
        search: what is searched.
        folder: the search's folder.
        make: start the journal where there is none.

    Raises:
        EchoLMError: there is no journal, or it is damaged.

    Attributes:
        search: what is searched.
        path: the journal.
        earlier_pruner: the pruner that an earlier version ran as ASHA, on Ray. '' for all other
            searches, whose pruner is what it is called.
    """

    def __init__(self, search: Search, folder: Path, make: bool = False) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileSymlinkLock

        from grid.search.journal import TrialJournal

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.search = search
        self.path = (folder / JOURNAL).absolute()
        if not make and not self.path.exists():
            raise EchoLMError(
                f"{self.path}: is not there: the search has no trials; type",
                Command("search", "SPACE", options=("--trials", "N")),
            )
        self._asking = self.path.with_name("ask")
        self._lock = JournalFileSymlinkLock(str(self._asking))
        with self._reading():
            self._storage: JournalStorage = JournalStorage(TrialJournal(self.path))
            name = self._stored_name()
            if name is None:  # the journal is being begun, or was cut off before its first entry
                name = search.name
                optuna.create_study(
                    storage=self._storage,
                    study_name=name,
                    direction=DIRECTIONS[search.metric.direction],
                    load_if_exists=True,
                )
            self._study = optuna.load_study(study_name=name, storage=self._storage)
            self._id = self._storage.get_study_id_from_name(name)
            if make and not self._study.metric_names:
                self._name_metric()
        pruner = search.definition.pruner
        self.earlier_pruner = self._earlier_pruner(pruner)
        if self.earlier_pruner:
            pruner = HalvingPruner(warmup=max(1, getattr(pruner, "warmup", 1)))
        self._study.pruner = pruner.build()

    def trials(self) -> list[FrozenTrial]:
        """Return all trials, by number."""
        with self._reading():
            return self._study.get_trials(deepcopy=False)

    def running(self) -> list[FrozenTrial]:
        """Return the trials that have not been told."""
        return [trial for trial in self.trials() if not trial.state.is_finished()]

    def ask(self, most: int) -> FrozenTrial | None:
        """Add a trial with values from the sampler. None when there are ``most`` already."""
        while True:
            with self._alone():
                known = self.trials()
                if len(known) >= most:
                    return None
                trial = self._add(self._sample(known))
            if not trial.state.is_finished():
                return trial

    def add(self, parameters: Mapping[str, Any], **marks: Any) -> FrozenTrial:
        """Add a trial with these values of the free fields. It has failed when they give no run.

        Args:
            parameters: the values.
            marks: further attributes of the trial.
        """
        return self._add(dict(parameters), **marks)

    def report(self, trial: FrozenTrial, values: Mapping[int, float]) -> bool:
        """Note the metric after epochs (from 0), where it is not noted yet.

        Returns:
            False when the trial has been told by then.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        key = self._key(trial)
        noted = self._storage.get_trial(key).intermediate_values
        try:
            for epoch, value in values.items():
                if epoch not in noted:
                    self._storage.set_trial_intermediate_value(key, epoch, value)
        except UpdateFinishedTrialError:
            return False
        return True

    def prunes(self, trial: FrozenTrial) -> bool:
        """Return whether the pruner ends the trial after what was reported of it.

        A trial that has been told by then is ended too: nobody waits for its result.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            return self._study.pruner.prune(self._study, self._storage.get_trial(self._key(trial)))
        except UpdateFinishedTrialError:
            return True

    def tell(self, trial: FrozenTrial, result: TrialResult) -> None:
        """End the trial. Without effect when that was done before.

        Two workers may find at once that a trial has ended. One of them writes it.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        states = {
            RunState.COMPLETE: TrialState.COMPLETE,
            RunState.PRUNED: TrialState.PRUNED,
            RunState.FAILED: TrialState.FAIL,
        }
        state = states[RunState(result.state)]
        marks = {"attempt": result.attempt, "reason": result.reason}
        with self._alone(), suppress(UpdateFinishedTrialError):
            if self._storage.get_trial(self._key(trial)).state.is_finished():
                return
            for name, value in marks.items():
                if value:
                    self._storage.set_trial_user_attr(self._key(trial), name, value)
            self._study.tell(trial.number, result.value, state=state, skip_if_finished=True)

    def _key(self, trial: FrozenTrial) -> int:
        """Return the storage's name of a trial."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)

    def sampler(self, number: int) -> BaseSampler:
        """Build the sampler for trial ``number``."""
        sampler = self.search.definition.sampler
        return sampler.build(word("search", sampler.seed, number) & 0xFFFFFFFF)

    def _sample(self, known: list[FrozenTrial]) -> dict[str, Any]:
        """Choose values for the next trial.

        They come from a copy of the study in memory: sampling writes nothing.
        """
        import optuna

        sampler = self.sampler(len(known))
        copy = optuna.create_study(sampler=sampler, direction=self._study.direction)
        copy.add_trials(known)
        return dict(copy.ask(self.search.distributions()).params)

    def _add(self, parameters: dict[str, Any], **marks: Any) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        state = TrialState.RUNNING
        try:
            config = self.search.config(parameters)
            marks |= {"cell": cell_id(config), "config": config.model_dump(mode="json")}
        except EchoLMError as error:
            state = TrialState.FAIL
            marks |= {"reason": str(error)}
        trial = create_trial(
            state=state,
            params=parameters,
            distributions=self.search.distributions(),
            user_attrs=marks,
        )
        with self._reading():
            return self._storage.get_trial(self._storage.create_new_trial(self._id, trial))

    def _stored_name(self) -> str | None:
        """Return the name of the study that the journal holds. None: it holds none."""
        names = [study.study_name for study in self._storage.get_all_studies()]
        for name in (self.search.name, EARLIER_NAME):
            if name in names:
                return name
        return names[0] if names else None

    def _name_metric(self) -> None:
        """Give the study the name of its metric, for tools that show it."""
        from optuna.exceptions import ExperimentalWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.set_metric_names([self.search.metric.name])

    def _earlier_pruner(self, pruner: Pruner) -> str:
        """Return the pruner's name when it meant ASHA in this search, and '' otherwise."""
        if pruner.name == "none":
            return ""
        if any(EARLIER_RAY_MARK in trial.user_attrs for trial in self.trials()):
            return pruner.name
        return ""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let in one process at a time.

        So trials are not more than asked for, the sampler knows those that run, and a trial is told
        once.
        """
        from grid.search.journal import held

        with writing(self._asking):
            self._asking.touch()
        with held(self._lock, self._asking):
            yield

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise damage of the journal as an EchoLMError."""
        try:
            yield
        except (ValueError, KeyError, AssertionError) as error:
            raise EchoLMError(
                f"{self.path}: damaged ({error}); restore it from a copy, "
                f"or move {self.path.parent} away to start again"
            ) from error
