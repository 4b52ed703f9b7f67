"""Echo-Vision-FM's ± of stored predictions is a straight re-implementation of what it describes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.metrics import f1_score, mean_absolute_error, r2_score, roc_auc_score
from value_rows import value_rows

from grid.definition.tables import TableDefinition
from grid.tables.build import build
from grid.tables.render.data import plain

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""Truth, prediction and scores of some samples -> a number, or NaN."""


def macro_auc(truth: np.ndarray, prediction: np.ndarray, scores: np.ndarray) -> float:
    if len(np.unique(truth)) < scores.shape[1]:
        return math.nan
    return float(roc_auc_score(truth, scores, multi_class="ovr"))


def macro_f1(truth: np.ndarray, prediction: np.ndarray, scores: np.ndarray) -> float:
    return float(f1_score(truth, prediction, average="macro", labels=range(5), zero_division=0))


VALUES: dict[str, Metric] = {
    "mae": lambda truth, prediction, scores: float(mean_absolute_error(truth, prediction)),
    "r2": lambda truth, prediction, scores: float(r2_score(truth, prediction)),
}
CLASSES: dict[str, Metric] = {"macro f1": macro_f1, "macro auc": macro_auc}


def predictions(samples: int, number: int, classes: bool) -> Any:
    """Return the rows of a run: EF in percent, or one of five classes."""
    random = np.random.default_rng([8, number])
    truth = np.random.default_rng(7).normal(55, 12, samples)
    if not classes:
        return value_rows(truth, truth + random.normal(-1, 6, samples))
    grade = np.digitize(truth, [35, 45, 55, 70]).astype(float)
    scores = random.dirichlet(np.ones(5), samples) + 0.4 * np.eye(5)[grade.astype(int)]
    scores /= scores.sum(1, keepdims=True)
    return value_rows(grade, scores.argmax(1).astype(float), scores, target="as")


def straight(files: list[Path], metric: Metric, drawn: int) -> tuple[float, float]:
    """Draw batch by batch, sample by sample, as the paper's script does.

    Returns:
        The mean over draws, and half the width of the t-interval.
    """
    runs = [
        sorted(pq.read_table(file).to_pylist(), key=lambda row: row["sample"]) for file in files
    ]
    samples = len(runs[0])
    batches = [list(range(start, min(start + 8, samples))) for start in range(0, samples, 8)]
    random = np.random.default_rng(5050)
    values = []
    for _ in range(50):
        chosen = random.choice(len(batches), drawn, replace=False)
        places = [place for batch in chosen for place in batches[batch]]
        by_seed = []
        for run in runs:
            rows = [run[place] for place in places]
            truth, prediction = (
                np.array([row[name][0] for row in rows]) for name in ("truth", "prediction")
            )
            by_seed.append(metric(truth, prediction, np.array([row["score"] for row in rows])))
        values.append(np.mean(by_seed))
    defined = [value for value in values if not math.isnan(value)]
    half = stats.t.ppf(0.975, len(defined) - 1) * stats.sem(defined)
    return float(np.mean(defined)), float(half)


@pytest.mark.parametrize(
    ("samples", "batches", "drawn", "metrics"),
    [(1277, 160, 16, VALUES), (50, 7, 5, VALUES), (119, 15, 13, CLASSES), (50, 7, 5, CLASSES)],
    ids=["echonet-dynamic", "camus", "tmed-2", "camus, some draws without a class"],
)
def test_of_stored_predictions(
    grid: Any, results: Any, samples: int, batches: int, drawn: int, metrics: dict[str, Metric]
) -> None:
    assert math.ceil(samples / 8) == batches and min(16, batches - 2) == drawn
    grid.cells = [cell for cell in grid.cells if cell.coordinates["encoder"] == "tiny-r3d"]
    files: dict[str, list[Path]] = {}
    for number, cell in enumerate(grid.cells):
        results.run(cell.id, table=predictions(samples, number, metrics is CLASSES))
        name = f"{cell.id}-0".ljust(64, "0")[:16]
        path = results.folder / "predictions" / f"{name}.parquet"
        files.setdefault(cell.coordinates["head"], []).append(path)
    columns = [{"statistic": name, "label": name} for name in metrics]
    definition = {
        "title": "T",
        "rows": ["encoder", "head"],
        "columns": columns,
        "spread": "subset-draws-95",
    }
    grid.tables["main"] = TableDefinition.model_validate(definition)
    for row in plain(build(grid, "main", results.folder))["rows"]:
        for name, metric in metrics.items():
            mean, half = straight(files[row["labels"]["head"]], metric, drawn)
            found = row["values"][name]
            assert found["mean"] == pytest.approx(mean, rel=1e-12, abs=1e-12)
            assert found["spread"] == pytest.approx(half, rel=1e-12, abs=1e-12)
