"""Write a table as plain data with full precision and provenance.

As JSON, and as lines of one value each for CSV, Parquet and DataFrames.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from echolm.text import harmless, harmless_json
from grid.definition.subgroups import AXIS
from grid.definition.tables import ABSENT, ColumnDefinition
from grid.statistics import DivergedRun, Estimate, FarBehindRun, Uncertainty, Verdict
from grid.statistics.claims import claim_of
from grid.tables.published import PublishedNumber
from grid.tables.render.caption import table_text
from grid.tables.render.indented_json import indented_json
from grid.tables.render.interaction_data import (
    finite,
    interaction_fields,
    plain_interactions,
)
from grid.tables.render.wording import fill_commands, headed
from grid.tables.table import (
    Missing,
    Table,
    TableRow,
    Value,
    ValueSource,
)

if TYPE_CHECKING:
    import pyarrow as pa

FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
"""What begins a formula in a spreadsheet."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")

LISTS = ("list", "numbers")
"""Types of columns that hold lists."""
FIELDS = {
    "column": "string",
    "metric": "string",
    "statistic": "string",
    "target": "string",
    "slot": "string",
    "mean": "double",
    "spread": "double",
    "low": "double",
    "high": "double",
    "kind": "string",
    "label": "string",
    "n_patients": "int64",
    "n_seeds": "int64",
    "seeds": "list",
    "values": "numbers",
    "runs": "list",
    "commits": "list",
    "logs": "list",
    "missing_seeds": "list",
    "command": "string",
    "synthetic": "bool",
    "random_weights": "bool",
    "seen": "bool",
    "diverged_seeds": "list",
    "far_behind_seeds": "list",
    "baseline": "double",
    "not_better": "bool",
    "bold": "bool",
    "adjusted_p": "double",
    "published": "double",
    "published_spread": "double",
    "published_kind": "string",
    "verdict": "string",
    "verdict_text": "string",
    "notes": "list",
}
"""The columns of a line and their types, after ``table`` and the axes.

``values`` are those of each seed, in the order of ``seeds``. ``mean`` is the estimate of the
statistic, whichever it is. ``adjusted_p`` is of the comparison with the best. ``baseline`` is what
a constant prediction reaches.
"""


def records(table: Table) -> list[dict[str, Any]]:
    """Return one line for each value that the grid has cells for, then one for each interaction.

    ``kind`` of an interaction says that it is one, and ``mean`` is the difference of differences.

    Returns:
        The lines: ``table``, the axes of rows and columns, then ``FIELDS``.
    """
    lines = []
    for row in table.rows:
        for column, value in headed(table, row):
            if value.expected:
                fields = _record(table, row, column, value)
                ordered = {name: fields[name] for name in FIELDS}
                lines.append({"table": table.name, **_axes(table, row, column), **ordered})
    for place, column, fields in interaction_fields(table):
        ordered = {**_no_fields(), **fields}
        lines.append({"table": table.name, **_axes(table, place, column), **ordered})
    return lines


def _no_fields() -> dict[str, Any]:
    """Return the ``FIELDS`` of a line without any."""
    empty: dict[str, Any] = {}
    for name, kind in FIELDS.items():
        empty[name] = [] if kind in LISTS else None
    return empty


def csv_text(tables: Sequence[Table]) -> str:
    """Write the lines of all tables as CSV.

    An absent number is empty, and a list is joined by semicolons. A text that a spreadsheet would
    take for a formula begins with an apostrophe, as OWASP has it ("CSV Injection"). Characters that
    a terminal would obey are spelled.
    """
    file = io.StringIO()
    columns = names(tables)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_csv_text(name) for name in columns])
    for table in tables:
        for line in records(table):
            writer.writerow([_csv_field(line.get(name)) for name in columns])
    return file.getvalue()


def arrow(tables: Sequence[Table]) -> pa.Table:
    """Return the lines of all tables as Arrow, typed also where a column is empty."""
    import pyarrow as pa

    list_types = {"list": pa.list_(pa.string()), "numbers": pa.list_(pa.float64())}
    columns = []
    for name in names(tables):
        kind = FIELDS.get(name, "string")
        columns.append((name, list_types.get(kind) or pa.type_for_alias(kind)))
    lines = [line for table in tables for line in records(table)]
    return pa.Table.from_pylist(lines, pa.schema(columns))


