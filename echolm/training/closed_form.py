"""Fitting heads in closed form, before the first epoch: one pass over the training clips."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from echolm.config import FinetuneConfig
from echolm.errors import EchoLMError
from echolm.heads.least_squares import Moments
from echolm.tasks import Batch
from echolm.training.consensus import Consensus
from echolm.training.feed import Feed, FeedRequest
from echolm.training.member import Member
from echolm.training.run_handle import RunHandle
from echolm.training.trunk import CutStates


def is_closed_form(member: Member) -> bool:
    """Tell whether a member's head is fitted in closed form, so that nothing trains."""
    config = member.config
    return isinstance(config, FinetuneConfig) and config.head.closed_form


def fit_closed_form(
    runs: Sequence[RunHandle], feed: Feed, rows: np.ndarray, consensus: Consensus
) -> None:
    """Fit the heads of runs that begin and are fitted in closed form.

    Each rank passes its share of the training rows, without augmentation, and the sums are added
    up over ranks. A signal in between ends the pass, which is done anew next time.

    Args:
        runs: runs of a cohort, those that are not fitted so among them.
        feed: where batches come from.
        rows: the training rows of the store.
        consensus: what ranks agree by.

    Raises:
        Interrupted: a signal came. There is no checkpoint yet.
    """
    fits = []
    for run in runs:
        if run.active and is_closed_form(run.member):
            fits.append(_Fit(run, consensus.ranks.device))
    if not fits:
        return
    share = consensus.ranks.shard(rows)
    size = runs[0].config.batch_size
    with consensus.ranks.together():
        parts = [share[start : start + size] for start in range(0, len(share), size)]
        feed.announce(FeedRequest(part, None) for part in parts)
        for part in parts:
            batch, state = feed(part, None)
            for fit in fits:
                fit.add(batch, state)
            if consensus.ranks.world == 1:
                consensus.stop_before_start()
    consensus.stop_before_start()
    for fit in fits:
        consensus.fail_if_any_rank_failed(fit.run)
        if fit.run.active:
            fit.moments.over_ranks(consensus.ranks.sum)
            consensus.on_all_ranks(fit.run, fit.solve)


class _Fit:
    """The fit of one run's head."""

    def __init__(self, run: RunHandle, device: torch.device) -> None:
        config = run.config
        assert isinstance(config, FinetuneConfig)
        self.run = run
        self._task = config.task
        self.moments = Moments(config.head_width, math.prod(config.task.outputs()), device)
        run.member.train(False)
        if run.member.parameters:
            run.error = EchoLMError(
                f"head {config.head.name} is fitted before training, but fusion "
                f"{config.fusion.name} trains; valid: a fusion without parameters"
            )

    def add(self, batch: Batch, state: CutStates) -> None:
        """Add a batch. An error is kept until the ranks agree on errors."""
        if self.run.error is not None:
            return
        try:
            with torch.no_grad():
                vectors = self.run.member.head_inputs(state)
            truth = self._task.truth(batch)
            self.moments.add(vectors, truth.flatten(1))
        except Exception as error:
            self.run.error = error

    def solve(self) -> None:
        """Fit the head to the sums of all ranks."""
        self.run.member.model.head.fit(self.moments)  # type: ignore[union-attr,operator]
