"""CSV tables of datasets: rows by column name with their line numbers, and strict numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from echolm.errors import EchoLMError


class RowError(ValueError):
    """Why one row cannot be used."""


class Row(dict[str, str]):
    """A row's cells by column name, and ``line``, its 1-based line in the file."""

    line: int

    def number(self, column: str) -> float:
        """A finite number, or RowError."""
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise RowError(f"{column} is {self[column]!r}, not a number")
        return value

    def integer(self, column: str) -> int:
        """A whole number (``46`` or ``46.0``), or RowError."""
        value = self.number(column)
        if value != int(value):
            raise RowError(f"{column} is {self[column]!r}, not a whole number")
        return int(value)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Row, str | None]]:
    """Each row of a CSV file, with a reason when its number of cells is not the header's.

    Columns are found by name, in any order; a byte order mark and blank lines are skipped; cells lose outer blanks.
    EchoLMError: the file cannot be read, or its header lacks one of ``columns`` or repeats a name.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, columns)
            for cells in reader:
                if any(cells):
                    yield _row(header, cells, reader.line_num)
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    except csv.Error as error:
        raise EchoLMError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing or len(set(header)) != len(header):
        what = f"lacks column {', '.join(missing)}" if missing else "repeats a column name"
        raise EchoLMError(f"{path}: its header ({','.join(header)}) {what}; needed: {','.join(columns)}")


def _row(header: list[str], cells: list[str], line: int) -> tuple[Row, str | None]:
    padded = [cell.strip() for cell in cells] + [""] * (len(header) - len(cells))
    row = Row(zip(header, padded, strict=False))
    row.line = line
    reason = None if len(cells) == len(header) else f"has {len(cells)} cells where the header has {len(header)}"
    return row, reason
