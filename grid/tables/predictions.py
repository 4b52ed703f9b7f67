"""The test rows behind a place of a table, read from the predictions by column, target and slot."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from echolm.errors import EchoLMError
from echolm.text import suggest
from grid.definition.subgroups import group_name
from grid.definition.tables import ColumnDefinition
from grid.results.columns import places, rows_with
from grid.results.files import read_columns, read_known_columns
from grid.statistics import Rows
from grid.statistics.rows import SampleOrder
from grid.tables.store_values import StoreValues
from grid.tables.studies import PREDICTION, SCORE, TRUTH, by_study

KEYS = ("sample", "patient", "split", "target", "slot")
CHOSEN = ("target", "slot")
"""Keys of which a column of a table has one label."""
STUDY = "study"
OF_STUDIES = (STUDY, TRUTH, PREDICTION, SCORE)
"""Columns that are read where rows are averaged over studies."""


KEPT_FILES = 64
"""Files whose test rows are kept: those of all seeds of a row, for its columns."""

KEPT_LAYOUTS = 4


class FileWatch(Protocol):
    """Sees each file of predictions that a table reads, so that nobody reads it once more."""

    @property
    def names(self) -> Sequence[str]:
        """The further columns that it wants to see, as far as a file has them."""
        ...

    def see(self, path: Path, table: pa.Table) -> None:
        """Look at the columns of a file: ``KEYS``, ``names`` and those of the table."""
        ...


Choice = tuple[str, ...]
"""The labels of ``CHOSEN`` that a column names. An empty one is not named."""


@dataclass(frozen=True)
class _Samples:
    """The test rows of one target and slot.

    Attributes:
        rows: their numbers in the file.
        patient: whose they are.
        sample: of which sample.
        order: how they are sorted.
    """

    rows: np.ndarray
    patient: np.ndarray
    sample: np.ndarray
    order: SampleOrder


@dataclass
class _Layout:
    """Which rows of a file are what. Files of one test set share it.

    Attributes:
        keys: the columns that say it.
        test: the numbers of the test rows.
        chosen: choice of target and slot -> its rows, of those that were asked for.
    """

    keys: pa.Table
    test: np.ndarray
    chosen: dict[Choice, _Samples] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """The columns of one file that tables read."""

    table: pa.Table
    layout: _Layout
    _columns: dict[str, np.ndarray] = field(default_factory=dict)
    """Name -> the numbers of all rows, of columns of one number a row that were asked for."""

    def numbers(self, name: str, rows: np.ndarray, where: str) -> np.ndarray:
        """Return the numbers of some rows of a column.

        Args:
            name: of the column.
            rows: their numbers in the file.
            where: what they are, for messages.
        """
        if _is_list(self.table.schema.field(name).type):
            return _numbers(self.table[name].take(places(rows)), where)
        if name not in self._columns:
            self._columns[name] = _numbers(self.table[name], where)
        return self._columns[name][rows]


class GroupError(EchoLMError):
    """Rows of a subgroup or of studies that cannot be had. The place of the table says why."""


class Predictions:
    """Reads what the columns of a table need of predictions. Files that were read last are kept.

    A file need not have what other columns of the table read: a table may be of several tasks.

    Args:
        columns: of the table.
        stores: what is known of the stores, for columns of subgroups.
        watch: sees each file that is read.
    """

    def __init__(
        self,
        columns: Sequence[ColumnDefinition],
        stores: StoreValues | None = None,
        watch: FileWatch | None = None,
    ) -> None:
        names: dict[str, None] = {}
        for column in columns:
            if column.cost:
                continue
            names.update(dict.fromkeys(column.made().reads))
            if column.unit:
                names.update(dict.fromkeys(OF_STUDIES))
        if watch is not None:
            names.update(dict.fromkeys(name for name in watch.names if name not in KEYS))
        self._names = list(names)
        self._watch = watch
        self._stores = stores or StoreValues(None)
        self._files: OrderedDict[Path, _File] = OrderedDict()
        self._layouts: list[_Layout] = []
        """Those of the test sets that were read last."""
        self._known: dict[str, set[str]] = {key: set() for key in CHOSEN}
        """Key -> the labels that any file has."""

    def rows(self, path: Path, column: ColumnDefinition, data: str = "") -> Rows:
        """Read the test rows of one column. A value that is not there is NaN.

        Args:
            path: the file.
            column: the column.
            data: the fingerprint of the store, which is needed for a subgroup.

        Raises:
            EchoLMError: the file is damaged, lacks a column, or holds several targets or slots of
                which the column names none.
            GroupError: who is in the column's subgroup is not known, or nobody is, or the samples
                have no studies.
        """
        file = self._file(path)
        reads = column.made().reads
        missing = [name for name in reads if name not in file.table.column_names]
        if missing:
            read_columns(path, missing)  # says which columns the file has
        samples = _choose(file.layout, path, column)
        if not column.subgroup and not column.unit:
            values = _columns(file, reads, samples.rows, column, path)
            return Rows(samples.patient, values, samples.sample, samples.order)
        try:
            return self._grouped(file, samples, column, path, data)
        except EchoLMError as error:
            raise GroupError(str(error)) from None

    def _grouped(
        self, file: _File, samples: _Samples, column: ColumnDefinition, path: Path, data: str
    ) -> Rows:
        """Return the rows of a subgroup, or of studies."""
        chosen = self._stores.chosen(data, samples.sample, column.subgroup)
        if not chosen.any():
            raise EchoLMError(f"no test sample is of {group_name(column.subgroup)}")
        rows = samples.rows[chosen]
        patient, sample = samples.patient[chosen], samples.sample[chosen]
        reads = column.made().reads
        if not column.unit:
            values = _columns(file, reads, rows, column, path)
            return Rows(patient, values, sample)
        known = [name for name in OF_STUDIES if name in file.table.column_names]
        names = dict.fromkeys([*reads, *(name for name in known if name != STUDY)])
        values = _columns(file, list(names), rows, column, path)
        study: list[str | None] = [None] * len(rows)
        if STUDY in known:
            study = file.table[STUDY].take(places(rows)).to_pylist()
        where = f"column {column.heading!r}"
        studies = by_study(study, patient, values, where)
        kept = {name: studies.columns[name] for name in reads}
        return Rows(studies.patient, kept, studies.study)

    def check(self, columns: Sequence[ColumnDefinition]) -> None:
        """Check that the files that were read have the targets and slots of all columns.

        Raises:
            EchoLMError: none of them has one of a column, where they have others.
        """
        for column in columns:
            for key, known in self._known.items():
                label = getattr(column, key)
                if label and known and label not in known:
                    raise EchoLMError(
                        f"column {column.heading!r}: no {key} {label!r}; {suggest(label, known)}"
                    )

    def _file(self, path: Path) -> _File:
        """Return the columns of a file, which is read where it is not kept."""
        if path in self._files:
            self._files.move_to_end(path)
            return self._files[path]
        table = read_known_columns(path, KEYS, self._names)
        file = _File(table, self._layout(table.select(KEYS)))
        if self._watch is not None:
            self._watch.see(path, table)
        self._files[path] = file
        if len(self._files) > KEPT_FILES:
            self._files.popitem(last=False)
        return file

    def _layout(self, keys: pa.Table) -> _Layout:
        """Return which rows of a file are what, shared with a file before where it is the same."""
        for layout in self._layouts:
            if len(layout.keys) == len(keys) and layout.keys.equals(keys):
                return layout
        layout = _Layout(keys, rows_with(keys["split"], "test"))
        test = keys.take(places(layout.test))
        for key, known in self._known.items():
            known.update(_labels(test[key]))
        self._layouts = [layout, *self._layouts[: KEPT_LAYOUTS - 1]]
        return layout


def _choose(layout: _Layout, path: Path, column: ColumnDefinition) -> _Samples:
    """Return the test rows of a file that have the target and slot of a column."""
    choice = tuple(getattr(column, key) for key in CHOSEN)
    if choice in layout.chosen:
        return layout.chosen[choice]
    rows = layout.test
    for key, label in zip(CHOSEN, choice, strict=True):
        if label:
            rows = np.intersect1d(rows, rows_with(layout.keys[key], label))
            continue
        labels = _labels(layout.keys[key].take(places(rows)))
        if len(labels) > 1:
            raise EchoLMError(
                f"column {column.heading!r}: name its {key}; {path} holds {', '.join(labels)}"
            )
    chosen = layout.keys.take(places(rows))
    patient = np.array(chosen["patient"].to_pylist(), dtype=str)
    sample = np.array(chosen["sample"].to_pylist(), dtype=str)
    samples = _Samples(rows, patient, sample, SampleOrder.of(patient, sample))
    layout.chosen[choice] = samples
    return samples


def _columns(
    file: _File, names: Sequence[str], rows: np.ndarray, column: ColumnDefinition, path: Path
) -> dict[str, np.ndarray]:
    """Return the numbers of some rows by column of the predictions."""
    values = {}
    for name in names:
        where = f"column {column.heading!r}: {name} of {path}"
        values[name] = file.numbers(name, rows, where)
    return values


def data_names(path: Path) -> Mapping[str, str]:
    """Return run -> name of its data, as its parameters have it. Empty where they do not."""
    name = "params.data.name"
    if name not in pq.read_schema(path).names:
        return {}
    table = read_columns(path, ["run_id", name])
    return dict(zip(table["run_id"].to_pylist(), table[name].to_pylist(), strict=True))


def _labels(column: pa.ChunkedArray) -> list[str]:
    """Return the labels in a column, sorted."""
    labels = pc.unique(column).to_pylist()
    return sorted(label for label in labels if label)


def _is_list(kind: pa.DataType) -> bool:
    """Return whether a column has a list in each row."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _numbers(values: pa.ChunkedArray, where: str) -> np.ndarray:
    """Return float64 (N,) or, from lists, (N, C). Lists of one number give (N,).

    Args:
        values: of one column.
        where: what they are, for messages.
    """
    kind = values.type
    if not _is_list(kind):
        is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if not is_number and not pa.types.is_boolean(kind):
            raise EchoLMError(f"{where}: holds {kind}, not numbers")
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    rows = [row or () for row in values.to_pylist()]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise EchoLMError(
            f"{where}: holds lists of {min(lengths)} to {max(lengths)} numbers; "
            "a statistic needs equal ones"
        )
    numbers = np.array(rows, np.float64).reshape(len(rows), -1)
    if numbers.shape[1] == 1:
        return numbers[:, 0]
    return numbers
