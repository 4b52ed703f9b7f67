"""``labels.csv`` of one's own files: a row a file, and a column for each target.

A column whose cells are all numbers is read as numbers, any other as text. A column that is mostly
numbers is a column of numbers with mistakes: each cell that is none is a problem of its row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from echolm.datasets.csv_rows import CsvRow, RowError, read_header, read_rows
from echolm.datasets.file_listing import file_size, why_no_path
from echolm.datasets.scan import SPLITS, Problem
from echolm.errors import EchoLMError

LABELS = "labels.csv"
FILE, PATIENT, SPLIT, STUDY, SAMPLE, VIEW = "file", "patient", "split", "study", "sample", "view"
NEEDED = (FILE, PATIENT)
IDS = (*NEEDED, SPLIT, STUDY, SAMPLE)
"""Columns that say what a file is. All others are values."""
FRAME_NUMBERS = ("ed", "es")
"""Values that number a frame, from 0."""
STORE_COLUMNS = (
    "offset",
    "t",
    "h",
    "w",
    "frames",
    "sha256",
    "video",
    "position",
    "length",
    "crc32",
)
"""Columns of a store's index, which no value may be called."""
LANDMARKS = "landmarks"
"""How columns of a store begin that hold points."""
MOSTLY = 0.5
"""A column with at least this share of numbers is one of numbers."""

Kind = Literal["number", "text"]


@dataclass(frozen=True)
class Column:
    """A column of values.

    Attributes:
        kind: whether it is read as numbers or as text.
        numbers: how many of its cells are numbers.
        cells: how many of its cells are not empty.
    """

    kind: Kind
    numbers: int
    cells: int


@dataclass(frozen=True)
class LabelledFile:
    """A row of the table.

    Attributes:
        line: the row.
        file: path in the dataset's folder.
        sample: the item's id: the cell, or the file where the table has no such column.
        patient: whom it shows.
        split: ``train``, ``val``, ``test``, or '' where the table has no such column.
        study: the examination it is of, None where the table does not say.
        values: by column, None where the cell is empty.
    """

    line: int
    file: str
    sample: str
    patient: str
    split: str
    study: str | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class LabelsTable:
    """The table as it was read.

    Attributes:
        rows: the rows that can be used, in their order.
        problems: why others cannot.
        columns: the columns of values, by name.
        has_splits: whether it has the column ``split``.
        listed: every file that a row names.
    """

    rows: list[LabelledFile]
    problems: list[Problem]
    columns: dict[str, Column]
    has_splits: bool
    listed: set[str]


def read_labels(root: Path, sizes: Mapping[str, int], text: tuple[str, ...] = ()) -> LabelsTable:
    """Read ``labels.csv`` in the folder ``root``.

    Args:
        root: the dataset's folder.
        sizes: the files in it, path -> bytes.
        text: columns that are read as text, whatever is in them.

    Raises:
        EchoLMError: there is no such table, its header cannot be used, or it has no rows.
    """
    path = root / LABELS
    if not path.exists():
        raise EchoLMError(
            f"{root}: no {LABELS} here; write one: a header {FILE},{PATIENT},{SPLIT},... and a row "
            "for each file"
        )
    header = read_header(path)
    names = [name for name in header if name not in IDS]
    _check_names(path, names, text)
    all_rows = list(read_rows(path, NEEDED, header))
    if not all_rows:
        raise EchoLMError(f"{path}: has no rows; write one for each file")
    columns = {name: _column(name, all_rows, text) for name in names}
    reader = _RowReader(root, sizes, columns)
    rows = []
    problems = []
    for row, reason in all_rows:
        try:
            if reason:
                raise RowError(reason)
            rows.append(reader.read(row))
        except RowError as error:
            problems.append(Problem(LABELS, row.line, _sample_of(row), str(error)))
    return LabelsTable(rows, problems, columns, SPLIT in header, set(reader.lines))


def _check_names(path: Path, names: list[str], text: tuple[str, ...]) -> None:
    """Raise EchoLMError when a column of values has a name that it cannot have."""
    for name in names:
        if not name.isprintable():
            raise EchoLMError(f"{path}: its header has column {name!r}; rename it")
        if name in STORE_COLUMNS or name.startswith(LANDMARKS):
            raise EchoLMError(
                f"{path}: its header has column {name}, which is a name of EchoLM's own; rename it"
            )
    for name in text:
        if name not in names:
            raise EchoLMError(
                f"{path}: has no column {name!r} to read as text; its columns of values: "
                f"{', '.join(names) or '(none)'}"
            )