def parquet(tables: Sequence[Table]) -> bytes:
    """Return the lines of all tables as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(arrow(tables), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def json_text(grid: str, tables: Sequence[Table]) -> str:
    """Write one JSON document: every number with the runs, seeds, commits and logs behind it."""
    document = {"grid": grid, "tables": [plain(table) for table in tables]}
    return harmless_json(indented_json(document)) + "\n"


def names(tables: Sequence[Table]) -> list[str]:
    """List the columns of a line: ``table``, the axes of all tables, ``FIELDS``."""
    axes: dict[str, None] = {}
    for table in tables:
        for row in table.rows:
            for column in table.columns:
                axes |= dict.fromkeys(_axes(table, row, column))
    return ["table", *axes, *FIELDS]


def plain(table: Table) -> dict[str, Any]:
    """Return the table as JSON data.

    A number that is not finite is the text ``nan``, ``inf`` or ``-inf``.
    """
    source = table.published
    text = table_text(table)
    return {
        "grid": table.grid,
        "table": table.name,
        "title": table.title,
        "kind": table.kind,
        "published": source.model_dump(mode="json") if source else None,
        "caption": text.caption,
        "about": text.notes,
        "rows": [_plain_row(table, row) for row in table.rows],
        "quoted": [_plain_quoted(table, row) for row in table.paper_rows],
        "interactions": plain_interactions(table),
    }


def _axes(table: Table, row: TableRow, column: ColumnDefinition) -> dict[str, str]:
    """Return axis -> label of a value.

    An axis that is called like another column of a line gets ``axis.`` before its name.
    """
    labels = {}
    places = table.coordinates(row, column)
    subgroup = table.subgroup(row, column)
    if subgroup:
        places[AXIS] = subgroup
    for axis, label in places.items():
        taken = axis in FIELDS or axis == "table"
        labels[f"axis.{axis}" if taken else axis] = label
    return labels


def _record(table: Table, row: TableRow, column: ColumnDefinition, value: Value) -> dict[str, Any]:
    """Return the ``FIELDS`` of a value."""
    sources = value.sources
    notes = _notes(value)
    if value.published:
        notes += value.published.contradictions
    return {
        "column": column.heading,
        "metric": column.metric or column.cost,
        "statistic": column.statistic,
        "target": column.target,
        "slot": column.slot,
        **_number_fields(value.number),
        "kind": table.kind,
        "seeds": [source.seed for source in sources],
        "values": [source.value for source in sources],
        "runs": [source.run for source in sources],
        "commits": [source.commit for source in sources],
        "logs": [log for source in sources for log in source.logs],
        "missing_seeds": [seed.seed for seed in value.missing],
        "command": fill_commands(table, value),
        "synthetic": value.synthetic,
        "random_weights": value.random_weights,
        "seen": value.seen,
        "diverged_seeds": [run.seed for run in value.diverged],
        "far_behind_seeds": [run.seed for run in value.far_behind],
        "baseline": value.baseline,
        "not_better": value.not_better,
        "bold": value.bold,
        "adjusted_p": value.standing.adjusted if value.standing else None,
        **_published_fields(value.published),
        "verdict": value.verdict.outcome if value.verdict else "",
        "verdict_text": value.verdict.text if value.verdict else "",
        "notes": notes,
    }


def _number_fields(number: Estimate | None) -> dict[str, Any]:
    """Return the fields of a line that say what a value is."""
    if number is None:
        numbers = dict.fromkeys(("mean", "spread", "low", "high"))
        return {**numbers, "label": "", "n_patients": 0, "n_seeds": 0}
    return {
        "mean": number.estimate,
        "spread": number.spread,
        "low": number.low,
        "high": number.high,
        "label": number.label,
        "n_patients": number.patients,
        "n_seeds": number.seeds,
    }


def _published_fields(published: PublishedNumber | None) -> dict[str, Any]:
    """Return the fields of a line that say what the paper has."""
    if published is None:
        return {"published": None, "published_spread": None, "published_kind": ""}
    return {
        "published": published.value,
        "published_spread": published.spread,
        "published_kind": published.kind,
    }


def _notes(value: Value) -> list[str]:
    """Return what is unusual about a value."""
    notes = list(value.notes)
    if value.refused:
        notes.append(value.refused)
    return notes


def _csv_field(field: Any) -> str:
    """Spell a field of a line for CSV."""
    if isinstance(field, list):
        return ";".join(_csv_field(item) for item in field)
    if isinstance(field, bool):
        return str(field).lower()
    if field is None:
        return ""
    if isinstance(field, float):
        return repr(field)
    if isinstance(field, str):
        return _csv_text(field)
    return str(field)


def _csv_text(text: str) -> str:
    """Spell a text so that no spreadsheet computes it. A text that is a number stays one.

    A spreadsheet of a language that writes decimals with a comma begins a new field at a semicolon.
    """
    return ";".join(_csv_part(part) for part in text.split(";"))


def _csv_part(text: str) -> str:
    """Spell a text without semicolons so that no spreadsheet computes it."""
    is_formula = FORMULA.match(text) is not None
    text = harmless(text, kept="")
    if not is_formula or text == ABSENT or NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def _plain_row(table: Table, row: TableRow) -> dict[str, Any]:
    """Return a row as JSON data. A place without a cell is null."""
    values: dict[str, Any] = {}
    for column, value in headed(table, row):
        values[column.heading] = None
        if value.expected:
            command = fill_commands(table, value)
            values[column.heading] = _plain_value(value, command)
    return {"labels": dict(zip(table.axes, row.labels, strict=True)), "values": values}


def _plain_quoted(table: Table, row: TableRow) -> dict[str, Any]:
    """Return a row of the paper that the grid has no cells for as JSON data."""
    published = {}
    for column, value in headed(table, row):
        published[column.heading] = _plain_published(value.published)
    return {"labels": dict(zip(table.axes, row.labels, strict=True)), "published": published}


def _plain_value(value: Value, command: str) -> dict[str, Any]:
    """Return a value as JSON data.

    Args:
        value: the value.
        command: what to type to fill what it lacks. Empty for a complete one.
    """
    fields = {
        **_plain_number(value.number),
        "seeds": list(value.seeds),
        "cells": list(value.cells),
        "runs": list(value.runs),
        "sources": [_plain_source(source) for source in value.sources],
        "synthetic": value.synthetic,
        "random_weights": value.random_weights,
        "seen": value.seen,
        "missing": [_plain_missing(seed) for seed in value.missing],
        "notes": _notes(value),
        "diverged": [_plain_diverged(run) for run in value.diverged],
        "far_behind": [_plain_far_behind(run) for run in value.far_behind],
        "baseline": finite(value.baseline),
        "not_better": value.not_better,
        "bold": value.bold,
        "against_the_best": _plain_comparison(value),
        "command": command or None,
        "published": _plain_published(value.published),
        "verdict": _plain_verdict(value.verdict),
    }
    if value.standing and value.standing.reason:
        fields["reason"] = value.standing.reason
    return fields


def _plain_number(number: Estimate | None) -> dict[str, Any]:
    """Return the fields of a value that say what it is, as JSON data."""
    if number is None:
        numbers = dict.fromkeys(("mean", "spread", "low", "high"))
        return {**numbers, "label": "", "patients": 0}
    return {
        "mean": finite(number.estimate),
        "spread": finite(number.spread),
        "low": finite(number.low),
        "high": finite(number.high),
        "label": number.label,
        "patients": number.patients,
    }


def _plain_missing(seed: Missing) -> dict[str, Any]:
    """Return a seed without a number as JSON data."""
    return {
        "seed": seed.seed,
        "cell": seed.cell,
        "reason": seed.reason,
        "remedy": seed.remedy,
        "diverged": seed.diverged,
    }


def _plain_source(source: ValueSource) -> dict[str, Any]:
    """Return the run behind a number as JSON data."""
    return {**vars(source), "logs": list(source.logs), "value": finite(source.value)}


def _plain_diverged(run: DivergedRun) -> dict[str, Any]:
    """Return a diverged run as JSON data."""
    return {"seed": run.seed, "value": finite(run.value), "reason": run.reason}


def _plain_far_behind(run: FarBehindRun) -> dict[str, Any]:
    """Return a run that is far behind its best seed as JSON data."""
    return {"seed": run.seed, "value": finite(run.value), "best": finite(run.best)}


def _plain_comparison(value: Value) -> dict[str, Any] | None:
    """Return the comparison of the best of the column with a value as JSON data.

    Returns:
        The comparison, or None for the best itself and without a comparison. ``p`` and
        ``wilcoxon`` are of this comparison alone. ``false_with`` is the probability that the best
        is not better in truth (``grid.statistics.claims``).
    """
    if value.standing is None or value.standing.comparison is None:
        return None
    comparison = value.standing.comparison
    return {
        "best": comparison.first,
        "difference": finite(comparison.difference),
        "low": finite(comparison.low),
        "high": finite(comparison.high),
        "p": finite(comparison.p),
        "wilcoxon": finite(comparison.wilcoxon),
        "adjusted_p": finite(value.standing.adjusted),
        "adjusted_wilcoxon": finite(value.standing.adjusted_wilcoxon),
        "counts_seeds": comparison.crossed,
        "false_with": finite(claim_of(comparison).false),
        "variance": _plain_variance(comparison.uncertainty),
    }


def _plain_variance(uncertainty: Uncertainty) -> dict[str, float | str | None]:
    """Return what the variance of a difference is made of, with the degrees of freedom."""
    return {
        "patients": finite(uncertainty.patient_variance),
        "patients_df": finite(uncertainty.patient_df),
        "seeds": finite(uncertainty.seed_variance),
        "seeds_df": finite(uncertainty.seed_df),
    }


def _plain_published(published: PublishedNumber | None) -> dict[str, Any] | None:
    """Return a published number as JSON data."""
    if published is None:
        return None
    return {
        "value": published.value,
        "spread": published.spread,
        "kind": published.kind,
        "note": published.note,
        "contradictions": list(published.contradictions),
    }


def _plain_verdict(verdict: Verdict | None) -> Mapping[str, Any] | None:
    """Return the verdict on a published number as JSON data."""
    if verdict is None:
        return None
    return {"outcome": verdict.outcome, "text": verdict.text, "test_set": verdict.test_set}
