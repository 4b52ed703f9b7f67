"""CSV tables of datasets: rows by column name with their line numbers, and strict numbers."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.text import printable

SHOWN = 200
"""Characters of a header in an error."""


class RowError(ValueError):
    """Why one row cannot be used."""


class CsvRow(dict[str, str]):
    """A row's cells by column name, and ``line``, its 1-based line in the file."""

    line: int

    def number(self, column: str) -> float:
        """Return a finite number, or raise RowError."""
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise RowError(f"{column} is {self[column]!r}, not a number")
        return value

    def integer(self, column: str) -> int:
        """Return a whole number (``46``, ``46.0``) that a float holds exactly, or raise."""
        value = self.number(column)
        if value != int(value) or abs(value) > 2**53:
            raise RowError(f"{column} is {self[column]!r}, not a whole number")
        return int(value)


def read_rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[CsvRow, str | None]]:
    """Yield each row of a CSV file, with a reason when its number of cells is not the header's.

    Columns are found by name, in any order. Columns without a name, as spreadsheets leave them at
    the right, are nobody's. A byte order mark and blank lines are skipped. Cells lose outer blanks.

    Args:
        path: the file.
        columns: names that the header must have.
        optional: names that the header may have.

    Raises:
        EchoLMError: the file cannot be read, is not UTF-8, or its header lacks one of ``columns``
            or has one of these names twice.
    """
    reader = csv.reader(io.StringIO(_read_text(path), newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        check_header(path, header, columns, optional)
        for line in reader:
            cells = [cell.strip() for cell in line]
            if any(cells):
                yield _row(header, cells, reader.line_num)
    except csv.Error as error:
        raise EchoLMError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def read_header(path: Path) -> list[str]:
    """Return the names of a CSV file's columns, in their order, without outer blanks.

    Columns without a name are left out.

    Raises:
        EchoLMError: the file cannot be read, is not UTF-8, or its first line is no CSV.
    """
    reader = csv.reader(io.StringIO(_read_text(path), newline=""))
    try:
        cells = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise EchoLMError(f"{path}:1: not valid CSV: {error}") from error
    return [name for name in cells if name]


def _read_text(path: Path) -> str:
    """Return the content of a UTF-8 file.

    Raises:
        EchoLMError: it is something else. The error names the line where that shows.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or content[:2].count(0) == 1:
        raise EchoLMError(f"{path}: is UTF-16; {_how_to_convert('UTF-16')}")
    zero = content.find(0)
    if zero >= 0:
        line = _line_of(content, zero)
        raise EchoLMError(f"{path}:{line}: is no text (a byte is 0): damaged, or not a CSV file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(error.object, error.start)
        byte = error.object[error.start]
        raise EchoLMError(
            f"{path}:{line}: is not UTF-8 (a byte is 0x{byte:02x}); "
            f"{_how_to_convert('WINDOWS-1252')}"
        ) from error


def _line_of(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


def _how_to_convert(encoding: str) -> str:
    return f"save it as CSV in UTF-8 (iconv -f {encoding} -t UTF-8 OLD.csv > NEW.csv)"


def check_header(
    path: Path, header: list[str], columns: Sequence[str], optional: Sequence[str]
) -> None:
    """Raise EchoLMError when a header lacks one of ``columns``, or has a name of either twice."""
    missing = [name for name in columns if name not in header]
    repeated = [name for name in (*columns, *optional) if header.count(name) > 1]
    if missing:
        reason = f"lacks column {', '.join(missing)}"
    elif repeated:
        reason = f"repeats column {', '.join(repeated)}"
    else:
        return
    raise EchoLMError(
        f"{path}: its header ({_beginning(header)}) {reason}; needed: {','.join(columns)}"
    )


def _beginning(header: list[str]) -> str:
    """Return the beginning of a header, harmless to a terminal."""
    text = ",".join(header)
    if len(text) > SHOWN:
        return printable(text[:SHOWN]) + "..."
    return printable(text)


def _row(header: list[str], cells: list[str], line: int) -> tuple[CsvRow, str | None]:
    """Make a row of its cells, with a reason when the cells are more or fewer than the columns.

    Empty cells at the right, and columns without a name at the right, count for nothing.
    """
    named = _width(header)
    row = CsvRow()
    for name, cell in itertools.zip_longest(header, cells[: len(header)], fillvalue=""):
        if name:
            row[name] = cell
    row.line = line
    if len(cells) >= named and _width(cells) <= len(header):
        return row, None
    return row, f"has {len(cells)} cells where the header has {named}"


def _width(cells: list[str]) -> int:
    """Count the cells up to the last that is not empty."""
    width = len(cells)
    while width and not cells[width - 1]:
        width -= 1
    return width
