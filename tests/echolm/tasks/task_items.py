"""Items with values alone, batches of them, and rows, for tests of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from echolm.stores.items import Item
from echolm.tasks import TASKS, Batch, Task

NO_FRAMES = np.arange(4)


def items_of(name: str, values: Sequence[Any], **others: Sequence[Any]) -> list[Item]:
    """An item for each value of ``name``, with further values by name."""
    items = []
    for number, value in enumerate(values):
        more = {other: column[number] for other, column in others.items()}
        items.append(
            Item(
                sample=f"S{number:03d}",
                patient=f"P{number // 2:03d}",
                study=None,
                split="train",
                height=8,
                width=8,
                frames=NO_FRAMES,
                values={name: value, **more},
            )
        )
    return items


def batch_of(task: Task, items: list[Item]) -> Batch:
    """The batch of items, without clips, as the loop assembles it."""
    samples = [task.prepare(item, 16) for item in items]
    targets = {}
    for name in samples[0].targets:
        stacked = np.stack([sample.targets[name] for sample in samples])
        targets[name] = torch.as_tensor(stacked)
    return Batch(items, torch.zeros(len(items), 0), torch.zeros(len(items), 0, 2), targets)


def task_of(name: str, **fields: Any) -> Any:
    """A task with these fields."""
    return TASKS.parse({"name": name, **fields})
