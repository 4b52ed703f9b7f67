"""A pretraining in which something goes wrong, beside the faulty heads in their plugin.

``recall`` learns the mean frame of a clip, 4 x 4. What it does in each training step is chosen as
for the heads: nothing, ``slow``, ``fails`` or ``dies``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from echolm.objectives import OBJECTIVES, Objective
from echolm.tasks import Batch, Sample

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn


class Recall(Objective):
    """The mean frame of the clip."""

    name: Literal["recall"] = "recall"
    acts: Literal["well", "slow", "fails", "dies"] = "well"

    def build(self, encoder: Any, keys: Any) -> nn.Module:
        """B x 3 x T x H x W -> B x 16."""
        import faulty_heads
        from faulty_networks import Before
        from torch import nn

        acts = {
            "well": lambda samples, step: None,
            "slow": faulty_heads.sleep,
            "fails": faulty_heads.fail,
            "dies": faulty_heads.die,
        }

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = encoder
                self.before = Before(acts[act])
                self.last = nn.Linear(64, 16)

            def forward(self, clip: Tensor) -> Tensor:
                found: Tensor = self.last(self.encoder(self.before(clip)).pooled)
                return found

        act = self.acts
        return Network()

    def prepare(self, item: Any, frames: int) -> Sample:
        """Take the frames that the run's clip chooses."""
        return Sample()

    def mean_frame(self, batch: Batch) -> Tensor:
        """B x 16."""
        from torch.nn.functional import adaptive_avg_pool2d

        return adaptive_avg_pool2d(batch.clips.mean((1, 2)), 4).flatten(1)

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """One number a sample."""
        return {"loss": (outputs - self.mean_frame(batch)).square().mean(1)}

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        """One row a sample."""
        import pyarrow as pa

        count, numbers = len(batch.items), pa.list_(pa.float64())
        columns = {}
        for name in ("sample", "patient", "study", "split"):
            columns[name] = pa.array([getattr(item, name) for item in batch.items], pa.string())
        columns["target"] = pa.array(["mean frame"] * count, pa.string())
        columns["slot"] = pa.array([""] * count, pa.string())
        columns["truth"] = pa.array(self.mean_frame(batch).double().tolist(), numbers)
        columns["prediction"] = pa.array(outputs.double().tolist(), numbers)
        columns["score"] = pa.nulls(count, numbers)
        return pa.table(columns)


OBJECTIVES.register(Recall)
