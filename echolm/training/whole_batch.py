"""Reads the parts of a step's batch, and counts beforehand what losses divide by.

Some losses have a mean over other things than samples, such as the valid anchors of a batch. How
many these are must be known before the first part of the batch is learned from. So all parts of a
rank are read and counted first, then kept until they are learned from: pixels are small beside what
a network keeps for its gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from echolm.encoders.base import State
from echolm.tasks import Batch
from echolm.tasks.goal import WholeBatch
from echolm.training.distributed import Ranks
from echolm.training.feed import Feed
from echolm.training.run_handle import RunHandle
from echolm.training.trunk import CutStates


class StepReader:
    """Reads the parts of one step after another.

    Args:
        feed: where they come from.
        ranks: among which the batch is divided.
    """

    def __init__(self, feed: Feed, ranks: Ranks) -> None:
        self.feed = feed
        self.ranks = ranks
        self._held: dict[bytes, tuple[Batch, CutStates]] = {}
        self._whole: WholeBatch | None = None

    def count(
        self, runs: Sequence[RunHandle], parts: Sequence[np.ndarray], epoch: int, samples: int
    ) -> None:
        """Count what the loss divides by in the whole batch, where the goal asks for it.

        An error is kept on the runs until the ranks next agree on errors.

        Args:
            runs: a cohort, which has one goal.
            parts: store rows of this rank's parts of the batch.
            epoch: of the step.
            samples: of the whole batch.
        """
        self._held.clear()
        self._whole = None
        if not runs[0].config.goal.counts_whole_batch:
            return
        count = 0.0
        try:
            for rows in parts:
                batch, state = self.feed(rows, epoch)
                count += runs[0].member.count(state)
                if len(parts) > 1:  # the next part overwrites the memory of this one
                    batch, state = _copy(batch, state)
                self._held[rows.tobytes()] = batch, state
        except Exception as error:
            for run in runs:
                run.error = error
        total = torch.tensor(count, dtype=torch.float64, device=self.ranks.device)
        self._whole = WholeBatch(samples, float(self.ranks.sum(total)))

    def read(self, rows: np.ndarray, epoch: int) -> tuple[Batch, CutStates]:
        """Return a part of the batch, and its state at the cut."""
        held = self._held.pop(rows.tobytes(), None)
        batch, state = self.feed(rows, epoch) if held is None else held
        batch.whole = self._whole
        return batch, state


def _copy(batch: Batch, states: CutStates) -> tuple[Batch, CutStates]:
    """Return the same clips in memory of their own. Such goals learn from the clips themselves."""
    clips = batch.clips.clone()
    state = states.at(0)
    assert isinstance(state, State)
    return replace(batch, clips=clips), CutStates({0: replace(state, tensors={"clip": clips})})
