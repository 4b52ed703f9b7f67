"""A table as CSV and as plain data, with full precision and provenance."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from grid.tables.caption import caption
from grid.tables.missing import command
from grid.tables.published import Published
from grid.tables.table import Row, Table, Value

CSV_VALUE = (
    "column", "mean", "spread", "kind", "n_patients", "n_seeds", "runs", "missing_seeds", "synthetic",
    "published", "published_spread", "published_kind",
)  # fmt: skip


def csv_text(table: Table) -> str:
    """One line a value that the grid has cells for: the row's labels, then ``CSV_VALUE``; an absent number is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*table.axes, *CSV_VALUE])
    for row in table.rows:
        for column, value in zip(table.columns, row.values, strict=True):
            if value.expected:
                writer.writerow([*row.labels, column.heading, *_csv_value(table.kind, value)])
    return file.getvalue()


def plain(table: Table) -> dict[str, Any]:
    """The table as JSON data; a number that is not finite is the text ``nan``, ``inf`` or ``-inf``."""
    head = {"grid": table.grid, "table": table.name, "title": table.title, "kind": table.kind}
    published = table.published.model_dump(mode="json") if table.published else None
    rows = [_plain_row(table, row) for row in table.rows]
    return {**head, "published": published, "caption": caption(table), "rows": rows}


def _csv_value(kind: str, value: Value) -> list[str]:
    number, published = value.number, value.published
    own = [repr(number.mean), _text(number.spread)] if number else ["", ""]
    counts = [number.patients, number.seeds] if number else [0, 0]
    missing = ";".join(item.seed for item in value.missing)
    provenance = [";".join(value.runs), missing, str(value.synthetic).lower()]
    theirs = [repr(published.value), _text(published.spread), published.kind] if published else ["", "", ""]
    return [*own, kind, *map(str, counts), *provenance, *theirs]


def _text(number: float | None) -> str:
    return "" if number is None else repr(number)


def _plain_row(table: Table, row: Row) -> dict[str, Any]:
    values = {}
    for column, value in zip(table.columns, row.values, strict=True):
        places = {axis: (label,) for axis, label in table.place(row, column).items()}
        fill = dict.fromkeys(command(table, places, item.remedy) for item in value.missing)
        values[column.heading] = _plain_value(value, "; ".join(fill)) if value.expected else None
    return {"labels": dict(zip(table.axes, row.labels, strict=True)), "values": values}


def _plain_value(value: Value, fill: str) -> dict[str, Any]:
    number = value.number
    return {
        "mean": _finite(number.mean) if number else None,
        "spread": _finite(number.spread) if number else None,
        "patients": number.patients if number else 0,
        "seeds": list(value.seeds),
        "cells": list(value.cells),
        "runs": list(value.runs),
        "synthetic": value.synthetic,
        "missing": [vars(item) for item in value.missing],
        "notes": list(value.notes),
        "command": fill or None,
        "published": _plain_published(value.published),
    }


def _plain_published(published: Published | None) -> dict[str, Any] | None:
    if published is None:
        return None
    return {"value": published.value, "spread": published.spread, "kind": published.kind, "note": published.note}


def _finite(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else str(number)
