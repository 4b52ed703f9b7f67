"""The test rows behind a place of a table: read from the predictions, by column, target and slot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.statistics import Rows, Statistic
from grid.tables.definition import ColumnDefinition
from grid.tables.results import read_columns

KEYS = ("sample", "patient", "split", "target", "slot")


class Predictions:
    """Reads what the columns of a table need of predictions; the file that was read last is kept."""

    def __init__(self, columns: Sequence[ColumnDefinition]) -> None:
        self._names = list(dict.fromkeys(name for column in columns for name in read_by(column.made())))
        self._path, self._test = Path(), pa.table({})
        self._there: dict[str, set[str]] = {"target": set(), "slot": set()}

    def rows(self, path: Path, column: ColumnDefinition) -> Rows:
        """The test rows of one column; a value that is not there is NaN.

        EchoLMError when the file is damaged, lacks a column, or holds several targets or slots of which the column names none.
        """
        if path != self._path:
            table = read_columns(path, [*KEYS, *self._names])
            self._path, self._test = path, table.filter(pc.equal(table["split"], "test"))
            for name, known in self._there.items():
                known.update(filter(None, pc.unique(self._test[name]).to_pylist()))
        test = self._test
        for name in ("target", "slot"):
            if wanted := getattr(column, name):
                test = test.filter(pc.equal(test[name], wanted))
            elif len(there := sorted(filter(None, pc.unique(test[name]).to_pylist()))) > 1:
                raise EchoLMError(f"column {column.heading!r}: name its {name}; {path} holds {', '.join(there)}")
        ids = {name: np.array(test[name].to_pylist(), dtype=str) for name in ("patient", "sample")}
        values = {name: _numbers(test[name], f"column {column.heading!r}: {name} of {path}") for name in read_by(column.made())}
        return Rows(ids["patient"], values, ids["sample"])


    def check(self, columns: Sequence[ColumnDefinition]) -> None:
        """EchoLMError for a column whose target or slot none of the files that were read has, where they have others."""
        for column in columns:
            for name, there in self._there.items():
                if there and (wanted := getattr(column, name)) and wanted not in there:
                    raise EchoLMError(f"column {column.heading!r}: no {name} {wanted!r}; {suggest(wanted, there)}")


def read_by(statistic: Statistic) -> list[str]:
    """The columns of the predictions that a statistic reads."""
    if not dataclasses.is_dataclass(statistic):
        return []
    values = [getattr(statistic, field.name) for field in dataclasses.fields(statistic)]
    return [value for value in values if isinstance(value, str)]


def data_names(path: Path) -> Mapping[str, str]:
    """Run -> name of its data, as its parameters have it; empty where they do not."""
    name = "params.data.name"
    if name not in pq.read_schema(path).names:
        return {}
    table = read_columns(path, ["run_id", name])
    return dict(zip(table["run_id"].to_pylist(), table[name].to_pylist(), strict=True))


def _numbers(values: pa.ChunkedArray, where: str) -> np.ndarray:
    """(N,) or, from lists, (N, C) float64; lists of one number are (N,)."""
    if not pa.types.is_list(values.type) and not pa.types.is_large_list(values.type):
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
            raise EchoLMError(f"{where}: holds {values.type}, not numbers")
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    rows = values.to_pylist()
    if len(lengths := {len(row or ()) for row in rows}) > 1:
        raise EchoLMError(f"{where}: holds lists of {min(lengths)} to {max(lengths)} numbers; a statistic needs equal ones")
    found = np.array([row or () for row in rows], np.float64).reshape(len(rows), -1)
    return found[:, 0] if found.shape[1] == 1 else found
