"""Whether runs of different stores have the same true values for the same samples.

Values are paired by patient. Where a store was prepared again with other labels, the patients are
the same and their truth is not, so a difference would be one of labels. Where it was prepared
again with other frames alone, the values may be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from echolm.errors import EchoLMError
from grid.definition.tables import ColumnDefinition
from grid.results.files import TASK_PREFIX, read_columns

TOLERANCE = 1e-3
"""Relative to the largest true value: below it, networks of other image sizes may round."""
DIGITS = 16


@dataclass(frozen=True)
class _Truth:
    """The true values of one column of one store.

    Attributes:
        name: of the first store that has them.
        samples: sorted ids of the test rows, with target and slot.
        values: of each, one after another.
    """

    name: str
    samples: tuple[str, ...]
    values: np.ndarray

    def is_like(self, other: _Truth) -> bool:
        """Return whether both have the same samples with the same values."""
        if self.samples != other.samples or self.values.shape != other.values.shape:
            return False
        scale = float(np.abs(self.values).max(initial=0.0))
        return np.allclose(self.values, other.values, 0, TOLERANCE * scale, equal_nan=True)


class TestSets:
    """Names the true values behind a place of a table.

    Nothing is read where all runs are of one store.

    Args:
        runs: the rows of all collected runs.
    """

    __test__ = False  # it is no test of pytest

    def __init__(self, runs: Iterable[Mapping[str, Any]]) -> None:
        self._differ = len({run["data"] for run in runs if run["data"]}) > 1
        self._truths: dict[tuple[str, str], list[_Truth]] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def name(self, run: Mapping[str, Any], predictions: Path, column: ColumnDefinition) -> str:
        """Name the true values of a run. Equal names mean equal values.

        Args:
            run: its row.
            predictions: its file.
            column: which target and slot.

        Returns:
            ``data a1b2``, of the first store that has these values. '' where all runs are of one
            store, or that of this one is not known.
        """
        data = run["data"]
        if not self._differ or not data:
            return ""
        task = tuple(text for name, text in run.items() if name.startswith(TASK_PREFIX))
        key = data, task, column.target, column.slot
        if key not in self._names:
            self._names[key] = self._find(data, predictions, column)
        return self._names[key]

    def _find(self, data: str, predictions: Path, column: ColumnDefinition) -> str:
        name = f"data {data[:DIGITS]}"
        truth = _read(name, predictions, column)
        if truth is None:
            return name
        known = self._truths.setdefault((column.target, column.slot), [])
        for other in known:
            if truth.is_like(other):
                return other.name
        known.append(truth)
        return name


def _read(name: str, predictions: Path, column: ColumnDefinition) -> _Truth | None:
    """Read the true values of a column, or None where a file does not hold them."""
    try:
        table = read_columns(predictions, ["sample", "split", "target", "slot", "truth"])
    except EchoLMError:
        return None
    rows = table.filter(pc.equal(table["split"], "test"))
    for key in ("target", "slot"):
        label = getattr(column, key)
        if label:
            rows = rows.filter(pc.equal(rows[key], label))
    ids = []
    for row in zip(*(rows[key].to_pylist() for key in ("sample", "target", "slot")), strict=True):
        ids.append("/".join(part or "" for part in row))
    order = sorted(range(len(ids)), key=ids.__getitem__)
    ordered = rows["truth"].take(pa.array(order, pa.int64())).to_pylist()
    values = []
    for value in ordered:
        numbers = value if isinstance(value, list) else [value]
        values += [np.nan if number is None else float(number) for number in numbers]
    return _Truth(name, tuple(ids[row] for row in order), np.array(values))
