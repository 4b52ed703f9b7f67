"""What further seeds cost, from stored run times; and whether so small a difference matters."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grid.definition.tables import ColumnDefinition
from grid.statistics import Mean, Rows, SeedsNeeded, align, resample, seeds_needed
from grid.tables.seed_cost import seed_cost
from grid.tables.seeds_to_add import margin_question

IDS = np.array([f"p{at}" for at in range(40)])


def stored(folder: Path, *runs: tuple[str, str, str, float | None]) -> Path:
    """Write runs.parquet with (cell, host, device, seconds)."""
    names = ("cell", "host", "device", "metrics.run/seconds")
    rows = [dict(zip(names, run, strict=True)) for run in runs]
    pq.write_table(pa.Table.from_pylist(rows), folder / "runs.parquet")
    return folder


def test_the_mean_time_of_each_sides_runs_counts(tmp_path: Path) -> None:
    gpu = "NVIDIA H200"
    folder = stored(
        tmp_path,
        ("a0", "n1", gpu, 3600.0),
        ("a1", "n1", gpu, 1800.0),
        ("b0", "n2", gpu, 7200.0),
        ("c0", "n2", gpu, 99999.0),
    )
    cost = seed_cost(folder, [["a0", "a1"], ["b0"]], (2, 1))
    assert cost is not None
    assert cost.seconds == 2 * 2700 + 7200
    assert cost.text == "3 runs, about 3.5 GPU-hours (70 min each, from 3 stored runs)"


def test_runs_that_were_trained_together_share_their_seconds(tmp_path: Path) -> None:
    cpu = "cpu (AMD EPYC)"
    folder = stored(tmp_path, *((f"a{at}", "n1", cpu, 60.0) for at in range(3)))
    cost = seed_cost(folder, [["a0"], ["a1", "a2"]], (1, 1))
    assert cost is not None
    assert cost.seconds == 40
    assert cost.text == "2 runs, about 40 s of computing on CPUs (20 s each, from 3 stored runs)"


def test_without_times_nothing_is_claimed(tmp_path: Path) -> None:
    assert seed_cost(None, [["a"], ["b"]], (1, 1)) is None
    assert seed_cost(tmp_path, [["a"], ["b"]], (1, 1)) is None
    folder = stored(tmp_path, ("a", "n", "cpu", 5.0), ("b", "n", "cpu", None))
    assert seed_cost(folder, [["a"], ["b"]], (1, 1)) is None
    assert seed_cost(folder, [["a"], ["a"]], (0, 0)) is None


@pytest.mark.parametrize(
    ("gap", "margin", "asked"), [(0.01, None, True), (0.01, 1.0, False), (30.0, None, False)]
)
def test_it_is_asked_whether_a_small_difference_matters(
    gap: float, margin: float | None, asked: bool
) -> None:
    random = np.random.default_rng(0)
    runs = []
    for shift in (gap, 0.0):
        rows = {}
        for seed in "012":
            rows[seed] = Rows(IDS, {"dice": random.normal(80 + shift, 2, len(IDS))})
        runs.append(align(rows, "x"))
    needed: SeedsNeeded = seeds_needed(*resample(runs, Mean("dice"), 1000), margin=margin)
    column = ColumnDefinition.model_validate({"metric": "dice"})
    pair: Any = SimpleNamespace(column=column)
    assert bool(margin_question(pair, needed, margin)) == asked
