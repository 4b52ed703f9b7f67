"""CSV tables of datasets: rows by column name with their line numbers, and strict numbers."""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from echolm.errors import EchoLMError, printable

SHOWN = 200
"""Characters of a header in an error."""


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
        """A whole number (``46`` or ``46.0``) that a float holds exactly, or RowError."""
        value = self.number(column)
        if value != int(value) or abs(value) > 2**53:
            raise RowError(f"{column} is {self[column]!r}, not a whole number")
        return int(value)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Row, str | None]]:
    """Each row of a CSV file, with a reason when its number of cells is not the header's.

    Columns are found by name, in any order; a byte order mark and blank lines are skipped; cells lose outer blanks.
    EchoLMError: the file cannot be read, is not UTF-8, or its header lacks one of ``columns`` or repeats a name.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header, columns)
        for cells in reader:
            if any(cells):
                yield _row(header, cells, reader.line_num)
    except csv.Error as error:
        raise EchoLMError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _text(path: Path) -> str:
    """The content of a UTF-8 file; EchoLMError when it is something else, with the line where that shows."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or content[:2].count(0) == 1:
        raise EchoLMError(f"{path}: is UTF-16; {_convert('UTF-16')}")
    if (zero := content.find(0)) >= 0:
        raise EchoLMError(f"{path}:{_line(content, zero)}: is no text (a byte is 0): damaged, or not a CSV file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, found = _line(error.object, error.start), error.object[error.start]
        raise EchoLMError(f"{path}:{line}: is not UTF-8 (a byte is 0x{found:02x}); {_convert('WINDOWS-1252')}") from error


def _line(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


def _convert(encoding: str) -> str:
    return f"save it as CSV in UTF-8 (iconv -f {encoding} -t UTF-8 OLD.csv > NEW.csv)"


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing or len(set(header)) != len(header):
        what = f"lacks column {', '.join(missing)}" if missing else "repeats a column name"
        raise EchoLMError(f"{path}: its header ({_shown(header)}) {what}; needed: {','.join(columns)}")


def _shown(header: list[str]) -> str:
    """The beginning of a header."""
    text = ",".join(header)
    return printable(text[:SHOWN]) + "..." * (len(text) > SHOWN)


def _row(header: list[str], cells: list[str], line: int) -> tuple[Row, str | None]:
    padded = [cell.strip() for cell in cells] + [""] * (len(header) - len(cells))
    row = Row(zip(header, padded, strict=False))
    row.line = line
    reason = None if len(cells) == len(header) else f"has {len(cells)} cells where the header has {len(header)}"
    return row, reason
