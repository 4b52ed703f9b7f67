"""A table as plain data with full precision and provenance: JSON, and one line a value for CSV, Parquet and DataFrames."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grid.tables.caption import caption
from grid.tables.definition import ColumnDefinition
from grid.tables.missing import command
from grid.tables.published import Published
from grid.tables.table import Row, Table, Value
from grid.tables.text import headed

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = {
    "column": "string", "metric": "string", "statistic": "string", "target": "string", "slot": "string",
    "mean": "double", "spread": "double", "low": "double", "high": "double", "kind": "string", "label": "string",
    "n_patients": "int64", "n_seeds": "int64", "seeds": "list", "values": "numbers", "runs": "list", "commits": "list", "logs": "list",
    "missing_seeds": "list", "command": "string", "synthetic": "bool", "diverged_seeds": "list", "baseline": "double", "not_better": "bool", "bold": "bool", "adjusted_p": "double",
    "published": "double", "published_spread": "double", "published_kind": "string", "verdict": "string", "verdict_text": "string",
    "notes": "list",
}  # fmt: skip
"""The columns of a line, after ``table`` and the axes, and their types. ``values`` are those of each seed, in the order of
``seeds``; ``mean`` is the estimate of the statistic, whichever it is; ``adjusted_p`` that of the comparison with the best;
``baseline`` what the mean contour reaches."""


def records(table: Table) -> list[dict[str, Any]]:
    """One line a value that the grid has cells for: ``table``, the axes of rows and columns, ``FIELDS``."""
    return [
        {"table": table.name, **_axes(table, row, column), **_record(table, row, column, value)}
        for row in table.rows
        for column, value in headed(table, row)
        if value.expected
    ]


def csv_text(tables: Sequence[Table]) -> str:
    """The lines of all tables; an absent number is empty, and a list is joined by ``;``."""
    lines = [line for table in tables for line in records(table)]
    file = io.StringIO()
    writer = csv.DictWriter(file, names(tables), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in line.items()} for line in lines)
    return file.getvalue()


def arrow(tables: Sequence[Table]) -> pa.Table:
    """The lines of all tables as Arrow, typed also where a column is empty."""
    import pyarrow as pa

    types = {"list": pa.list_(pa.string()), "numbers": pa.list_(pa.float64())}
    typed = {name: types.get(kind) or pa.type_for_alias(kind) for name, kind in FIELDS.items()}
    schema = pa.schema([(name, typed.get(name, pa.string())) for name in names(tables)])
    return pa.Table.from_pylist([line for table in tables for line in records(table)], schema)


def parquet(tables: Sequence[Table]) -> bytes:
    """The lines of all tables as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(arrow(tables), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def json_text(grid: str, tables: Sequence[Table]) -> str:
    """One JSON document: every number with the runs, seeds, commits and logs behind it."""
    return json.dumps({"grid": grid, "tables": [plain(table) for table in tables]}, indent=1, ensure_ascii=False) + "\n"


def names(tables: Sequence[Table]) -> list[str]:
    """The columns of a line: ``table``, the axes of all tables, ``FIELDS``."""
    axes = dict.fromkeys(axis for table in tables for row in table.rows for column in table.columns for axis in _axes(table, row, column))
    return ["table", *axes, *FIELDS]


def plain(table: Table) -> dict[str, Any]:
    """The table as JSON data; a number that is not finite is the text ``nan``, ``inf`` or ``-inf``."""
    head = {"grid": table.grid, "table": table.name, "title": table.title, "kind": table.kind}
    published = table.published.model_dump(mode="json") if table.published else None
    rows = [_plain_row(table, row) for row in table.rows]
    return {**head, "published": published, "caption": caption(table), "rows": rows, "quoted": [_plain_quoted(table, row) for row in table.quoted]}


def fill(table: Table, row: Row, column: ColumnDefinition, value: Value) -> str:
    """The commands that fill what a value lacks; "" for a complete one."""
    places = {axis: (label,) for axis, label in table.place(row, column).items()}
    return "; ".join(filter(None, dict.fromkeys(command(table, places, item.remedy) for item in value.missing)))


def _axes(table: Table, row: Row, column: ColumnDefinition) -> dict[str, str]:
    """Axis -> label; an axis that is called like another column of a line gets ``axis.`` before its name."""
    return {f"axis.{axis}" if axis in FIELDS or axis == "table" else axis: label for axis, label in table.place(row, column).items()}


def _record(table: Table, row: Row, column: ColumnDefinition, value: Value) -> dict[str, Any]:
    number, published, verdict, standing = value.number, value.published, value.verdict, value.standing
    own: list[Any] = [column.heading, column.metric, column.statistic, column.target, column.slot]
    own += [number.estimate, number.spread, number.low, number.high] if number else [None] * 4
    own += [table.kind, *((number.label, number.patients, number.seeds) if number else ("", 0, 0))]
    sources = value.sources
    own += [[source.seed for source in sources], [source.value for source in sources], [source.run for source in sources]]
    own += [[source.commit for source in sources], [log for source in sources for log in source.logs]]
    own += [[item.seed for item in value.missing], fill(table, row, column, value), value.synthetic]
    own += [[run.seed for run in value.diverged], value.baseline, value.not_better, value.bold, standing.adjusted if standing else None]
    own += [published.value, published.spread, published.kind] if published else [None, None, ""]
    own += [verdict.outcome, verdict.text] if verdict else ["", ""]
    notes = [*value.notes, *filter(None, [value.refused]), *(published.contradictions if published else ())]
    return dict(zip(FIELDS, [*own, notes], strict=True))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(_text(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _plain_row(table: Table, row: Row) -> dict[str, Any]:
    values = {
        column.heading: _plain_value(value, fill(table, row, column, value)) if value.expected else None
        for column, value in headed(table, row)
    }
    return {"labels": dict(zip(table.axes, row.labels, strict=True)), "values": values}


def _plain_quoted(table: Table, row: Row) -> dict[str, Any]:
    """A row of the paper that the grid has no cells for."""
    values = {column.heading: _plain_published(value.published) for column, value in headed(table, row)}
    return {"labels": dict(zip(table.axes, row.labels, strict=True)), "published": values}


def _plain_value(value: Value, fill: str) -> dict[str, Any]:
    number, standing = value.number, value.standing
    return {
        "mean": _finite(number.estimate) if number else None,
        "spread": _finite(number.spread) if number else None,
        "low": _finite(number.low) if number else None,
        "high": _finite(number.high) if number else None,
        "label": number.label if number else "",
        "patients": number.patients if number else 0,
        "seeds": list(value.seeds),
        "cells": list(value.cells),
        "runs": list(value.runs),
        "sources": [{**vars(source), "logs": list(source.logs), "value": _finite(source.value)} for source in value.sources],
        "synthetic": value.synthetic,
        "missing": [vars(item) for item in value.missing],
        "notes": [*value.notes, *filter(None, [value.refused])],
        "diverged": [{"seed": run.seed, "value": _finite(run.value), "reason": run.reason} for run in value.diverged],
        "baseline": _finite(value.baseline),
        "not_better": value.not_better,
        "bold": value.bold,
        "against_the_best": _plain_standing(value),
        "command": fill or None,
        "published": _plain_published(value.published),
        "verdict": {name: getattr(value.verdict, name) for name in ("outcome", "text", "test_set")} if value.verdict else None,
    } | ({"reason": standing.reason} if standing and standing.reason else {})


def _plain_standing(value: Value) -> dict[str, Any] | None:
    """The comparison of the best of the column with this value; None for the best, or without a comparison. ``p`` and ``wilcoxon``
    are of it alone."""
    if value.standing is None or value.standing.comparison is None:
        return None
    found = value.standing.comparison
    numbers = {name: _finite(getattr(found, name)) for name in ("difference", "low", "high", "p", "wilcoxon")}
    return {"best": found.first, **numbers, "adjusted_p": _finite(value.standing.adjusted), "adjusted_wilcoxon": _finite(value.standing.adjusted_wilcoxon), "counts_seeds": found.crossed}


def _plain_published(published: Published | None) -> dict[str, Any] | None:
    if published is None:
        return None
    own = {"value": published.value, "spread": published.spread, "kind": published.kind, "note": published.note}
    return {**own, "contradictions": list(published.contradictions)}


def _finite(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else str(number)
