"""The worker: what local processes, SLURM tasks and Ray tasks all run. It takes only a path, and finds all else there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from grid.plan import TO_RUN
from grid.search.folder import read_search
from grid.search.study import Study
from grid.search.trial import finish, judge, prepare_trial, run_trial

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from echolm.training.loop import Compute
    from echolm.training.prepare import PreparedRun


def run_worker(folder: Path, trials: int, device: str = "auto", compute: Compute | None = None) -> bool:
    """Run trials of the search in ``folder`` until there are ``trials`` in all and nothing is left to do here.

    What others left comes first: trials that ended but were not told, and trials whose process is gone, from their
    checkpoints. Trials that others run are left alone; when all there is to do is a trial whose holder cannot be seen
    from here, its heartbeat is watched. With ``trials`` 0 none is added. Any number of workers may run at once, and be
    killed and started again. Returns False when a signal stopped it.

    EchoLMError when data or weights are missing, or nothing can be written.
    """
    from echolm.training.distributed import Ranks, pick_device
    from echolm.training.loop import Compute
    from echolm.training.signals import Signals

    worker = _Worker(Study(read_search(folder), folder), folder, trials)
    compute, ranks = compute or Compute(), Ranks(device=pick_device(device))
    with Signals() as signals:
        while not signals.received and (found := worker.next()) and not signals.received:
            trial, run = found
            state = run_trial(worker.study, trial, run, ranks, compute)
            if state == "interrupted":
                return False
            if state in ("busy", "superseded"):
                worker.busy.add(trial.number)
        return not signals.received


class _Worker:
    """What is to be done next."""

    def __init__(self, study: Study, folder: Path, trials: int) -> None:
        self.study, self._folder, self._trials = study, folder, trials
        self.busy: set[int] = set()
        """Trials whose holder was found alive."""

    def next(self) -> tuple[FrozenTrial, PreparedRun] | None:
        """A trial to run, with its run; trials that have ended are told on the way."""
        unseen = None
        for trial in self._open():
            run = prepare_trial(trial, self._folder)
            verdict, state = judge(run.record, self.study.search.metric), run.record.state()
            if verdict:
                finish(self.study, trial, run, verdict)
            elif state.name in TO_RUN:
                return trial, run
            elif "unseen" in state.evidence and trial.number not in self.busy:
                unseen = unseen or (trial, run)
        return unseen

    def _open(self) -> Iterator[FrozenTrial]:
        """Trials that have not been told, then new ones."""
        yield from self.study.running()
        while trial := self.study.ask(self._trials):
            yield trial
