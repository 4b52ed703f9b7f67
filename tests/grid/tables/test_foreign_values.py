"""The foreign check of values and classes.

Independent numpy gives each statistic of the predictions' Parquet files, and its interval over
patients and seeds. One patient has two samples, which share its weight. Nothing of
``grid.statistics`` is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from foreign_statistics import B, crossed_of, drawn_patients
from value_rows import value_rows

from grid.definition.tables import TableDefinition
from grid.tables.build import build
from grid.tables.render.data import plain

PATIENTS = 40
Weighted = Callable[[dict[str, np.ndarray], np.ndarray], np.ndarray]
"""Columns of a run (N) and weights of rows (B x N) -> values (B)."""


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ values / weights.sum(1)


def limit(rows: dict[str, np.ndarray], weights: np.ndarray, sign: int) -> np.ndarray:
    error = rows["prediction"] - rows["truth"]
    bias = mean(error, weights)
    squares = (weights * (error - bias[:, None]) ** 2).sum(1)
    return bias + sign * 1.96 * np.sqrt(squares / (weights.sum(1) - 1))


def share(inside: np.ndarray, among: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ (inside & among) / (weights @ among)


def average_precision(rows: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Threshold by threshold: the gain in recall times the precision there."""
    score, positive = rows["score"], rows["truth"] == 1
    area = np.zeros(len(weights))
    before = np.zeros(len(weights))
    for threshold in np.unique(score)[::-1]:
        called = score >= threshold
        hits = weights @ (called & positive)
        total = weights @ called
        area += (hits - before) / (weights @ positive) * hits / np.where(total > 0, total, 1)
        before = hits
    return area


