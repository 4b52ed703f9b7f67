"""Toy components, written as a user would: classes that are registered, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from echolm.encoders import ENCODERS
from echolm.encoders.tiny_r3d import TinyR3D
from echolm.fusion import FUSIONS, Fusion
from echolm.heads import HEADS, Head
from echolm.objectives import OBJECTIVES, Objective
from echolm.stores.sampling import ed_to_es
from echolm.tasks import TASKS, Batch, Sample, Task

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from torch import Tensor, nn

    from echolm.encoders.base import EncoderNetwork


class ToyR3D(TinyR3D):
    """Convolutions in space and time that cost next to nothing: what a run does beside them counts.

    It declares what tiny-r3d does, and has four blocks with BatchNorm too, without shortcuts.
    """

    size = 16
    token_grid = (2, 2, 2)
    forward_flops = 1_382_400

    name: Literal["toy-r3d"] = "toy-r3d"  # type: ignore[assignment]

    def build(self, checkpoint: Path | None) -> EncoderNetwork:
        from torch import nn

        from echolm.encoders.base import EncoderNetwork
        from echolm.encoders.checkpoints import load_state
        from echolm.encoders.families.resnet3d import ResNet3DBlock, ResNet3DReadout, ResNet3DStem

        def convolution(inputs: int, planes: int, stride: int) -> nn.Module:
            maps = nn.Conv3d(inputs, planes, 3, stride=stride, padding=1, bias=False)
            return nn.Sequential(maps, nn.BatchNorm3d(planes), nn.ReLU(inplace=True))

        stem = ResNet3DStem(convolution(3, 4, 2), self.batch_norm)
        shapes = [(4, 4, 1), (4, 8, 2), (8, 16, 2), (16, self.width, 1)]
        blocks = [ResNet3DBlock(convolution(*shape), self.batch_norm) for shape in shapes]
        network = EncoderNetwork(stem, blocks, ResNet3DReadout(nn.AdaptiveAvgPool3d(1))).train()
        if checkpoint is not None:
            load_state(checkpoint, network, self)
        return network


class ToyEF(Task):
    """Regression: the ejection fraction, as a fraction, from the clip. One row a sample."""

    name: Literal["toy-ef"] = "toy-ef"
    select = ("mae", "min")

    def outputs(self) -> tuple[int, ...]:
        return (1,)

    def prepare(self, item: Any, frames: int) -> Sample:
        clip = ed_to_es(item.values["ed"], item.values["es"], frames)
        return Sample(clip, targets={"ef": np.array([item.values["ef"] / 100], np.float32)})

    def truth(self, batch: Batch) -> Tensor:
        return batch.targets["ef"]

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        error = (outputs - self.truth(batch)).squeeze(1)
        return {"loss": error.square(), "absolute": error.abs()}

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        return toy_rows(batch, "ef", self.truth(batch), outputs)

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        truth = np.array(rows["truth"].to_pylist())
        prediction = np.array(rows["prediction"].to_pylist())
        return {"mae": 100 * np.abs(truth - prediction).mean()}


class ToyEFOfClip(ToyEF):
    """The same of every item with an ejection fraction, from the frames that the run chooses."""

    name: Literal["toy-ef-of-clip"] = "toy-ef-of-clip"  # type: ignore[assignment]

    def needed_values(self) -> tuple[str, ...]:
        return ("ef",)

    def prepare(self, item: Any, frames: int) -> Sample:
        return Sample(targets={"ef": np.array([item.values["ef"] / 100], np.float32)})


class ToyMeanFrame(Objective):
    """Pretraining: the clip's mean frame, 6 x 6, from a clip of which a part is hidden.

    A share ``hidden`` of each sample's frames is drawn anew in every epoch, and a share
    ``columns_hidden`` of the pixels' columns in every step, the same for all samples.
    """

    name: Literal["toy-mean-frame"] = "toy-mean-frame"
    hidden: float = 0.3
    columns_hidden: float = 0.1
    whole_batch: bool = False

    @property
    def statistics_over_batch(self) -> bool:
        return self.whole_batch

    def build(self, encoder: Any, keys: Any) -> nn.Module:
        from torch import nn

        from echolm.training.keyed_dropout import KeyedUniform

        toy = self

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = encoder
                self.frames = KeyedUniform(keys, "mask")
                self.columns = KeyedUniform(keys, "mask", per="step")
                self.drop = nn.Dropout(0.2)
                self.last = nn.Linear(64, 36)

            def forward(self, clip: Tensor) -> Tensor:
                frames = self.frames(clip.shape[2]) >= toy.hidden
                columns = self.columns(clip.shape[4]) >= toy.columns_hidden
                visible = clip * frames[:, None, :, None, None] * columns
                return self.last(self.drop(self.encoder(visible).pooled))

        return Network()

    def prepare(self, item: Any, frames: int) -> Sample:
        return Sample(ed_to_es(item.values["ed"], item.values["es"], frames))

    def mean_frame(self, batch: Batch) -> Tensor:
        from torch.nn.functional import adaptive_avg_pool2d

        return adaptive_avg_pool2d(batch.clips.mean((1, 2)), 6).flatten(1)

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (outputs - self.mean_frame(batch)).square().mean(1)}

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        return toy_rows(batch, "mean frame", self.mean_frame(batch), outputs)


class ToyWeighted(ToyMeanFrame):
    """The same, with a denominator: each sample counts as much as its EF, or ``each``."""

    has_denominator = True

    name: Literal["toy-weighted"] = "toy-weighted"  # type: ignore[assignment]
    each: float | None = None

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        plain = super().loss(outputs, batch)["loss"]
        weights = [self.each or item.values["ef"] for item in batch.items]
        denominator = plain.new_tensor(weights)
        return {"loss": plain * denominator, "denominator": denominator}


def toy_rows(batch: Batch, target: str, truth: Tensor, prediction: Tensor) -> pa.Table:
    """One row a sample in the documented columns."""
    import pyarrow as pa

    count = len(batch.items)
    numbers = pa.list_(pa.float64())
    columns = {}
    for name in ("sample", "patient", "study", "split"):
        columns[name] = pa.array([getattr(item, name) for item in batch.items], pa.string())
    columns["target"] = pa.array([target] * count, pa.string())
    columns["slot"] = pa.array([""] * count, pa.string())
    columns["truth"] = pa.array(truth.double().tolist(), numbers)
    columns["prediction"] = pa.array(prediction.double().tolist(), numbers)
    columns["score"] = pa.nulls(count, numbers)
    return pa.table(columns)


class ToyFaulty(Head):
    """A linear head that goes wrong.

    In its building, or in a forward pass, of training (``after`` of them) or of evaluation.
    """

    name: Literal["toy-faulty"] = "toy-faulty"
    how: Literal["build", "raise", "nan", "evaluation"]
    after: int = 3

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        import torch
        from torch import nn

        if self.how == "build":
            raise RuntimeError("this head cannot be built")
        how, after = self.how, self.after

        class Faulty(nn.Sequential):
            calls = 0

            def forward(self, x: Tensor) -> Tensor:
                self.calls += self.training
                if how == "evaluation" and not self.training:
                    raise RuntimeError("this head cannot be evaluated")
                if how == "raise" and self.calls > after:
                    raise RuntimeError("this head is broken")
                return super().forward(x) * (
                    torch.nan if how == "nan" and self.calls > after else 1.0
                )

        count = int(np.prod(outputs))
        return Faulty(nn.Linear(width, count), nn.Unflatten(1, outputs))


class ToyBatchHead(Head):
    """A linear head behind a BatchNorm: its statistics are over the batch."""

    name: Literal["toy-batch"] = "toy-batch"

    @property
    def statistics_over_batch(self) -> bool:
        return True

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        from torch import nn

        count = int(np.prod(outputs))
        return nn.Sequential(
            nn.BatchNorm1d(width), nn.Linear(width, count), nn.Unflatten(1, outputs)
        )


class ToyTimeFusion(Fusion):
    """The pooled vector and the mean number of the clip's frames."""

    name: Literal["toy-time"] = "toy-time"
    seen: ClassVar[list[Any]] = []
    """The frame numbers of each call."""

    def width(self, encoder: Any) -> int:
        return encoder.width + 1

    def build(self, encoder: Any) -> nn.Module:
        import torch
        from torch import nn

        seen = self.seen

        class Timed(nn.Module):
            def forward(self, features: Any) -> Tensor:
                frames = features.context["frames"]
                seen.append(frames)
                mean = frames.float().mean(1, keepdim=True) / 100
                return torch.cat([features.pooled, mean], dim=1)

        return Timed()


