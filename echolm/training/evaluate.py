"""Evaluation: a split's rows and losses from members in evaluation mode, on this rank's share of the split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch

from echolm.encoders.base import State
from echolm.tasks import Batch
from echolm.training.batches import Batches
from echolm.training.failures import Diverged
from echolm.training.member import Member
from echolm.training.trunk import Trunk


@dataclass
class Evaluation:
    """What a member predicts for samples in the order of the store: tables of rows, the losses, and the error that
    ended it early, if any."""

    tables: list[pa.Table] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)
    error: Exception | None = None

    @classmethod
    def joined(cls, parts: Iterable[Evaluation]) -> Evaluation:
        """One after the other: shards are contiguous, so the ranks' parts by rank are in the order of the rows."""
        whole = cls()
        for part in parts:
            whole.tables += part.tables
            whole.losses += part.losses
        return whole

    def add(self, member: Member, state: State, batch: Batch) -> None:
        """Append a batch. An error is kept, and everything after it left out; so is a loss that is not finite."""
        if self.error is None:
            try:
                outputs = member.model(state)
                losses = member.config.task.loss(outputs, batch)["loss"].double().cpu().numpy()
                for item, loss in zip(batch.items, losses, strict=True):
                    if not np.isfinite(loss):
                        raise Diverged(f"the loss of {item.split} sample {item.sample} is {loss}")
                self.losses.append(losses)
                self.tables.append(member.config.task.rows(outputs, batch))
            except Exception as error:
                self.error = error

    def rows(self) -> pa.Table:
        """All rows."""
        return pa.concat_tables(self.tables).combine_chunks()

    def metrics(self, member: Member) -> dict[str, float]:
        """``loss``, the mean over samples, and the task's metrics."""
        found = {"loss": np.concatenate(self.losses).mean(), **member.config.task.metrics(self.rows())}
        return {name: float(value) for name, value in found.items()}


def evaluate(
    members: Sequence[Member], trunk: Trunk, batches: Batches, rows: np.ndarray, batch_size: int, between: Callable[[], None]
) -> list[Evaluation]:
    """Evaluate each member on the store rows, without augmentation: an Evaluation a member.

    ``between`` is called after each batch and may raise. So may reading data: that is no single member's error.
    """
    found = [Evaluation() for _ in members]
    for member in members:
        member.train(False)
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            batch = batches.batch(rows[start : start + batch_size], None)
            state = trunk(batch.clips)
            for member, evaluation in zip(members, found, strict=True):
                evaluation.add(member, state, batch)
            between()
    return found
