"""The foreign check: independent numpy gives every number of a table from the predictions' Parquet files alone.

Nothing of ``grid.statistics`` is used, nor the table's own reading of files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from grid.tables.build import build
from grid.tables.data import plain


def foreign(files: list[Any], metric: str, slot: str, resamples: int = 40_000) -> dict[str, tuple[float, ...]]:
    """Mean, std over patients and over seeds, percentiles 2.5 and 97.5 over patients, and the crossed interval."""
    seeds = []
    for file in files:
        rows = [row for row in pq.read_table(file).to_pylist() if row["split"] == "test" and row["slot"] == slot]
        patients = sorted({row["patient"] for row in rows})
        seeds.append([np.mean([row[metric] for row in rows if row["patient"] == patient]) for patient in patients])
    values, random = np.array(seeds), np.random.default_rng(99)  # seeds x patients
    count, size = values.shape
    drawn = values.mean(0)[random.integers(0, size, (resamples, size))].mean(1)
    shared = max(0.0, float(np.cov(values)[~np.eye(count, dtype=bool)].mean()) / size)  # the variance of patients that seeds share
    own = values.mean(1).var(ddof=1) / count
    runs = values.mean(1)[random.integers(0, count, (resamples, count))].mean(1)
    both = (drawn - values.mean()) * np.sqrt(shared) / drawn.std() + (runs - values.mean()) * np.sqrt(count / (count - 1))
    wide = (shared * stats.t.ppf(0.975, size - 1) + own * stats.t.ppf(0.975, count - 1)) / (shared + own) / stats.norm.ppf(0.975)
    return {
        "mean": (values.mean(),),
        "std-over-patients": (values.std(1, ddof=1).mean(),),
        "std-over-seeds": (values.mean(1).std(ddof=1),),
        "bootstrap-95": tuple(np.percentile(drawn, [2.5, 97.5])),
        "crossed-95": tuple(values.mean() + np.percentile(both, [2.5, 97.5]) * wide),
    }


@pytest.fixture
def tables(grid: Any, results: Any, complete: Any) -> dict[str, Any]:
    kinds = ("std-over-patients", "std-over-seeds", "bootstrap-95", "crossed-95")
    return {kind: plain(build(grid, "main", results.folder, kind)) for kind in kinds}


def test_every_number_of_a_table_from_the_predictions_alone(grid: Any, results: Any, tables: dict[str, Any]) -> None:
    columns = {"Dice ED (%)": ("dice", "ED"), "Dice ES (%)": ("dice", "ES"), "MKE ED (px)": ("mke", "ED")}
    checked = 0
    for row in range(4):
        labels = tables["crossed-95"]["rows"][row]["labels"]
        cells = [cell.id for cell in grid.cells if all(cell.coordinates[axis] == label for axis, label in labels.items())]
        files = [results.folder / "predictions" / f"{(cell + '-0').ljust(64, '0')[:16]}.parquet" for cell in cells]
        for heading, (metric, slot) in columns.items():
            expected = foreign(files, metric, slot)
            shown = {kind: table["rows"][row]["values"][heading] for kind, table in tables.items()}
            for kind in ("std-over-patients", "std-over-seeds"):
                assert shown[kind]["mean"] == pytest.approx(expected["mean"][0], rel=1e-12)
                assert shown[kind]["spread"] == pytest.approx(expected[kind][0], rel=1e-12)
            for kind in ("bootstrap-95", "crossed-95"):
                ends = shown[kind]["low"], shown[kind]["high"]
                assert ends == pytest.approx(expected[kind], abs=0.06 * (ends[1] - ends[0])), "two sets of resamples"
            checked += len(shown)
    assert checked == 4 * 3 * 4
