"""Tasks: what is predicted, from which frames, with which loss, rows, metrics and rule of selection.

The training loop knows a task only by this interface.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from echolm.heads import Head
from echolm.registry import Component, Registry

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn

    from echolm.data.store import Item
    from echolm.encoders.base import EncoderNetwork


@dataclass
class Sample:
    """One prepared sample: which frames to read (original frame numbers, T of them), the points that move with the
    pixels (N x 2, pixels of the stored frame), and any further targets by name (arrays of fixed shape)."""

    frames: np.ndarray
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    targets: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class Batch:
    """What ``loss`` and ``rows`` get beside the outputs.

    ``points``: B x N x 2, in [0, 1] of the frame the encoder saw (after augmentation): (pixel + 0.5) / size.
    ``clips``: B x 3 x T x H x W as the encoder saw them. ``targets``: stacked targets of ``prepare``.
    ``items``: the store's rows, in batch order.
    """

    items: list[Item]
    clips: Tensor
    points: Tensor
    targets: dict[str, Tensor]


class Task(Component):
    """The interface. ``select`` names the validation metric that chooses the checkpoint, and its direction."""

    select: ClassVar[tuple[str, Literal["min", "max"]]] = ("loss", "min")
    sampling: ClassVar[str] = ""
    """The clip rule a store must hold frames for (see echolm.data.clips)."""

    def outputs(self) -> tuple[int, ...]:
        """Shape of the model's output per sample."""
        raise TypeError(f"task {self.name} does not implement outputs")

    def check_head(self, head: Head) -> None:
        """ValueError when ``head`` cannot give ``outputs``."""
        shape = self.outputs()
        if head.landmarks_only and not (len(shape) == 3 and shape[-1] == 2):
            raise ValueError(f"head {head.name} gives landmarks (phases, points, 2); task {self.name} asks for {shape}")

    def model(self, encoder: EncoderNetwork) -> nn.Module | None:
        """A pretraining objective's own network around ``encoder``: B x 3 x T x H x W -> outputs. None: fusion and head."""
        return None

    def prepare(self, item: Item, frames: int) -> Sample:
        """Choose ``frames`` frames of an item and its targets."""
        raise TypeError(f"task {self.name} does not implement prepare")

    def truth(self, batch: Batch) -> Tensor:
        """Targets in the model's output space, B x *outputs."""
        raise TypeError(f"task {self.name} does not implement truth")

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """``loss`` (B,) per sample, and named parts (B,) for the log."""
        raise TypeError(f"task {self.name} does not implement loss")

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        """Predictions: one row per sample, target and slot (design: sample, patient, study, split, target, slot,
        truth, prediction, score, and per-sample columns with the additive parts)."""
        raise TypeError(f"task {self.name} does not implement rows")

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        """Metrics of a split from its rows, by name (``dice/ED``), in the units the names' table states."""
        raise TypeError(f"task {self.name} does not implement metrics")

    def describe(self) -> dict[str, Any]:
        """Unit and direction of each metric: name -> {"unit": ..., "better": "higher" | "lower"}."""
        return {}


TASKS: Registry[Task] = Registry("task", ["echolm.tasks.landmarks"])