def _column(name: str, rows: list[tuple[CsvRow, str | None]], text: tuple[str, ...]) -> Column:
    """Count the numbers of a column, and decide how it is read."""
    cells = [row[name] for row, reason in rows if not reason and row[name]]
    numbers = sum(1 for cell in cells if _number(cell) is not None)
    is_text = name == VIEW or name in text or numbers < max(1, MOSTLY * len(cells))
    return Column("text" if is_text else "number", numbers, len(cells))


def _number(cell: str) -> float | None:
    """Return a finite number, None of a cell that is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _sample_of(row: CsvRow) -> str:
    """Return the id of a row's item, as far as it can be told."""
    return row.get(SAMPLE) or row[FILE]


class _RowReader:
    """Reads rows one after another, and remembers which files they named.

    Attributes:
        lines: file -> the row that named it first.
    """

    def __init__(self, root: Path, sizes: Mapping[str, int], columns: dict[str, Column]) -> None:
        self.lines: dict[str, int] = {}
        self._root = root
        self._sizes = sizes
        self._columns = columns

    def read(self, row: CsvRow) -> LabelledFile:
        """Read a row.

        Raises:
            RowError: why it cannot be used.
        """
        file = self._file(row)
        for column in (PATIENT, SAMPLE):
            if not row.get(column, "-"):
                raise RowError(f"{column} is empty")
        for column in IDS:
            if not row.get(column, "").isprintable():
                raise RowError(f"{column} is {row[column]!r}")
        split = row.get(SPLIT, "").lower()
        if SPLIT in row and split not in SPLITS:
            raise RowError(f"{SPLIT} is {row[SPLIT]!r}; valid: {', '.join(SPLITS)}")
        return LabelledFile(
            line=row.line,
            file=file,
            sample=row.get(SAMPLE, file),
            patient=row[PATIENT],
            split=split,
            study=row.get(STUDY) or None,
            values=self._values(row),
        )

    def _file(self, row: CsvRow) -> str:
        """Return the path of a row's file in the dataset's folder."""
        reason = why_no_path(row[FILE], FILE)
        if reason:
            raise RowError(reason)
        file = str(PurePosixPath(row[FILE]))
        if file in self.lines:
            raise RowError(f"{FILE} {file} stands in row {self.lines[file]} already")
        self.lines[file] = row.line
        if file not in self._sizes and file_size(self._root / file) is None:
            raise RowError(f"no file {file}{self._spelled_otherwise(file)}")
        return file

    def _spelled_otherwise(self, file: str) -> str:
        """Name a file that differs in upper and lower case alone."""
        for name in self._sizes:
            if name.lower() == file.lower():
                return f"; there is {name}"
        return " in the dataset's folder"

    def _values(self, row: CsvRow) -> dict[str, Any]:
        values: dict[str, Any] = {}
        reasons = []
        for name, column in self._columns.items():
            try:
                values[name] = _value(row, name, column)
            except RowError as error:
                reasons.append(str(error))
        if reasons:
            raise RowError("; ".join(reasons))
        return values


def _value(row: CsvRow, name: str, column: Column) -> float | int | str | None:
    """Return the value of a cell, None of an empty one."""
    cell = row[name]
    if not cell:
        return None
    if name in FRAME_NUMBERS:
        number = row.integer(name)
        if number < 0:
            raise RowError(f"{name} is {cell!r}; frames are counted from 0")
        return number
    if column.kind == "text":
        return cell
    value = _number(cell)
    if value is None:
        raise RowError(
            f"{name} is {cell!r}, not a number, as {column.numbers} of the column's {column.cells} "
            f"cells are; correct it, leave it empty, or read the column as text (text={name})"
        )
    return value


def merge_rows(rows: list[LabelledFile]) -> LabelledFile:
    """Return what the rows of one item say together. A value may be in some of them alone.

    Raises:
        DisagreementError: two rows say different things.
    """
    first = rows[0]
    values = dict(first.values)
    for row in rows[1:]:
        for name in (PATIENT, SPLIT, STUDY):
            _check_same(first, row, name, getattr(first, name), getattr(row, name))
        for name, value in row.values.items():
            if values[name] is None:
                values[name] = value
            elif value is not None:
                _check_same(first, row, name, values[name], value)
    return LabelledFile(**{**vars(first), "values": values})


class DisagreementError(ValueError):
    """Two rows of an item say different things.

    Attributes:
        line: the later row.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def _check_same(
    first: LabelledFile, row: LabelledFile, name: str, expected: object, value: object
) -> None:
    if value != expected:
        raise DisagreementError(
            row.line,
            f"{name} is {value!r} here and {expected!r} in row {first.line} of the same {SAMPLE}",
        )


def count_kinds(columns: Mapping[str, Column]) -> dict[Kind, list[str]]:
    """Return the names of the columns of each kind."""
    kinds: dict[Kind, list[str]] = {"number": [], "text": []}
    for name, column in columns.items():
        kinds[column.kind].append(name)
    return kinds
