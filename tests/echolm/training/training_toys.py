"""Toy tasks and heads, written as a user would: classes that are registered, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from echolm.data.clips import ed_to_es
from echolm.heads import HEADS, Head
from echolm.tasks import TASKS, Batch, Sample, Task

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn


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
        truth, prediction = (np.array(rows[name].to_pylist()) for name in ("truth", "prediction"))
        return {"mae": 100 * np.abs(truth - prediction).mean()}


class ToyMean(Task):
    """Pretraining: the clip's mean frame, 6 x 6, from the pooled features of the whole encoder."""

    name: Literal["toy-mean-frame"] = "toy-mean-frame"

    def outputs(self) -> tuple[int, ...]:
        return (36,)

    def model(self, encoder: Any) -> nn.Module:
        from torch import nn

        class Objective(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder, self.drop, self.last = encoder, nn.Dropout(0.2), nn.Linear(64, 36)

            def forward(self, clip: Tensor) -> Tensor:
                return self.last(self.drop(self.encoder(clip).pooled))

        return Objective()

    def prepare(self, item: Any, frames: int) -> Sample:
        return Sample(ed_to_es(item.values["ed"], item.values["es"], frames))

    def truth(self, batch: Batch) -> Tensor:
        from torch.nn.functional import adaptive_avg_pool2d

        return adaptive_avg_pool2d(batch.clips.mean((1, 2)), 6).flatten(1)

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (outputs - self.truth(batch)).square().mean(1)}

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        return toy_rows(batch, "mean frame", self.truth(batch), outputs)

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        return {}


def toy_rows(batch: Batch, target: str, truth: Tensor, prediction: Tensor) -> pa.Table:
    """One row a sample in the documented columns."""
    import pyarrow as pa

    columns = {name: [getattr(item, name) for item in batch.items] for name in ("sample", "patient", "study", "split")}
    columns |= {"target": [target] * len(batch.items), "slot": [""] * len(batch.items)}
    texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    lists = {"truth": truth, "prediction": prediction}
    numbers = {name: pa.array(values.double().tolist(), pa.list_(pa.float64())) for name, values in lists.items()}
    return pa.table({**texts, **numbers, "score": pa.nulls(len(batch.items), pa.list_(pa.float64()))})


class ToyFaulty(Head):
    """A linear head that goes wrong: in its building, or in a forward pass, training (``after`` of them) or not."""

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
                return super().forward(x) * (torch.nan if how == "nan" and self.calls > after else 1.0)

        count = int(np.prod(outputs))
        return Faulty(nn.Linear(width, count), nn.Unflatten(1, outputs))


@contextmanager
def registered() -> Iterator[None]:
    """The toys in their registries."""
    classes = {TASKS: (ToyEF, ToyMean), HEADS: (ToyFaulty,)}
    for registry, found in classes.items():
        for cls in found:
            registry.register(cls)
    yield
    for registry, found in classes.items():
        for cls in found:
            del registry._classes[cls.model_fields["name"].default]
