"""What tasks on one value of an item share: the names of units, checks of a store, and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.columns import list_column, numbers_in, text_column
from echolm.stores.items import LANDMARKS
from echolm.text import counted, suggest

if TYPE_CHECKING:
    import pyarrow as pa

    from echolm.stores.items import Item

UNITS = {
    "ef": "%",
    "esv": "ml",
    "edv": "ml",
    "age": "years",
    "fps": "frames/s",
    "ivsd": "cm",
    "lvidd": "cm",
    "lvids": "cm",
    "lvpwd": "cm",
}
"""Units of values that all datasets mean alike."""


def unit_of(value: str) -> str:
    """Return the unit of a value of the store, '' where it is not known."""
    return UNITS.get(value, "")


def is_number(value: Any) -> bool:
    """Tell whether a value is one finite number. True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def why_missing(name: str, column: Sequence[Any], known: Sequence[str]) -> str:
    """Say that no item has a value, or that it is points. '' for neither.

    Args:
        name: of the value.
        column: the values of the items, None where one has none.
        known: the names of all values of the store.
    """
    plain = [other for other in known if not other.startswith(LANDMARKS)]
    if name.startswith(LANDMARKS):
        return f"{name!r} is points, not one value of an item; valid: {', '.join(plain)}"
    if all(value is None for value in column):
        return f"no item has a value {name!r}; {suggest(name, plain)}"
    return ""


def why_no_numbers(name: str, column: Sequence[Any], known: Sequence[str]) -> str:
    """Say that a value is not a number in each item that has it, or is missing. '' for neither.

    Args:
        name: of the value.
        column: the values of the items, None where one has none.
        known: the names of all values of the store.
    """
    reason = why_missing(name, column, known)
    if reason:
        return reason
    wrong = [value for value in column if value is not None and not is_number(value)]
    if not wrong:
        return ""
    return (
        f"value {name!r} is not a number in {counted(len(wrong), 'item')} of {len(column)} "
        f"(first: {wrong[0]!r}); name a value that is a number in target, or correct the dataset"
    )


def value_rows(
    items: Sequence[Item],
    target: str,
    truth: np.ndarray,
    prediction: np.ndarray,
    score: np.ndarray | None = None,
) -> pa.Table:
    """Return one row a sample in the columns of ``Goal.rows``, with an empty slot.

    Args:
        items: the samples (B).
        target: the name of the value.
        truth: (B,).
        prediction: (B,).
        score: B x C probabilities. None: there are none.
    """
    import pyarrow as pa

    count = len(items)
    columns: dict[str, pa.Array] = {}
    for name in ("sample", "patient", "study", "split"):
        columns[name] = text_column([getattr(item, name) for item in items])
    columns["target"] = text_column([target] * count)
    columns["slot"] = text_column([""] * count)
    columns["truth"] = list_column(np.reshape(truth, (count, 1)))
    columns["prediction"] = list_column(np.reshape(prediction, (count, 1)))
    columns["score"] = pa.nulls(count, pa.list_(pa.float64()))
    if score is not None:
        columns["score"] = list_column(score)
    return pa.table(columns)


def numbers_of(rows: pa.Table, column: str) -> np.ndarray:
    """Return a list column of predictions as an array, rows x numbers."""
    lists = rows[column].combine_chunks()
    return numbers_in(lists.flatten()).reshape(len(rows), -1)
