"""Columns of Arrow, made of numpy's arrays and read as such, without pandas.

``pyarrow.array`` and ``to_numpy`` import pandas, which no training needs otherwise: 0.3 to 0.5 CPU
seconds and 40 MB of every process, where measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def number_column(values: np.ndarray) -> pa.Array:
    """Return numbers (N,) as a column of their type. It may share their memory."""
    import pyarrow as pa

    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def text_column(texts: Sequence[str | None]) -> pa.Array:
    """Return texts as a column of strings. None is a missing one."""
    import pyarrow as pa

    encoded = [b"" if text is None else text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    is_there = np.array([text is not None for text in texts], bool)
    bits = None
    if not is_there.all():
        bits = pa.py_buffer(np.packbits(is_there, bitorder="little"))
    content = pa.py_buffer(b"".join(encoded))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), content, bits)


def list_column(rows: np.ndarray) -> pa.Array:
    """Return N x M numbers as a column of N lists of M doubles."""
    import pyarrow as pa

    count, length = rows.shape
    starts = np.arange(count + 1, dtype=np.int32) * np.int32(length)
    numbers = rows.astype(np.float64).ravel()
    return pa.ListArray.from_arrays(number_column(starts), number_column(numbers))


def one_piece(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    import pyarrow as pa

    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 0:  # joined, it would stay without an array
        return pa.nulls(0, column.type)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def numbers_in(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return the numbers of a column (N,). Missing ones are NaN. Else they are read-only."""
    array = one_piece(column)
    if array.null_count:
        numbers: np.ndarray = array.to_numpy(zero_copy_only=False)
        return numbers
    return np.from_dlpack(array)
