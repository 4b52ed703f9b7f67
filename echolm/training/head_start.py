"""Where a head starts: from what fits the training targets best without a look at clips."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from echolm.config import FinetuneConfig
from echolm.training.feed import Feed
from echolm.training.run_handle import RunHandle


def set_start(run: RunHandle, feed: Feed, rows: np.ndarray) -> None:
    """Let the head of a run start from its training targets, where task or head ask for that.

    Args:
        run: the run, with its member.
        feed: what it trains on.
        rows: of its training split.
    """
    config = run.config
    if not isinstance(config, FinetuneConfig):
        return
    items = feed.store.items
    start = config.task.start([items[int(row)] for row in rows])
    if start is None and config.head.starts_from_mean:
        start = _mean_target(config, feed, rows)
    if start is not None:
        config.head.begin(run.member.model.head, start)  # type: ignore[union-attr,arg-type]


def _mean_target(config: FinetuneConfig, feed: Feed, rows: np.ndarray) -> Tensor:
    """Return the mean training target, *outputs."""
    total = None
    for start in range(0, len(rows), config.batch_size):
        batch = feed.targets(rows[start : start + config.batch_size])
        batch_sum = config.task.truth(batch).sum(0)
        total = batch_sum if total is None else total + batch_sum
    assert total is not None
    return total / len(rows)
