"""A table as Markdown that is aligned when read as plain text, as CSV, and as plain data."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

from grid.statistics import Spread
from grid.tables.caption import PHANTOM, caption, span
from grid.tables.table import Row, Table

MISSING = "missing"
CSV_VALUE = ("column", "mean", "spread", "kind", "n_patients", "n_seeds", "runs", "missing_seeds", "synthetic")


def markdown(table: Table) -> str:
    """Title, table, caption, then what is unusual, then what is missing with the command that fills it."""
    parts = [f"**{table.title}**", _aligned(table), caption(table)]
    if notes := [f"- {_label(row)}: {note}" for row in table.rows for note in _notes(table, row)]:
        parts.append("\n".join(["Notes:", *notes]))
    if any(row.missing for row in table.rows):
        parts.append(_missing(table))
    return "\n\n".join(parts) + "\n"


def csv_text(table: Table) -> str:
    """One line a table cell: the row's labels, then ``CSV_VALUE``; an absent number is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*table.axes, *CSV_VALUE])
    for row in table.rows:
        provenance = [";".join(row.runs), ";".join(item.seed for item in row.missing), str(row.synthetic).lower()]
        for column, value in zip(table.columns, row.values, strict=True):
            writer.writerow([*row.labels, column.heading, *_csv_numbers(table.kind, value), *provenance])
    return file.getvalue()


def plain(table: Table) -> dict[str, Any]:
    """The table as JSON data; a number that is not finite is the text ``nan``, ``inf`` or ``-inf``."""
    head = {"grid": table.grid, "table": table.name, "title": table.title, "kind": table.kind}
    return {**head, "caption": caption(table), "rows": [_plain_row(table, row) for row in table.rows]}


def _aligned(table: Table) -> str:
    """The lines of the Markdown table, every column as wide as its widest text; numbers to the right."""
    counts = _counts(table)
    header = [*table.axes, *(column.heading for column in table.columns), *counts]
    extra = [[texts[index] for texts in counts.values()] for index in range(len(table.rows))]
    body = [[*row.labels, *_numbers(table, row), *more] for row, more in zip(table.rows, extra, strict=True)]
    lines = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in [header, *body]]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    left = len(table.axes)
    rule = ["-" * width if at < left else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    padded = [_pad(line, widths, left) for line in [lines[0], rule, *lines[1:]]]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _pad(line: list[str], widths: list[int], left: int) -> Iterator[str]:
    for at, (text, width) in enumerate(zip(line, widths, strict=True)):
        yield text.ljust(width) if at < left else text.rjust(width)


def _counts(table: Table) -> dict[str, list[str]]:
    """Columns with the numbers of patients and of seeds, where rows differ in them or are incomplete."""
    columns = {}
    patients = [span(row.patients) for row in table.rows]
    if len({text for text, row in zip(patients, table.rows, strict=True) if row.seeds}) > 1:
        columns["Patients"] = patients
    seeds = [f"{len(row.seeds)} of {row.expected}" if row.missing else str(len(row.seeds)) for row in table.rows]
    if len(set(seeds)) > 1 or any(row.missing for row in table.rows):
        columns["Seeds"] = seeds
    return columns


def _numbers(table: Table, row: Row) -> list[str]:
    """The values of a row. Those of an incomplete row end in ``*``, the others in a blank, so that they align."""
    starred = any(other.missing and other.seeds for other in table.rows)
    mark = "" if not starred else "*" if row.missing and row.seeds else " "
    return [_number(value, column.digits) + mark for column, value in zip(table.columns, row.values, strict=True)]


def _number(value: Spread | None, digits: int) -> str:
    if value is None:
        return MISSING
    return f"{value.mean:.{digits}f}" + ("" if value.spread is None else f" ± {value.spread:.{digits}f}")


def _notes(table: Table, row: Row) -> list[str]:
    mixed = row.synthetic and not all(other.synthetic for other in table.rows if other.seeds)
    return [*row.notes, *([PHANTOM] if mixed else [])]


def _missing(table: Table) -> str:
    incomplete = any(row.missing and row.seeds for row in table.rows)
    lines = ["Missing (rows with * are incomplete):" if incomplete else "Missing:"]
    for row in table.rows:
        for reason in dict.fromkeys(item.reason for item in row.missing):
            seeds = [item.seed for item in row.missing if item.reason == reason]
            noun = "seed" if len(seeds) == 1 else "seeds"
            lines.append(f"- {_label(row)}: {noun} {', '.join(seeds)}: {reason}; type: `{row.command}`")
    return "\n".join([*lines, f"and then: `echolm collect {table.grid}`"])


def _label(row: Row) -> str:
    return ", ".join(row.labels)


def _csv_numbers(kind: str, value: Spread | None) -> list[str]:
    if value is None:
        return ["", "", kind, "0", "0"]
    spread = "" if value.spread is None else repr(value.spread)
    return [repr(value.mean), spread, kind, str(value.patients), str(value.seeds)]


def _plain_row(table: Table, row: Row) -> dict[str, Any]:
    values = zip(table.columns, row.values, strict=True)
    return {
        "labels": dict(zip(table.axes, row.labels, strict=True)),
        "values": {column.heading: _plain_value(value) for column, value in values},
        "seeds": list(row.seeds),
        "cells": list(row.cells),
        "runs": list(row.runs),
        "synthetic": row.synthetic,
        "missing": [vars(item) for item in row.missing],
        "notes": list(row.notes),
        "command": row.command if row.missing else None,
    }


def _plain_value(value: Spread | None) -> dict[str, Any] | None:
    if value is None:
        return None
    numbers = {"mean": _finite(value.mean), "spread": _finite(value.spread)}
    return {**numbers, "patients": value.patients, "seeds": value.seeds}


def _finite(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else str(number)
