"""Agreement between the ranks of a cohort, so that all of them take the same turns.

A rank that meets an error alone must not leave: the others would wait for it in their next
collective for ever. So an error is kept on its run (``RunHandle.error``) and the rank goes on, with
nothing to add for this run, to the next collective. There every rank learns of it, and the run ends
on all of them together. The same collective tells all ranks of signals and of cancel marks, which
rank 0 alone sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from echolm.states import RunState
from echolm.training.distributed import Ranks
from echolm.training.failures import RankLost
from echolm.training.parcel import to_device
from echolm.training.run_handle import RunHandle
from echolm.training.signals import StopRequest

T = TypeVar("T")


class Interrupted(Exception):
    """A watched signal came. Every active run has its checkpoint."""


@dataclass(frozen=True)
class StepFacts:
    """What the ranks know together of a step. The device may still be at it.

    Attributes:
        runs: the runs that were active in it.
        totals: a row a run, float64 on the device: the sums of losses and denominators over the
            whole batch, then how many ranks have an error, a cancel mark, a signal, and whether it
            is time for checkpoints.
        copy: the same in the host's memory, once ``arrived``.
        arrived: is recorded behind the copy, where the device works by itself.
    """

    runs: tuple[RunHandle, ...]
    totals: Tensor
    copy: Tensor
    arrived: torch.cuda.Event | None = None

    def read(self) -> list[list[float]]:
        """Return the totals as numbers. It waits until the device has got so far."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.copy.tolist()


class Consensus:
    """What the ranks of a cohort have agreed on.

    Args:
        ranks: the ranks.
        stop: the signals of this process.
        wants_save: tells on rank 0 whether it is time for checkpoints.
    """

    def __init__(
        self, ranks: Ranks, stop: StopRequest, wants_save: Callable[[], bool] = lambda: False
    ) -> None:
        self.ranks = ranks
        self.stop = stop
        self._wants_save = wants_save
        self._stop_agreed = False
        """Whether a signal has come to any rank, as all ranks know since the last step."""
        self._save_agreed = False
        """Whether rank 0 wants checkpoints, as all ranks know since the last step."""

    def reduce_step_facts(self, runs: Sequence[RunHandle], sums: Tensor) -> StepFacts:
        """Sum losses, errors and marks over ranks, in one collective a step.

        Marks are of cancelling, of signals, and of the time for checkpoints.

        Nothing waits for it here. ``learn`` reads it.

        Args:
            runs: the runs that were active in the step.
            sums: this rank's sums of losses and denominators, runs x 2 float64 on the device.
        """
        has_signal = bool(self.stop.received)
        wants_save = self.ranks.first and self._wants_save()
        marks = []
        for run in runs:
            run.notice_failed_write()
            has_error = run.error is not None
            marks.append([has_error, self._is_cancelled(run), has_signal, wants_save])
        on_device = to_device(np.array(marks, np.float64), self.ranks.device)
        totals = self.ranks.sum(torch.cat([sums, on_device], 1))
        if totals.device.type != "cuda":
            return StepFacts(tuple(runs), totals, totals)
        copy = torch.empty(totals.shape, dtype=totals.dtype, pin_memory=True)
        copy.copy_(totals, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return StepFacts(tuple(runs), totals, copy, arrived)

    def learn(self, facts: StepFacts) -> list[tuple[RunHandle, float, float]]:
        """Read what the ranks know together of a step.

        A run with an error on any rank leaves as failed.

        Returns:
            The runs that are still active, each with its loss and denominator, as sums over the
            whole batch.
        """
        learned = []
        for run, total in zip(facts.runs, facts.read(), strict=True):
            loss, denominator, errors, cancel_marks, signals, saves = total
            run.cancelled = cancel_marks > 0
            self._stop_agreed = signals > 0
            self._save_agreed = saves > 0
            if errors:
                self.fail_if_any_rank_failed(run)
            if run.active:
                learned.append((run, loss, denominator))
        return learned

    def wants_checkpoints(self, runs: Sequence[RunHandle]) -> bool:
        """Tell whether checkpoints will be saved after this step, for whatever reason."""
        return self._save_agreed or self._stop_agreed or any(run.cancelled for run in runs)

    def take_save_request(self) -> bool:
        """Tell once whether rank 0 wants checkpoints. All ranks have the same answer."""
        wanted, self._save_agreed = self._save_agreed, False
        return wanted

    def fail_if_any_rank_failed(self, run: RunHandle) -> None:
        """End a run as failed when it has an error on any rank."""
        if not run.active:
            return
        try:
            self.ranks.agree(run.error)
        except RankLost:
            raise
        except Exception as error:
            run.fail(error)

    def on_all_ranks(self, run: RunHandle, act: Callable[..., T], *args: Any) -> T | None:
        """Call ``act`` on every rank, and return rank 0's result on all of them.

        ``act`` communicates with no other rank. An error on any rank ends the run on all ranks.

        Returns:
            None also then, and for a run that has ended before.
        """
        result = None
        if run.active and run.error is None:
            try:
                result = act(*args)
            except Exception as error:
                run.error = error
        self.fail_if_any_rank_failed(run)
        return self.ranks.share(result) if run.active else None

    def stop_before_start(self) -> None:
        """Raise Interrupted on every rank when a signal has come to any, before there is a step."""
        if self.ranks.any(bool(self.stop.received)):
            raise Interrupted(self._signal())

    def stop_if_requested(self, runs: Sequence[RunHandle]) -> None:
        """Checkpoint and end cancelled runs, and interrupt all when a signal has come to any rank.

        Raises:
            Interrupted: a signal has come, and every active run has its checkpoint.
        """
        for run in runs:
            if (self._stop_agreed or run.cancelled) and not run.progress.done:
                self.on_all_ranks(run, run.save_checkpoint)
            if run.cancelled and run.active:
                run.end(RunState.CANCELLED, "marked as cancelled")
        if self._stop_agreed:
            raise Interrupted(self._signal())

    def poll_signals(self, runs: Sequence[RunHandle]) -> None:
        """Stop between two evaluation batches of a single process.

        Several ranks have different numbers of batches, and agree at the next step instead.
        """
        if self.ranks.world == 1:
            self._stop_agreed = bool(self.stop.received)
            self.stop_if_requested(runs)

    def _is_cancelled(self, run: RunHandle) -> bool:
        return self.ranks.first and run.prepared.record.cancelled()

    def _signal(self) -> str:
        return self.stop.received or "signal on another rank"
