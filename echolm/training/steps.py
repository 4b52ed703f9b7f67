"""Optimiser steps of the runs of a cohort: gradients of the whole batch, then an update.

The host does not wait for a GPU inside a step. What a step's losses are, and whether any rank had
an error, a cancel mark or a signal, is read one step later, when the GPU has work again. Before
anything is kept of a run (validation, a checkpoint) all is read (``OptimiserSteps.settle``). So a
run that failed or diverged makes one or two further updates, which nobody sees. On a CPU there is
nothing to wait for, and all is read within the step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from echolm.arithmetic import Arithmetic
from echolm.tasks import DENOMINATOR, Batch
from echolm.training.consensus import Consensus, StepFacts
from echolm.training.distributed import Ranks
from echolm.training.failures import Diverged
from echolm.training.feed import Feed, FeedRequest
from echolm.training.run_handle import RunHandle
from echolm.training.trunk import CutStates
from echolm.training.whole_batch import StepReader

LOSS, WEIGHT = 0, 1
"""Columns of a step's sums: of the losses, and of their denominators."""


@dataclass(frozen=True)
class OptimiserStep:
    """One step of an epoch.

    Attributes:
        epoch: from 0.
        number: of the step in the epoch, from 0.
        rows: the store rows of the whole batch, over all ranks.
    """

    epoch: int
    number: int
    rows: np.ndarray


class OptimiserSteps:
    """Takes steps of all runs that are active.

    Args:
        runs: the cohort's runs.
        feed: where batches come from.
        ranks: this process among others.
        consensus: what ranks agree by.
        micro_batch: samples that a rank pushes at once. None: all of its share.
        steps: how many an epoch has.
        arithmetic: how the networks compute.
    """

    def __init__(
        self,
        runs: Sequence[RunHandle],
        feed: Feed,
        ranks: Ranks,
        consensus: Consensus,
        micro_batch: int | None,
        steps: int,
        arithmetic: Arithmetic = Arithmetic(),  # noqa: B008 - it is frozen
    ) -> None:
        self.feed = feed
        self._reader = StepReader(feed, ranks)
        self._runs = runs
        self._ranks = ranks
        self._consensus = consensus
        self._micro_batch = micro_batch
        self._steps = steps
        self._arithmetic = arithmetic
        self._late = reads_late(ranks.device)
        self._unread: tuple[OptimiserStep, StepFacts] | None = None
        """A step of which nothing was read yet."""

    @property
    def active(self) -> list[RunHandle]:
        """The runs that have not ended."""
        return [run for run in self._runs if run.active]

    def announce(self, steps: Sequence[OptimiserStep]) -> None:
        """Tell feed and members which micro-batches of this rank come next: those of an epoch."""
        self.feed.announce(self._requests(steps))
        batches = [self.feed.keys[request.rows] for request in self._requests(steps)]
        for step in steps[:1]:
            for run in self.active:
                run.member.announce(step.epoch, batches)

    def _requests(self, steps: Sequence[OptimiserStep]) -> Iterator[FeedRequest]:
        for step in steps:
            for rows in self._micro_batches(step):
                yield FeedRequest(rows, step.epoch)

    def take(self, step: OptimiserStep) -> None:
        """Take one step of every active run."""
        runs = self.active
        sums = torch.zeros((len(runs), 2), dtype=torch.float64, device=self._ranks.device)
        for run in runs:
            run.member.train(True)
        parts = list(self._micro_batches(step))
        self._reader.count(runs, parts, step.epoch, len(step.rows))
        for rows in parts:
            self._accumulate(runs, rows, step, sums)
        facts = self._consensus.reduce_step_facts(runs, sums)
        earlier, self._unread = self._unread, (step, facts)
        if not self._late:
            self.settle()
        for run, total in zip(runs, facts.totals, strict=True):
            if run.active:
                self._update(run, step, total[WEIGHT])
        if earlier:
            self._learn(*earlier)
        if self._consensus.wants_checkpoints(self.active):
            self.settle()

    def settle(self) -> None:
        """Read what is not read yet of the last step: its losses, errors and marks."""
        unread, self._unread = self._unread, None
        if unread:
            self._learn(*unread)

    def _learn(self, step: OptimiserStep, facts: StepFacts) -> None:
        """Count a step's losses. End runs whose loss is not finite, with the batch as evidence."""
        for run, loss, denominator in self._consensus.learn(facts):
            if not math.isfinite(loss):
                items = self.feed.store.items
                samples = [items[int(row)].sample for row in step.rows]
                error = Diverged(f"the training loss is {loss}")
                run.fail(error, loss=loss, samples=samples)
                continue
            run.progress.loss_sum += loss
            run.progress.count += denominator if run.config.goal.has_denominator else len(step.rows)

    def _micro_batches(self, step: OptimiserStep) -> Iterator[np.ndarray]:
        """Cut this rank's share of a batch."""
        rows = self._ranks.shard(step.rows)
        size = self._micro_batch or max(len(rows), 1)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def _accumulate(
        self, runs: Sequence[RunHandle], rows: np.ndarray, step: OptimiserStep, sums: Tensor
    ) -> None:
        """Add the gradients of a micro-batch to every run, and its losses to ``sums``."""
        try:
            batch, state = self._reader.read(rows, step.epoch)
        except Exception as error:
            # Data are shared: every member has the error. It is raised on no rank alone.
            for run in runs:
                run.error = error
            return
        for run, run_sums in zip(runs, sums, strict=True):
            if run.error is None:
                try:
                    self._backward(run, state, batch, rows, step, run_sums)
                except Exception as error:
                    run.error = error

    def _backward(
        self,
        run: RunHandle,
        state: CutStates,
        batch: Batch,
        rows: np.ndarray,
        step: OptimiserStep,
        sums: Tensor,
    ) -> None:
        """Add a micro-batch's gradients, and its losses and their denominators to ``sums``.

        The gradients are those of the sum divided by the size of the whole batch, so that micro-
        batches and ranks add up to the mean. Where the losses have denominators, ``_update``
        divides by their sum, which is known when all ranks have passed all of the batch.
        """
        samples = self.feed.keys[rows]
        losses = run.member.losses(state, batch, samples, step.epoch, step.number)
        loss = losses["loss"].sum()
        has_denominator = run.config.goal.has_denominator
        share = loss if has_denominator else loss / len(step.rows)
        if run.member.parameters:
            with self._arithmetic.backward(share.device):
                share.backward()
        sums[LOSS].add_(loss.detach())
        if has_denominator:
            sums[WEIGHT].add_(losses[DENOMINATOR].detach().double().sum())

    def _update(self, run: RunHandle, step: OptimiserStep, weight: Tensor) -> None:
        """Step the optimiser. An error is kept until the ranks next agree on errors.

        Args:
            run: the run.
            step: the step.
            weight: the sum of the denominators of the whole batch, on the device.
        """
        self._ranks.sum_gradients(run.member.parameters)
        schedule, epochs = run.config.schedule, run.config.epochs
        try:
            if run.config.goal.has_denominator:
                run.member.divide_gradients(weight)
            run.member.step(schedule.progress(step.epoch, step.number, epochs, self._steps))
        except Exception as error:
            run.error = error
        run.progress.step = step.number + 1


def reads_late(device: torch.device) -> bool:
    """Tell whether what a step knows is read in the next one: where the device works by itself."""
    return device.type == "cuda"
