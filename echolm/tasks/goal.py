"""What a run learns, whatever its kind: the part that tasks and objectives have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from echolm.clips import Clip
from echolm.registry import Component

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from echolm.stores.items import Item


DENOMINATOR = "denominator"
"""The part of ``Goal.loss`` that a goal with ``has_denominator`` adds."""


@dataclass
class Sample:
    """One prepared sample.

    Attributes:
        frames: which frames to read: original frame numbers, T of them. None: those that the run's
            ``clip`` chooses.
        points: the points that move with the pixels, N x 2, in pixels of the stored frame.
        targets: further targets by name, arrays of fixed shape.
    """

    frames: np.ndarray | None = None
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    targets: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class WholeBatch:
    """What is known of the whole batch of a step, whatever its micro-batches and ranks.

    Attributes:
        samples: its size.
        count: what the network's ``count`` gives for it, see ``Goal.counts_whole_batch``.
    """

    samples: int
    count: float


@dataclass
class Batch:
    """What ``loss`` and ``rows`` get beside the outputs.

    Attributes:
        items: the store's rows, in batch order.
        clips: B x 3 x T x H x W, as the encoder saw them.
        points: B x N x 2, in [0, 1] of the frame the encoder saw (after augmentation):
            (pixel + 0.5) / size.
        targets: the stacked targets of ``prepare``.
        frames: B x T int64, the original numbers of the clips' frames. None where no clip was read.
        whole: the batch that this is a part of, in a step of a goal that ``counts_whole_batch``.
            None in evaluation, and for all other goals.
    """

    items: list[Item]
    clips: Tensor
    points: Tensor
    targets: dict[str, Tensor]
    frames: Tensor | None = None
    whole: WholeBatch | None = None


class Goal(Component):
    """What a run learns: its frames, its loss, its rows, its metrics and its rule of selection.

    The training loop knows a task or an objective by this interface alone.
    """

    select: ClassVar[tuple[str, Literal["min", "max"]]] = ("loss", "min")
    """The validation metric that chooses the checkpoint, and its direction."""
    sampling: ClassVar[str] = ""
    """The clip rule a store must hold frames for, where ``prepare`` chooses the frames itself."""
    slots: ClassVar[tuple[str, ...]] = ("",)
    """The slots of its rows, for each of which a grid's default table has columns."""

    has_denominator: ClassVar[bool] = False
    """Whether a batch's loss is the sum of ``loss`` by the sum of ``denominator``, see ``loss``.

    Else it is the mean of ``loss`` over samples.
    """
    clips: ClassVar[tuple[str, ...]] = ()
    """The clips of a run that it can be learned from, by name. Empty: any."""

    @property
    def counts_whole_batch(self) -> bool:
        """Whether ``loss`` reads ``Batch.whole``, for terms with another mean than over samples.

        The objective's network has then a method ``count``: clips B x 3 x T x H x W -> a number
        that does not depend on its weights. It is summed over the whole batch before any of it is
        learned from. ``loss`` scales such a term so that the mean over samples is right.
        """
        return False

    def needed_values(self) -> tuple[str, ...]:
        """Return the values that an item must have to be of use. Items without them are left out.

        They are column names of the store, such as ``ef``.
        """
        return ()

    def check_clip(self, clip: Clip) -> None:
        """Raise ValueError when the goal cannot be learned from ``clip``."""
        if self.clips and clip.name not in self.clips:
            raise ValueError(
                f"clip: {clip.name}: {self.name} is learned from {' or '.join(self.clips)}"
            )
        if self.sampling and clip.name != "ed-to-es":
            raise ValueError(
                f"clip: {clip.name} would change nothing: {self.name} chooses its frames itself, "
                f"by clip rule {self.sampling}; leave clip out"
            )

    def prepare(self, item: Item, frames: int) -> Sample:
        """Return an item's targets, and its frames where the run's clip does not choose them."""
        raise TypeError(f"{self.name} does not implement prepare")

    def loss(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Return ``loss`` (B,) by sample, and named parts (B,) for the log.

        With ``has_denominator`` the part ``denominator`` (B,) is what each sample counts, such as
        its number of valid pairs. Both are summed over the whole batch, whatever its micro-batches
        and ranks, before they are divided. No gradient passes through it.
        """
        raise TypeError(f"{self.name} does not implement loss")

    def rows(self, outputs: Any, batch: Batch) -> pa.Table:
        """Return predictions: one row a sample, target and slot.

        The columns are sample, patient, study, split, target, slot, truth, prediction, score,
        and columns by sample with the additive parts.
        """
        raise TypeError(f"{self.name} does not implement rows")

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        """Compute the metrics of a split from its rows.

        Returns:
            Values by name (``dice/ED``), in the units that ``describe`` states.
        """
        raise TypeError(f"{self.name} does not implement metrics")

    def describe(self) -> dict[str, Any]:
        """Return unit, direction and range of each metric.

        Returns:
            name -> {"unit": ..., "better": "higher" | "lower", "range": (least, largest)}. An end
            of the range that has no bound is None. Without a range any value is possible.
        """
        return {}
