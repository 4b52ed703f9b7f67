"""Evaluation: a split's rows and losses from members in evaluation mode.

Each rank evaluates its share of the split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from echolm.config import makes_rows
from echolm.tasks import DENOMINATOR, Batch
from echolm.training.failures import Diverged
from echolm.training.feed import Feed, FeedRequest
from echolm.training.member import Member
from echolm.training.trunk import CutStates


@dataclass
class Evaluation:
    """What a member predicts for samples, in the order of the store.

    Attributes:
        tables: rows of predictions, a table a batch.
        losses: losses by sample, an array a batch.
        denominators: what each sample counts in the mean of the losses, of a goal that says it.
        error: what ended it early, if anything did.
        outputs: the sum of the outputs of the passes over the batch at hand. None between batches.
        passes: how many these are.
    """

    tables: list[pa.Table] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)
    denominators: list[np.ndarray] = field(default_factory=list)
    error: Exception | None = None
    outputs: Any = None
    passes: int = 0

    @classmethod
    def joined(cls, parts: Iterable[Evaluation]) -> Evaluation:
        """Join the ranks' parts, given by rank.

        Shards are contiguous, so the whole is in the order of the rows.
        """
        whole = cls()
        for part in parts:
            whole.tables += part.tables
            whole.losses += part.losses
            whole.denominators += part.denominators
        return whole

    def predict(self, member: Member, state: CutStates, samples: np.ndarray) -> None:
        """Predict one pass over a batch. ``add`` averages the passes.

        An error is kept, and everything after it left out.

        Args:
            member: what predicts.
            state: the batch at the cuts.
            samples: the samples' keys (B,).
        """
        if self.error is not None:
            return
        try:
            outputs = member.predict(state, samples)
            self.outputs = outputs if self.outputs is None else self.outputs + outputs
            self.passes += 1
        except Exception as error:
            self.error = error

    def add(self, member: Member, batch: Batch) -> None:
        """Append a batch, of which all passes were predicted.

        An error is kept, and everything after it left out. A loss that is not finite is one.

        Args:
            member: what predicts.
            batch: the batch, in its last pass.
        """
        total, passes = self.outputs, self.passes
        self.outputs, self.passes = None, 0
        if self.error is not None or total is None:
            return
        try:
            outputs = total if passes == 1 else total / passes
            goal = member.config.goal
            parts = goal.loss(outputs, batch)
            losses = parts["loss"].double().cpu().numpy()
            for number in np.flatnonzero(~np.isfinite(losses)).tolist():
                item = batch.items[number]
                raise Diverged(f"the loss of {item.split} sample {item.sample} is {losses[number]}")
            self.losses.append(losses)
            if goal.has_denominator:
                self.denominators.append(parts[DENOMINATOR].double().cpu().numpy())
            if makes_rows(member.config):
                self.tables.append(goal.rows(outputs, batch))
        except Exception as error:
            self.error = error

    def rows(self) -> pa.Table:
        """Return all rows."""
        return pa.concat_tables(self.tables).combine_chunks()

    def metrics(self, member: Member) -> dict[str, float]:
        """Compute ``loss``, the mean over samples, and the metrics of the task or objective.

        Without rows there is the loss alone.
        """
        values = {"loss": self._mean_loss()}
        if makes_rows(member.config):
            values |= member.config.goal.metrics(self.rows())
        return {name: float(value) for name, value in values.items()}

    def _mean_loss(self) -> float:
        losses = np.concatenate(self.losses)
        if not self.denominators:
            return float(losses.mean())
        denominator = np.concatenate(self.denominators).sum()
        return float(losses.sum() / denominator) if denominator else 0.0


def evaluate(
    members: Sequence[Member],
    feed: Feed,
    rows: np.ndarray,
    batch_size: int,
    after_batch: Callable[[], None],
    passes: int = 1,
) -> list[Evaluation]:
    """Evaluate each member on the store rows, without augmentation.

    Reading data may raise: that is no single member's error.

    Args:
        members: who is evaluated.
        feed: where batches come from.
        rows: rows of the store.
        batch_size: rows of a batch.
        after_batch: called after each batch. It may raise.
        passes: clips that are seen of each sample, whose outputs are averaged.

    Returns:
        An Evaluation a member.
    """
    windows: Sequence[int | None] = [None] if passes == 1 else range(passes)
    evaluations = [Evaluation() for _ in members]
    for member in members:
        member.train(False)
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    feed.announce(FeedRequest(part, None, window) for part in batches for window in windows)
    with torch.inference_mode():
        for batch_rows in batches:
            for window in windows:
                batch, state = feed(batch_rows, None, window)
                for member, evaluation in zip(members, evaluations, strict=True):
                    evaluation.predict(member, state, feed.keys[batch_rows])
            for member, evaluation in zip(members, evaluations, strict=True):
                evaluation.add(member, batch)
            after_batch()
    return evaluations
