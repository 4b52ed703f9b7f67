"""LV endocardial landmarks at ED and ES (Bhoodoo et al., NLDL 2026 §3): 40 ordered points a phase, 160 numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from echolm.tasks import TASKS, Batch, Sample, Task

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from echolm.data.store import Item

PHASES = ("ED", "ES")
POINTS = 40
GRID = 112
"""Side in pixels of the grid that metrics are stated on (NLDL 2026 §3.1.4)."""


@TASKS.register
class Landmarks(Task):
    """Coordinates of both contours from the frames ED to ES; loss: mean squared error of coordinates in [0, 1]
    (not stated by the paper; EchoGraphs' default)."""

    name: Literal["landmarks"] = "landmarks"
    sampling = "ed-to-es-16"

    def outputs(self) -> tuple[int, ...]:
        """(phases, points, xy) = (2, 40, 2)."""
        return (len(PHASES), POINTS, 2)

    def prepare(self, item: Item, frames: int) -> Sample:
        """``frames`` frames uniform from ED (slot 0) to ES (last slot); points ED then ES, (80, 2)."""
        from echolm.data.clips import ed_to_es

        points = np.concatenate([item.values["landmarks_ed"], item.values["landmarks_es"]]).astype(np.float32)
        return Sample(ed_to_es(item.values["ed"], item.values["es"], frames), points)

    def truth(self, batch: Batch) -> Tensor:
        """B x 2 x 40 x 2 in [0, 1] of the frame."""
        return batch.points.view(-1, *self.outputs())

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error over a sample's 160 numbers."""
        return {"loss": (outputs - self.truth(batch)).square().flatten(1).mean(1)}

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        """Two rows a sample (slots ED and ES): x, y interleaved, in pixels of the 112 grid; see ``landmark_rows``."""
        to_grid = [(values.double().cpu().numpy() * GRID - 0.5) for values in (self.truth(batch), outputs)]
        return landmark_rows(batch.items, *to_grid)

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        """Mean over frames of Dice (%) and keypoint error (px on the 112 grid): ``dice/ED`` ... ``mke/ES``."""
        slots = rows["slot"].to_numpy(zero_copy_only=False)
        return {
            f"{name}/{phase}": float(rows[name].to_numpy()[slots == phase].mean())
            for name in ("dice", "mke")
            for phase in PHASES
        }

    def describe(self) -> dict[str, Any]:
        """Units and directions of the metrics."""
        return {"dice": {"unit": "%", "better": "higher"}, "mke": {"unit": "px", "better": "lower"}}


def landmark_rows(items: list[Item], truth: np.ndarray, prediction: np.ndarray) -> pa.Table:
    """Rows for B x 2 x 40 x 2 contours in pixels of the 112 grid.

    Beside the common columns: ``dice`` (% of this frame), ``mke`` (mean distance, px), and the additive parts
    ``intersection``, ``area_truth``, ``area_prediction`` (pixels of the 112 grid) and ``squared_error`` (px^2, summed
    over the 40 points).
    """
    import pyarrow as pa

    from echolm import geometry

    flat_truth, flat_prediction = truth.reshape(-1, POINTS, 2), prediction.reshape(-1, POINTS, 2)
    intersection, area_truth, area_prediction = geometry.overlap(flat_truth, flat_prediction, GRID)
    dice = 100.0 * geometry.dice_from_overlap(intersection, area_truth, area_prediction)
    repeated = [item for item in items for _ in PHASES]
    columns = {
        "sample": pa.array([item.sample for item in repeated], pa.string()),
        "patient": pa.array([item.patient for item in repeated], pa.string()),
        "study": pa.array([item.study for item in repeated], pa.string()),
        "split": pa.array([item.split for item in repeated], pa.string()),
        "target": pa.array(["landmarks"] * len(repeated), pa.string()),
        "slot": pa.array(list(PHASES) * len(items), pa.string()),
        "truth": pa.array(list(flat_truth.reshape(-1, POINTS * 2)), pa.list_(pa.float64())),
        "prediction": pa.array(list(flat_prediction.reshape(-1, POINTS * 2)), pa.list_(pa.float64())),
        "score": pa.nulls(len(repeated), pa.list_(pa.float64())),
        "dice": pa.array(dice, pa.float64()),
        "mke": pa.array(geometry.keypoint_error(flat_truth, flat_prediction), pa.float64()),
        "intersection": pa.array(intersection, pa.int64()),
        "area_truth": pa.array(area_truth, pa.int64()),
        "area_prediction": pa.array(area_prediction, pa.int64()),
        "squared_error": pa.array(np.square(flat_truth - flat_prediction).sum((1, 2)), pa.float64()),
    }
    return pa.table(columns)
