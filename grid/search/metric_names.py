"""Find out which metrics a run has, and refuse a search by another one before a trial starts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from echolm.errors import EchoLMError
from echolm.tasks import Task
from echolm.text import suggest
from echolm.training.prepare import PreparedRun
from grid.search.definition import Search

SAMPLES = 8
"""How many validation samples are looked at. Metrics are named alike however many there are."""


def check_metric(search: Search, runs: Iterable[PreparedRun]) -> None:
    """Check that the runs of a search have its metric.

    Args:
        search: what is searched.
        runs: runs that hold each value of the free fields.

    Raises:
        EchoLMError: one has not. The message names the metrics that there are.
    """
    metric = search.metric.name
    checked = []
    for run in runs:
        goal = run.config.goal
        if metric in ("loss", goal.select[0]) or goal in checked:
            continue
        checked.append(goal)
        names = metric_names(run)
        if names and metric not in names:
            raise EchoLMError(
                f"{search.where}: metric: a run of task {goal.name} has no validation metric "
                f"{metric!r}; {suggest(metric, names)}"
            )


def metric_names(run: PreparedRun) -> list[str]:
    """Return the names of a run's validation metrics, without ``val/``.

    They are those of its task when the truth is the prediction. So no network is built.

    Returns:
        No names where they cannot be known before a run: for objectives of pretraining, whose truth
        only their network knows, and for metrics that need more samples.
    """
    import torch

    from echolm.augmentation import AUGMENTATIONS
    from echolm.stores.clips import ClipStore
    from echolm.training.batches import Batches
    from echolm.training.selection import select_rows

    config = run.config
    task = config.goal
    if not isinstance(task, Task):
        return []
    store = ClipStore.open(run.store)
    rows = select_rows(store, config, ("val",)).rows["val"][:SAMPLES]
    none = AUGMENTATIONS.parse("none")
    batches = Batches(store, task, config.encoder, none, torch.device("cpu"), config.clip)
    batch = batches.batch(rows, None)
    # Of a task in a plugin anything may be raised. The first epoch will tell in its place.
    with suppress(Exception):
        metrics = task.metrics(task.rows(task.truth(batch), batch))
        return ["loss", *metrics]
    return []
