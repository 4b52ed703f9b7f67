"""LV endocardial landmarks at ED and ES (Bhoodoo et al., NLDL 2026 §3).

A phase has 40 ordered points, so a sample has 160 numbers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from echolm.columns import list_column, number_column, numbers_in, text_column
from echolm.tasks import TASKS, Batch, Sample, Task

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from echolm.stores.items import Item

PHASES = ("ED", "ES")
POINTS = 40
GRID = 112
"""Side in pixels of the grid that metrics are stated on (NLDL 2026 §3.1.4)."""


@TASKS.register
class Landmarks(Task):
    """Coordinates of both contours from the frames ED to ES.

    The loss is the mean squared error of coordinates in [0, 1] (EchoGraphs' default, as the paper
    does not state it).
    """

    name: Literal["landmarks"] = "landmarks"
    slots = PHASES
    clips = ("ed-to-es",)

    def needed_values(self) -> tuple[str, ...]:
        """Return the names of both contours."""
        return ("landmarks_ed", "landmarks_es")

    def outputs(self) -> tuple[int, ...]:
        """Return (phases, points, xy) = (2, 40, 2)."""
        return (len(PHASES), POINTS, 2)

    def prepare(self, item: Item, frames: int) -> Sample:
        """Return the points of ED, then of ES: (80, 2).

        The clip's frames run from ED (the first) to ES (the last).
        """
        contours = [item.values[name] for name in self.needed_values()]
        return Sample(points=np.concatenate(contours).astype(np.float32))

    def truth(self, batch: Batch) -> Tensor:
        """Return the traced points, B x 2 x 40 x 2 in [0, 1] of the frame."""
        return batch.points.view(-1, *self.outputs())

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the mean squared error over a sample's 160 numbers."""
        squared_error = (outputs - self.truth(batch)).square()
        return {"loss": squared_error.flatten(1).mean(1)}

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        """Return two rows a sample (slots ED and ES), see ``landmark_rows``.

        x and y are interleaved, in pixels of the 112 grid.
        """
        truth = _on_grid(self.truth(batch))
        prediction = _on_grid(outputs)
        return landmark_rows(batch.items, truth, prediction)

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        """Average Dice (%) and keypoint error (px on the 112 grid) over frames.

        Returns:
            ``dice/ED``, ``dice/ES``, ``mke/ED``, ``mke/ES``.
        """
        slots = np.array(rows["slot"].to_pylist())
        metrics = {}
        for name in ("dice", "mke"):
            values = numbers_in(rows[name])
            for phase in PHASES:
                metrics[f"{name}/{phase}"] = float(values[slots == phase].mean())
        return metrics

    def describe(self) -> dict[str, Any]:
        """Return units, directions and ranges of the metrics."""
        return {
            "dice": {"unit": "%", "better": "higher", "range": (0, 100)},
            "mke": {"unit": "px", "better": "lower", "range": (0, None)},
        }


def landmark_rows(items: list[Item], truth: np.ndarray, prediction: np.ndarray) -> pa.Table:
    """Return the rows of B x 2 x 40 x 2 contours in pixels of the 112 grid.

    Beside the common columns there are ``dice`` (% of this frame), ``mke`` (mean distance, px), and
    the additive parts ``intersection``, ``area_truth``, ``area_prediction`` (pixels of the 112
    grid) and ``squared_error`` (px^2, summed over the 40 points).
    """
    import pyarrow as pa

    from echolm import geometry

    truth = truth.reshape(-1, POINTS, 2)
    prediction = prediction.reshape(-1, POINTS, 2)
    intersection, area_truth, area_prediction = geometry.overlap(truth, prediction, GRID)
    dice = 100.0 * geometry.dice_from_overlap(intersection, area_truth, area_prediction)
    mke = geometry.keypoint_error(truth, prediction)
    squared_error = np.square(truth - prediction).sum((1, 2))

    texts = tuple((item.sample, item.patient, item.study, item.split) for item in items)
    columns = dict(_text_columns(texts))
    columns["truth"] = list_column(truth.reshape(len(truth), -1))
    columns["prediction"] = list_column(prediction.reshape(len(prediction), -1))
    columns["score"] = pa.nulls(len(truth), pa.list_(pa.float64()))
    columns["dice"] = number_column(dice.astype(np.float64))
    columns["mke"] = number_column(mke.astype(np.float64))
    columns["intersection"] = number_column(intersection.astype(np.int64))
    columns["area_truth"] = number_column(area_truth.astype(np.int64))
    columns["area_prediction"] = number_column(area_prediction.astype(np.int64))
    columns["squared_error"] = number_column(squared_error.astype(np.float64))
    return pa.table(columns)


@lru_cache(maxsize=64)
def _text_columns(texts: tuple[tuple[str | None, ...], ...]) -> dict[str, pa.Array]:
    """Return the columns of ``landmark_rows`` that say whose and which row it is.

    They are equal for all members of a cohort, and in all epochs.

    Args:
        texts: sample, patient, study and split of each item.
    """
    by_row = [item_texts for item_texts in texts for _ in PHASES]
    columns: dict[str, pa.Array] = {}
    for number, name in enumerate(("sample", "patient", "study", "split")):
        columns[name] = text_column([row_texts[number] for row_texts in by_row])
    columns["target"] = text_column(["landmarks"] * len(by_row))
    columns["slot"] = text_column(list(PHASES) * len(texts))
    return columns


def _on_grid(coordinates: Tensor) -> np.ndarray:
    """Convert [0, 1] of the frame to pixels of the 112 grid."""
    return coordinates.double().cpu().numpy() * GRID - 0.5
