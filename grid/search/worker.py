"""The worker: what local processes, SLURM tasks and Ray tasks all run.

It takes only a path, and finds all else there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.states import RunState
from grid.search.folder import read_search
from grid.search.study import Study
from grid.search.trial import finish, prepare_trial, run_trial, trial_result
from grid.units import TO_RUN

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from echolm.training.loop import Compute
    from echolm.training.prepare import PreparedRun


def run_worker(
    folder: Path, trials: int, device: str = "auto", compute: Compute | None = None
) -> bool:
    """Run trials of a search until there are ``trials`` in all and nothing is left to do here.

    What others left comes first: trials that ended but were not told, and trials whose process is
    gone, from their checkpoints. Trials that others run are left alone. When all there is to do is
    a trial whose holder cannot be seen from here, its heartbeat is watched. Any number of workers
    may run at once, and be killed and started again.

    Args:
        folder: the search's folder.
        trials: how many trials in all. With 0 none is added.
        device: where to compute.
        compute: how to compute.

    Returns:
        False when a signal stopped it.

    Raises:
        EchoLMError: data or weights are missing, or nothing can be written.
    """
    from echolm.training.distributed import Ranks, pick_device
    from echolm.training.loop import Compute
    from echolm.training.signals import StopRequest

    worker = _Worker(Study(read_search(folder), folder), folder, trials)
    compute = compute or Compute()
    ranks = Ranks(device=pick_device(device))
    with StopRequest() as signals:
        while not signals.received:
            task = worker.next()
            if task is None or signals.received:
                break
            trial, run = task
            state = run_trial(worker.study, trial, run, ranks, compute)
            if state == RunState.INTERRUPTED:
                return False
            if state in ("busy", "superseded"):
                worker.busy.add(trial.number)
        return not signals.received


class _Worker:
    """What is to be done next."""

    def __init__(self, study: Study, folder: Path, trials: int) -> None:
        self.study = study
        self.busy: set[int] = set()
        """Trials whose holder was found alive."""
        self._folder = folder
        self._trials = trials

    def next(self) -> tuple[FrozenTrial, PreparedRun] | None:
        """Return a trial to run, with its run. Trials that have ended are told on the way."""
        unseen = None
        for trial in self._open():
            run = prepare_trial(trial, self._folder)
            result = trial_result(run.record, self.study.search.metric)
            state = run.record.state()
            if result:
                finish(self.study, trial, run, result)
            elif state.name in TO_RUN:
                return trial, run
            elif "unseen" in state.evidence and trial.number not in self.busy:
                unseen = unseen or (trial, run)
        return unseen

    def _open(self) -> Iterator[FrozenTrial]:
        """Yield trials that have not been told, then new ones."""
        yield from self.study.running()
        while trial := self.study.ask(self._trials):
            yield trial