def ece(confidence: np.ndarray, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    gap = np.zeros(len(weights))
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        gap += np.abs(weights @ (inside * (right - confidence)))
    return gap / weights.sum(1)


def kappa(rows: dict[str, np.ndarray], weights: np.ndarray, power: int) -> np.ndarray:
    observed, expected = np.zeros(len(weights)), np.zeros(len(weights))
    total = weights.sum(1)
    for one in range(3):
        for other in range(3):
            distance = abs(one - other) ** power
            is_one, is_other = rows["truth"] == one, rows["prediction"] == other
            observed += distance * (weights @ (is_one & is_other))
            expected += distance * (weights @ is_one) * (weights @ is_other) / total
    return 1 - observed / expected


def logistic(rows: dict[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Plain Newton steps. Where the classes do not overlap they run away, and there is no value."""
    x = np.log(rows["score"] / (1 - rows["score"]))
    design = np.stack([np.ones_like(x), x], 1)
    beta = np.zeros((len(weights), 2))
    for _ in range(25):
        share = 1 / (1 + np.exp(-beta @ design.T))
        gradient = (weights * (rows["truth"] - share)) @ design
        curvature = np.einsum("bn,ni,nj->bij", weights * share * (1 - share), design, design)
        # No draw has a flat likelihood but those that ran away.
        curvature[np.abs(np.linalg.det(curvature)) < 1e-9] = np.eye(2)
        beta = beta + np.linalg.solve(curvature, gradient[..., None])[..., 0]
    beta[np.abs(beta).max(1) > 20] = np.nan
    return beta


VALUES: dict[str, tuple[dict[str, Any], Weighted]] = {
    "mse": (
        {"statistic": "mse"},
        lambda rows, weights: mean((rows["prediction"] - rows["truth"]) ** 2, weights),
    ),
    "scaled mae": (
        {"statistic": "mae", "options": {"scale": 0.01}},
        lambda rows, weights: mean(np.abs(rows["prediction"] - rows["truth"]), weights) / 100,
    ),
    "lower": ({"statistic": "lower limit"}, lambda rows, weights: limit(rows, weights, -1)),
    "upper": ({"statistic": "upper limit"}, lambda rows, weights: limit(rows, weights, 1)),
    "within 5": (
        {"statistic": "share within"},
        lambda rows, weights: mean(np.abs(rows["prediction"] - rows["truth"]) <= 5, weights),
    ),
    "within 10": (
        {"statistic": "share within", "options": {"within": 10}},
        lambda rows, weights: mean(np.abs(rows["prediction"] - rows["truth"]) <= 10, weights),
    ),
    "sensitivity": (
        {"statistic": "sensitivity", "options": {"below": 55}},
        lambda rows, weights: share(rows["prediction"] < 55, rows["truth"] < 55, weights),
    ),
    "specificity": (
        {"statistic": "specificity", "options": {"below": 55, "at": 50}},
        lambda rows, weights: share(rows["prediction"] >= 50, rows["truth"] >= 55, weights),
    ),
}
CHANCES: dict[str, tuple[dict[str, Any], Weighted]] = {
    "sensitivity": (
        {"statistic": "sensitivity", "options": {"at": 0.4}},
        lambda rows, weights: share(rows["score"] >= 0.4, rows["truth"] == 1, weights),
    ),
    "auprc": ({"statistic": "auprc"}, average_precision),
    "brier": (
        {"statistic": "brier"},
        lambda rows, weights: mean((rows["score"] - rows["truth"]) ** 2, weights),
    ),
    "nll": (
        {"statistic": "nll"},
        lambda rows, weights: mean(
            -np.log(np.where(rows["truth"] == 1, rows["score"], 1 - rows["score"])), weights
        ),
    ),
    "ece": (
        {"statistic": "ece"},
        lambda rows, weights: ece(
            np.maximum(rows["score"], 1 - rows["score"]),
            (rows["score"] > 0.5) == rows["truth"],
            weights,
        ),
    ),
    "slope": (
        {"statistic": "calibration slope"},
        lambda rows, weights: logistic(rows, weights)[:, 1],
    ),
    "intercept": (
        {"statistic": "calibration intercept"},
        lambda rows, weights: logistic(rows, weights)[:, 0],
    ),
}
CLASSES: dict[str, tuple[dict[str, Any], Weighted]] = {
    "linear": (
        {"statistic": "weighted kappa", "options": {"weights": "linear"}},
        lambda rows, weights: kappa(rows, weights, 1),
    ),
    "quadratic": (
        {"statistic": "weighted kappa"},
        lambda rows, weights: kappa(rows, weights, 2),
    ),
}


def make_values(random: np.random.Generator, truth: np.ndarray) -> Any:
    return truth, truth + random.normal(-1, 7, len(truth)), None


def make_chances(random: np.random.Generator, truth: np.ndarray) -> Any:
    label = (truth < 55).astype(float)
    score = 1 / (1 + np.exp(-(0.4 * (2 * label - 1) + random.normal(0, 1.6, len(truth)))))
    score = np.round(score, 2).clip(0.01, 0.99)
    return label, (score > 0.5).astype(float), score


def make_classes(random: np.random.Generator, truth: np.ndarray) -> Any:
    grade = np.digitize(truth, [50, 60]).astype(float)
    given = np.digitize(truth + random.normal(0, 8, len(truth)), [50, 60]).astype(float)
    return grade, given, np.eye(3)[given.astype(int)] * 0.7 + 0.1


@pytest.mark.parametrize(
    ("cases", "make"),
    [(VALUES, make_values), (CHANCES, make_chances), (CLASSES, make_classes)],
    ids=["values", "chances", "classes"],
)
def test_every_value_and_its_interval(grid: Any, results: Any, cases: Any, make: Any) -> None:
    patients = [f"p{number:02d}" for number in range(PATIENTS)]
    patients.append("p00")
    truth = np.random.default_rng(5).normal(55, 10, PATIENTS + 1)
    files: dict[tuple[str, str], list[Path]] = {}
    grid.cells = [cell for cell in grid.cells if cell.coordinates["encoder"] == "tiny-r3d"]
    for number, cell in enumerate(grid.cells):
        rows = make(np.random.default_rng([6, number]), truth)
        results.run(cell.id, table=value_rows(*rows, patients=patients))
        name = f"{cell.id}-0".ljust(64, "0")[:16]
        place = cell.coordinates["encoder"], cell.coordinates["head"]
        path = results.folder / "predictions" / f"{name}.parquet"
        files.setdefault(place, []).append(path)
    columns = [{**column, "label": label} for label, (column, _) in cases.items()]
    definition = {"title": "T", "rows": ["encoder", "head"], "columns": columns}
    grid.tables["main"] = TableDefinition.model_validate(definition)
    shown = plain(build(grid, "main", results.folder))
    counts = np.zeros((B, PATIENTS))
    for number, drawn in enumerate(drawn_patients(PATIENTS)):
        counts[number] = np.bincount(drawn, minlength=PATIENTS)
    for row in shown["rows"][:1]:
        runs = [read(path) for path in files[tuple(row["labels"].values())]]
        owner = np.array([int(name[1:]) for name in runs[0]["patient"]])
        base = 1 / np.bincount(owner)[owner]
        for label, (_, reference) in cases.items():
            found = row["values"][label]
            full = np.array([reference(own, base[None])[0] for own in runs])
            draws = np.array([reference(own, counts[:, owner] * base) for own in runs])
            ends = np.percentile(crossed_of([full], [draws], PATIENTS)[0], [2.5, 97.5])
            low, high = possible(label, ends)
            assert found["mean"] == pytest.approx(full.mean(), rel=1e-10), label
            assert [one["value"] for one in found["sources"]] == pytest.approx(full, rel=1e-10)
            assert (found["low"], found["high"]) == pytest.approx((low, high), rel=1e-7), label


def possible(label: str, ends: np.ndarray) -> tuple[float, float]:
    """An interval is cut at what is possible: shares lie between 0 and 1, errors above 0."""
    if label in ("lower", "upper", "slope", "intercept"):
        return float(ends[0]), float(ends[1])
    if label in ("linear", "quadratic"):
        return max(float(ends[0]), -1.0), min(float(ends[1]), 1.0)
    top = np.inf if label in ("mse", "scaled mae", "nll") else 1.0
    return max(float(ends[0]), 0.0), min(float(ends[1]), top)


def read(path: Path) -> dict[str, np.ndarray]:
    rows = [row for row in pq.read_table(path).to_pylist() if row["split"] == "test"]
    columns = {name: np.array([row[name][0] for row in rows]) for name in ("truth", "prediction")}
    if rows[0]["score"] is not None and len(rows[0]["score"]) == 1:
        columns["score"] = np.array([row["score"][0] for row in rows])
    return {**columns, "patient": np.array([row["patient"] for row in rows])}
