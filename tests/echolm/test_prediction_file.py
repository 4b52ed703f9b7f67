"""The file of predictions holds what it was given, and no dictionary of coordinates."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from echolm.prediction_file import as_parquet
from echolm.record import PREDICTIONS_KEY, PREDICTIONS_SCHEMA

ROWS = 96


def test_rows_come_back_as_they_were_in_a_smaller_file() -> None:
    points = np.random.default_rng(0).uniform(0, 112, (ROWS, 80))
    columns = {
        "sample": [f"sample {row // 2}" for row in range(ROWS)],
        "slot": ["ED", "ES"] * (ROWS // 2),
        "prediction": points.tolist(),
        "score": pa.nulls(ROWS, pa.list_(pa.float64())),
        "dice": points[:, 0],
        "intersection": points[:, 1].astype(np.int64),
    }
    rows = pa.table(columns).replace_schema_metadata({"of": "somebody"})
    content = as_parquet(rows)

    file = pq.ParquetFile(io.BytesIO(content))
    assert file.read().equals(rows)
    metadata = file.schema_arrow.metadata
    assert metadata == {b"of": b"somebody", PREDICTIONS_KEY: str(PREDICTIONS_SCHEMA).encode()}
    with_dictionary = []
    for number in range(file.metadata.num_columns):
        column = file.metadata.row_group(0).column(number)
        if column.has_dictionary_page:
            with_dictionary.append(column.path_in_schema)
    assert with_dictionary == ["sample", "slot"]

    by_itself = io.BytesIO()
    pq.write_table(rows, by_itself, compression="zstd")
    assert len(content) < len(by_itself.getvalue())
