"""Arrow columns from Python values without ``pyarrow.array``.

That imports pandas: a quarter of a second of every collection. So does a text or a number that is
compared with a column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def texts(values: Sequence[str | None]) -> pa.Array:
    """Return a column of strings."""
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def places(rows: np.ndarray) -> pa.Array:
    """Return the numbers of rows as ``take`` wants them."""
    content = np.ascontiguousarray(rows, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(content), [None, pa.py_buffer(content)])


def rows_with(column: pa.ChunkedArray, label: str) -> np.ndarray:
    """Return the numbers of the rows that have a label, ascending."""
    content = np.array(column.to_pylist(), dtype=object)
    return np.flatnonzero(content == label)


def numbers(values: Sequence[float | None], kind: pa.DataType) -> pa.Array:
    """Return a column of float64, or of what an int64 can be cast to.

    That is: integers, truth values, times.
    """
    arrow_type = pa.int64()
    dtype: type = np.int64
    if pa.types.is_floating(kind):
        arrow_type = pa.float64()
        dtype = np.float64
    is_there = np.array([value is not None for value in values], bool)
    content: np.ndarray = np.array([0 if value is None else value for value in values], dtype)
    validity = None  # of Arrow: one bit a value, None where all are there
    if not is_there.all():
        validity = pa.py_buffer(np.packbits(is_there, bitorder="little"))
    column = pa.Array.from_buffers(arrow_type, len(values), [validity, pa.py_buffer(content)])
    if kind == arrow_type:
        return column
    return column.cast(kind)
