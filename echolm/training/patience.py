"""Waiting, on all ranks together, until what a run needs is there again.

Ranks that wait meet in a small collective at every look. So a signal to any of them ends the wait
of all, and none of them waits longer in a collective than one pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

import torch

from echolm.errors import EchoLMError
from echolm.outages import Pauses, limit_s, lost_workspace, no_room
from echolm.states import RunState
from echolm.stores.clips import peek
from echolm.text import duration
from echolm.training.distributed import Ranks
from echolm.training.prepare import PreparedRun
from echolm.training.run_handle import RunHandle
from echolm.training.signals import StopRequest

FRUITLESS = 5
"""How often the same may happen again, with all there and no step in between, before it is a
failure."""


class AfterWait(Enum):
    """What follows a wait."""

    AGAIN = "again"
    LAST = "last"
    """Once more, and then it is a failure: all is there, and it happens again and again."""
    OVER = "over"
    """It was away for too long, or a signal came."""


class Patience:
    """The budget of one unit's outages.

    Args:
        ranks: who waits.
        stop: the signals of this process.
        tell: is called on the first rank with a line when a wait begins, and when it ends well.
        limit: seconds of one wait. None: ``echolm.outages.limit_s``.

    Attributes:
        stopped: whether a signal to any rank ended a wait. All ranks know.
    """

    def __init__(
        self, ranks: Ranks, stop: StopRequest, tell: Callable[[str], None], limit: float | None
    ) -> None:
        self._ranks = ranks
        self._stop = stop
        self._tell = tell
        self._limit_s = limit_s() if limit is None else limit
        self._fruitless = 0
        self._pauses = Pauses()
        self.stopped = False

    def wait(self, look: Callable[[], str], moved: bool = False) -> AfterWait:
        """Wait until nothing is missing on any rank.

        Args:
            look: says what is missing on this rank, or ''.
            moved: whether something was done since the last wait.
        """
        if moved:
            self._fruitless = 0
            self._pauses = Pauses()
        began = time.monotonic()
        told = ""
        while True:
            missing = look()
            away, over, self.stopped = self._agree(missing, time.monotonic() - began)
            if self.stopped or (over and (away or not self._limit_s)):
                return AfterWait.OVER
            if not away:
                break
            if not told:
                told = missing or "what another rank needs is not there"
                self._say(f"{told}; waiting")
            self._pauses.take(self._is_stopped)
        if told:
            self._say(f"all is there again, after {duration(time.monotonic() - began)}")
            return AfterWait.AGAIN
        self._fruitless += 1
        if self._fruitless > FRUITLESS:
            return AfterWait.LAST
        self._pauses.take(self._is_stopped)
        return AfterWait.AGAIN

    def wait_for_runs(self, runs: Sequence[RunHandle]) -> AfterWait:
        """Wait until all is there that interrupted runs need."""
        moved = any(run.moved for run in runs)
        return self.wait(lambda: what_is_missing(run.prepared for run in runs), moved)

    def _agree(self, missing: str, waited_s: float) -> tuple[bool, bool, bool]:
        """Tell on all ranks whether something is away, the time is over, a signal has come."""
        facts = [bool(missing), self._ranks.first and waited_s >= self._limit_s, self._is_stopped()]
        table = torch.tensor(facts, dtype=torch.float64, device=self._ranks.device)
        away, over, stopped = self._ranks.sum(table).tolist()
        return away > 0, over > 0, stopped > 0

    def _is_stopped(self) -> bool:
        return bool(self._stop.received)

    def _say(self, line: str) -> None:
        if self._ranks.first:
            self._tell(line)


def interrupted_by_outage(runs: Sequence[RunHandle], ranks: Ranks) -> list[int]:
    """Return which runs wait for something that is away, by their number. All ranks agree.

    None of them, where a signal or the loss of a rank has interrupted a run: nobody waits then.
    """
    lost = []
    for index, run in enumerate(runs):
        if run.outcome is None or run.outcome.state != RunState.INTERRUPTED:
            continue
        if not run.outcome.outage:
            return []
        lost.append(index)
    return ranks.share(lost)


def what_is_missing(runs: Iterable[PreparedRun]) -> str:
    """Say which path that runs need cannot be reached from here, or ''."""
    for run in runs:
        missing = lost_workspace(run.record.path) or _without_store(run)
        if not missing and run.weights and not run.weights.is_file():
            missing = f"the weights {run.weights} are not there"
        if not missing and run.record.path.is_dir():
            missing = no_room(run.record.path)
        if missing:
            return missing
    return ""


def _without_store(run: PreparedRun) -> str:
    try:
        peek(run.store)
    except EchoLMError:
        return f"the store {run.store} is not there"
    return ""
