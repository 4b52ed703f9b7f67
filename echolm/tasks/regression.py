"""One number of each clip, such as the ejection fraction or a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from echolm.tasks import TASKS, Batch, Sample, Task
from echolm.tasks.value_rows import numbers_of, unit_of, value_rows, why_no_numbers
from echolm.text import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from echolm.stores.items import Item


@TASKS.register
class Regression(Task):
    """A number that the store holds of each item.

    The network's output is value / scale, or log(value) / scale. Trained heads start from the mean
    of that over the training items. Rows and metrics are in the value's own unit.

    Echo-Vision-FM (Zhang et al. 2025) trains volumes by their logarithm and EF in hundredths, both
    with the mean squared error.
    """

    misplaced: ClassVar[dict[str, str]] = {
        "loss": "loss: the field is called criterion; valid: criterion: mse, criterion: l1"
    }

    reads_values: ClassVar[bool] = True

    name: Literal["regression"] = "regression"
    target: Annotated[str, Field(min_length=1)]
    """The name of the value: ``ef`` (percent), ``esv``, ``edv`` (ml), or another of the store."""
    log: bool = False
    """Whether the logarithm is learned. Values must be above 0 then."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """What the value, or its logarithm, is divided by."""
    criterion: Literal["mse", "l1"] = "mse"
    """The loss of an output: its squared or its absolute error."""

    @property
    def unit(self) -> str:
        """The unit of the value, '' where it is not known."""
        return unit_of(self.target)

    def outputs(self) -> tuple[int, ...]:
        """Return (1,)."""
        return (1,)

    def needed_values(self) -> tuple[str, ...]:
        """Return the name of the value."""
        return (self.target,)

    def why_unusable(self, values: Mapping[str, Sequence[Any]], known: Sequence[str]) -> str:
        """Say that no item has the value, or that it is of a wrong kind in some."""
        column = values[self.target]
        reason = why_no_numbers(self.target, column, known)
        if reason or not self.log:
            return reason
        low = [value for value in column if value is not None and value <= 0]
        if not low:
            return ""
        return (
            f"value {self.target!r} has no logarithm in {counted(len(low), 'item')} of "
            f"{len(column)} (first: {low[0]:g}); valid: values above 0, or log: false"
        )

    def start(self, items: Sequence[Item]) -> Tensor:
        """Return the mean over items of what the network is to give, (1,)."""
        import torch

        values = [item.values[self.target] for item in items]
        return torch.tensor([self._encode(np.array(values, np.float64)).mean()])

    def prepare(self, item: Item, frames: int) -> Sample:
        """Return the target of an item."""
        value = np.array([item.values[self.target]], np.float64)
        return Sample(targets={"value": self._encode(value).astype(np.float32)})

    def truth(self, batch: Batch) -> Tensor:
        """Return what the network is to give, B x 1."""
        return batch.targets["value"]

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the squared or absolute error of a sample's output."""
        error = (outputs - self.truth(batch)).squeeze(1)
        return {"loss": error.square() if self.criterion == "mse" else error.abs()}

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Return the values (B,), in their own unit, that outputs B x 1 stand for."""
        scaled = np.asarray(outputs, np.float64)[:, 0] * self.scale
        if not self.log:
            return scaled
        with np.errstate(over="ignore"):  # infinite: a network that was far off
            return np.exp(scaled)

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        """Return one row a sample, in the value's own unit, see ``value_rows``."""
        truth = np.array([item.values[self.target] for item in batch.items], np.float64)
        prediction = self.values(outputs.detach().double().cpu().numpy())
        return value_rows(batch.items, self.target, truth, prediction)

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        """Compute errors in the value's own unit.

        Returns:
            ``mae``, ``rmse``, ``bias`` (prediction minus truth), and ``r2`` where truths differ.
        """
        truth = numbers_of(rows, "truth")[:, 0]
        error = numbers_of(rows, "prediction")[:, 0] - truth
        metrics = {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt(np.square(error).mean())),
            "bias": float(error.mean()),
        }
        spread = np.square(truth - truth.mean()).sum()
        if spread > 0:
            metrics["r2"] = float(1 - np.square(error).sum() / spread)
        return metrics

    def describe(self) -> dict[str, Any]:
        """Return units, directions and ranges of the metrics."""
        return {
            "mae": {"unit": self.unit, "better": "lower", "range": (0, None)},
            "rmse": {"unit": self.unit, "better": "lower", "range": (0, None)},
            "r2": {"unit": "", "better": "higher", "range": (None, 1)},
            "bias": {"unit": self.unit, "better": None},
        }

    def _encode(self, values: np.ndarray) -> np.ndarray:
        """Return what the network is to give for values."""
        if self.log:
            values = np.log(values)
        return values / self.scale
