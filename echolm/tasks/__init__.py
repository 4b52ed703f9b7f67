"""Tasks: what is predicted, from which frames, with which loss, rows, metrics and selection.

The training loop knows a task only by the interface ``Goal``, which objectives of pretraining
(``echolm.objectives``) share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from echolm.heads import Head
from echolm.registry import Registry
from echolm.tasks.goal import DENOMINATOR, Batch, Goal, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from echolm.stores.items import Item

__all__ = ["DENOMINATOR", "TASKS", "Batch", "Goal", "Sample", "Task"]


class Task(Goal):
    """What fine-tuning learns: outputs of a head, compared with labels."""

    reads_values: ClassVar[bool] = False
    """Whether ``takes`` and ``why_unusable`` are asked, for which a store's index is read."""

    @property
    def leaves_out(self) -> str:
        """Which items that have all values ``takes`` refuses, in words. '' where there are none."""
        return ""

    def outputs(self) -> tuple[int, ...]:
        """Return the shape of the model's output of one sample."""
        raise TypeError(f"task {self.name} does not implement outputs")

    def check_head(self, head: Head) -> None:
        """Raise ValueError when ``head`` cannot give ``outputs``."""
        shape = self.outputs()
        is_landmarks = len(shape) == 3 and shape[-1] == 2
        if head.landmarks_only and not is_landmarks:
            raise ValueError(
                f"head {head.name} gives landmarks (phases, points, 2); "
                f"task {self.name} asks for {shape}"
            )

    def takes(self, values: Mapping[str, Any]) -> bool:
        """Tell whether an item is of use. Others are left out of every split.

        Args:
            values: its ``needed_values`` by name, none of which is None.
        """
        return True

    def why_unusable(self, values: Mapping[str, Sequence[Any]], known: Sequence[str]) -> str:
        """Say why no run can learn this from the values of a store's items, '' where one can.

        It is asked when runs are planned. The store's folder is put before it.

        Args:
            values: each of ``needed_values`` -> the values of the items, None where one has none.
                Points are a text.
            known: the names of all values of the store.
        """
        return ""

    def start(self, items: Sequence[Item]) -> Tensor | None:
        """Return the output that fits training items best without a look at them, *outputs.

        Trained heads start from it: it is the bias of their last layer. The head ``mean`` gives it.
        None: trained heads start as they are built, and ``mean`` gives the mean of ``truth``. So it
        is for landmarks, of which runs are stored.
        """
        return None

    def truth(self, batch: Batch) -> Tensor:
        """Return the targets in the model's output space, B x *outputs."""
        raise TypeError(f"task {self.name} does not implement truth")


TASKS: Registry[Task] = Registry(
    "task",
    [
        "echolm.tasks.landmarks",
        "echolm.tasks.regression",
        "echolm.tasks.classification",
    ],
)
