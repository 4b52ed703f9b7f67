"""When a cohort saves checkpoints: after each epoch, and within one that lasts for long."""

from __future__ import annotations

import time
from collections.abc import Sequence

from echolm.training.distributed import Ranks
from echolm.training.run_handle import RunHandle


class CheckpointTimes:
    """Says when the runs of a cohort are saved. All are at the same step, and stay together so.

    Args:
        ranks: this process among others.
        every_s: the longest time without a checkpoint, in seconds.
    """

    def __init__(self, ranks: Ranks, every_s: float) -> None:
        self._ranks = ranks
        self._every_s = every_s
        self._saved = time.monotonic()
        self._leaves_out = False

    def is_due(self) -> bool:
        """Tell whether the last checkpoint is too long ago, by this rank's clock."""
        return time.monotonic() - self._saved >= self._every_s

    def save(self, runs: Sequence[RunHandle]) -> None:
        """Save all runs on rank 0 in the middle of an epoch.

        A run with an error is not saved: its last step may be half made. An error of saving is kept
        until the ranks next agree on errors.
        """
        if not self._ranks.first:
            return
        for run in runs:
            if run.error is not None:
                continue
            try:
                run.save_checkpoint(wait=False)
            except Exception as error:
                run.error = error
        self._saved = time.monotonic()

    def end_epoch(self, runs: Sequence[RunHandle]) -> None:
        """Decide on all ranks whether this epoch's checkpoints are left out.

        They are while files of an earlier epoch are on their way: a disk that is slower than an
        epoch is not waited for.
        """
        self._leaves_out = self._ranks.share(any(run.is_writing for run in runs))
        if not self._leaves_out:
            self._saved = time.monotonic()

    def wants(self, is_over: bool) -> bool:
        """Tell whether a run is saved after this epoch. Its last one is not left out."""
        return is_over or not self._leaves_out
