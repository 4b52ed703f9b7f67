"""Arrow columns that are made without pandas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa

from grid.results.columns import places, rows_with


def test_rows_are_found_and_taken_also_beside_rows_without_a_label() -> None:
    column = pa.chunked_array([["train", "test", None], ["test"], []], pa.string())
    assert rows_with(column, "test").tolist() == [1, 3]
    assert rows_with(column, "val").tolist() == []
    odd = np.arange(8)[1::2]
    assert pa.chunked_array([range(8)]).take(places(odd)).to_pylist() == [1, 3, 5, 7]
    assert len(column.take(places(rows_with(column, "val")))) == 0


def test_neither_loads_pandas() -> None:
    code = (
        "import sys, pyarrow as pa; from grid.results.columns import places, rows_with, texts; "
        "column = pa.chunked_array([texts(['a', None])]); column.take(places(rows_with(column, "
        "'a'))); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
