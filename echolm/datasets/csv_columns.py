"""Large CSV tables of datasets, by column: half a million rows in a second, millions in blocks.

``csv_rows`` reads small tables row by row and says more about each. pyarrow is imported when a
table is read.
"""

from __future__ import annotations

import bisect
import csv
import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.datasets.csv_rows import check_header
from echolm.errors import EchoLMError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv as pa_csv

FIRST = 2
"""The line of the first row. A cell may not hold a line break."""
BLOCK = 1 << 24
"""Bytes of a table that are read at once."""
NO_ROWS = ("Empty CSV", "Could not skip initial")
"""What pyarrow says of a table of nothing but a header, with and without a line break."""
Chosen = Callable[["pa.RecordBatch"], "pa.Array | None"]
"""Returns which rows of a block are kept, true or false for each. None: all."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of a table.

    Attributes:
        table: the columns, text without outer blanks. Blank lines are rows of empty cells.
        odd: the line of each row whose number of cells is not the header's, ascending, with the
            reason. These rows are left out of the table.
    """

    table: pa.Table
    odd: list[tuple[int, str]] = field(default_factory=list)

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column. Those of a column that the table lacks are empty."""
        if name not in self.table.column_names:
            return [""] * len(self.table)
        texts: list[str] = self.table[name].to_pylist()
        return texts

    def line(self, row: int) -> int:
        """Return the line of a row in the file, counted from 1."""
        line = row + FIRST
        # each row that was left out before it moves it one line down
        while True:
            moved = row + FIRST + bisect.bisect_right(self.odd, line, key=lambda odd: odd[0])
            if moved == line:
                return line
            line = moved


def read_header(path: Path) -> list[str]:
    """Return the names of a table's columns. The file may be compressed, ``.gz``.

    Raises:
        EchoLMError: the file cannot be read, or its first line is no text in UTF-8.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            line = file.readline()
        names = next(csv.reader([line.decode("utf-8-sig")]), [])
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EchoLMError(f"{path}: cannot be read: {reason}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EchoLMError(f"{path}:1: is no header of a CSV file in UTF-8") from error
    return [name.strip() for name in names]


def read_columns(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Columns:
    """Read columns of a CSV file as text.

    Args:
        path: the file, UTF-8.
        columns: names that the header must have.
        optional: names that the header may have.

    Raises:
        EchoLMError: the file cannot be read, is not UTF-8, or its header lacks one of ``columns``
            or has one of these names twice.
    """
    return read_chosen(path, columns, optional, lambda block: None)


def read_chosen(
    path: Path, columns: Sequence[str], optional: Sequence[str], chosen: Chosen
) -> Columns:
    """Read columns of a CSV file that may be larger than the memory, and keep some rows.

    Lines are those of the file only where all rows are kept.

    Args:
        path: the file, UTF-8, or compressed as ``.gz``.
        columns: names that the header must have.
        optional: names that the header may have.
        chosen: which rows of a block are kept.

    Raises:
        EchoLMError: as ``read_columns``.
    """
    import pyarrow as pa

    names = [name for name in (*columns, *optional) if name in read_header(path)]
    schema = pa.schema([(name, pa.string()) for name in names])  # a table may have no blocks
    odd: list[tuple[int, str]] = []
    kept = []
    for block in _blocks(path, columns, optional, odd):
        rows = chosen(block)
        kept.append(block if rows is None else block.filter(rows))
    return Columns(pa.Table.from_batches(kept, schema), odd)


def _blocks(
    path: Path, columns: Sequence[str], optional: Sequence[str], odd: list[tuple[int, str]]
) -> Iterator[pa.RecordBatch]:
    """Yield blocks of rows, and append to ``odd`` those with more or fewer cells than columns."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as pa_csv

    header = read_header(path)
    check_header(path, header, columns, optional)
    names = [name for name in (*columns, *optional) if name in header]

    def leave_out(row: pa_csv.InvalidRow) -> str:
        reason = f"has {row.actual_columns} cells where the header has {row.expected_columns}"
        odd.append((row.number, reason))
        return "skip"

    try:
        with pa_csv.open_csv(
            str(path),
            pa_csv.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=_unique(header), skip_rows=1
            ),
            pa_csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=leave_out),
            pa_csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        ) as reader:
            for block in reader:
                trimmed = [pc.utf8_trim_whitespace(column) for column in block.columns]
                yield pa.RecordBatch.from_arrays(trimmed, names)
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        if any(words in str(error) for words in NO_ROWS):
            return
        reason = " ".join(str(error).split())
        raise EchoLMError(f"{path}: is no CSV file in UTF-8, or is damaged: {reason}") from error


def _unique(header: list[str]) -> list[str]:
    """Return names of which none repeats. Those that repeat are not read."""
    names: list[str] = []
    for number, name in enumerate(header):
        names.append(name if name and name not in names else f"\0{number}")
    return names