class ToyBatchFusion(Fusion):
    """The pooled vector behind a BatchNorm: its statistics are over the batch."""

    name: Literal["toy-batch"] = "toy-batch"

    @property
    def statistics_over_batch(self) -> bool:
        return True

    def width(self, encoder: Any) -> int:
        return encoder.width

    def build(self, encoder: Any) -> nn.Module:
        from torch import nn

        class Normalised(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm = nn.BatchNorm1d(encoder.width)

            def forward(self, features: Any) -> Tensor:
                return self.norm(features.pooled)

        return Normalised()


TOYS: list[tuple[Any, Any]] = [
    (ENCODERS, ToyR3D),
    (TASKS, ToyEF),
    (TASKS, ToyEFOfClip),
    (OBJECTIVES, ToyMeanFrame),
    (OBJECTIVES, ToyWeighted),
    (HEADS, ToyFaulty),
    (HEADS, ToyBatchHead),
    (FUSIONS, ToyBatchFusion),
    (FUSIONS, ToyTimeFusion),
]


@contextmanager
def registered() -> Iterator[None]:
    """The toys in their registries, where they are not there already."""
    new = []
    for registry, toy in TOYS:
        if toy.model_fields["name"].default not in registry._classes:
            registry.register(toy)
            new.append((registry, toy))
    yield
    for registry, toy in new:
        del registry._classes[toy.model_fields["name"].default]
