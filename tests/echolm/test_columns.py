"""Columns that are made and read without pandas are pyarrow's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from echolm.columns import list_column, number_column, numbers_in, text_column

KINDS = st.sampled_from(["float64", "float32", "int64", "int32", "uint8"])


@given(st.data(), KINDS, st.integers(0, 9), st.sampled_from([1, -1, 2]))
def test_numbers(data: st.DataObject, kind: str, length: int, step: int) -> None:
    """Those of a part of an array, too, or of one that is turned around."""
    values = data.draw(arrays.arrays(kind, length))[::step]
    made = number_column(values)
    made.validate(full=True)
    assert made.type == pa.from_numpy_dtype(values.dtype)
    np.testing.assert_array_equal(made.to_numpy(), values)
    np.testing.assert_array_equal(numbers_in(pa.array(values)), values)
    np.testing.assert_array_equal(numbers_in(pa.array(values)[1:]), values[1:])


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_texts(texts: list[str | None]) -> None:
    made = text_column(texts)
    made.validate(full=True)
    assert made.equals(pa.array(texts, pa.string()))
    assert made.null_count == texts.count(None)


@given(arrays.arrays("float32", arrays.array_shapes(min_dims=2, max_dims=2, max_side=5)))
def test_lists(rows: np.ndarray) -> None:
    made = list_column(rows)
    made.validate(full=True)
    assert made.type == pa.list_(pa.float64())
    np.testing.assert_array_equal(np.array(made.to_pylist()), rows)


def test_no_rows() -> None:
    assert list_column(np.zeros((0, 3))).to_pylist() == []
    assert text_column([]).to_pylist() == []
    assert number_column(np.zeros(0)).to_pylist() == []


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1.5, None, 3.0]), [1.5, np.nan, 3.0]),
        (pa.chunked_array([[1, 2], [3]]), [1, 2, 3]),
        (pa.chunked_array([], pa.int64()), []),
        (pa.chunked_array([[1.0], [None]]), [1.0, np.nan]),
    ],
)
def test_columns_in_pieces_or_with_missing_numbers(column: Any, expected: list[float]) -> None:
    np.testing.assert_array_equal(numbers_in(column), expected)
