"""Predictions of a value or of classes, and what is kept of their store, made for a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grid.tables.store_values import DATASET_KEY, store_values_path

DATA = "d" * 64


def value_rows(
    truth: np.ndarray,
    prediction: np.ndarray,
    score: np.ndarray | None = None,
    target: str = "ef",
    patients: Sequence[str] | None = None,
    studies: Sequence[str | None] | None = None,
) -> pa.Table:
    """Rows as tasks of one value write them: lists of one number, one row a sample."""
    count = len(truth)
    samples = [f"s{number:03d}" for number in range(count)]
    lists = pa.list_(pa.float64())
    shares: list[Any] = [None] * count
    if score is not None:
        shares = [np.atleast_1d(row).tolist() for row in score]
    return pa.table(
        {
            "sample": samples,
            "patient": list(patients or samples),
            "study": pa.array(list(studies or [None] * count), pa.string()),
            "split": ["test"] * count,
            "target": [target] * count,
            "slot": [""] * count,
            "truth": pa.array([[number] for number in truth.tolist()], lists),
            "prediction": pa.array([[number] for number in prediction.tolist()], lists),
            "score": pa.array(shares, lists),
        }
    )


def keep_values(
    results: Path,
    values: Mapping[str, Sequence[Any]],
    data: str = DATA,
    dataset: str = "echonet-dynamic",
) -> None:
    """Write what is kept of a store: a value of each sample."""
    count = len(next(iter(values.values())))
    samples = [f"s{number:03d}" for number in range(count)]
    table = pa.table({"sample": samples, **{name: list(own) for name, own in values.items()}})
    path = store_values_path(results, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({DATASET_KEY: dataset.encode()}), path)
