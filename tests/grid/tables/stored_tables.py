"""Tables that were printed before, made again: from the JSON beside them, or from what is kept of the collected files.

``python tests/grid/tables/stored_tables.py WORKSPACE/results/GRID results/GRID/collected`` keeps what tables are made of: a
few columns of the runs, and of their predictions the test rows without coordinates (5 kB a run).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from grid.statistics import Comparison, Diverged, Number, Standing, Uncertainty, Verdict
from grid.tables.build import build
from grid.tables.definition import ColumnDefinition, TableGrid
from grid.tables.table import Missing, Row, Source, Table, Value

RUNS = ("run_id", "fingerprint", "cell", "commit", "synthetic", "end", "problem", "params.data.name")


def rebuilt(grid: TableGrid, stored: Mapping[str, Any]) -> Table:
    """A table from its JSON. Titles, rows, columns and published numbers are those that the grid and the code have now; only what
    needs the runs is taken from ``stored``."""
    bare = build(grid, stored["table"], None, stored["kind"])
    rows = [_row(bare, row, stored) for row in bare.rows]
    return replace(bare, rows=tuple(rows))


def _row(table: Table, row: Row, stored: Mapping[str, Any]) -> Row:
    labels = dict(zip(table.axes, row.labels, strict=True))
    [own] = [one["values"] for one in stored["rows"] if one["labels"] == labels]
    pairs = list(zip(table.columns, row.values, strict=True))
    return Row(row.labels, tuple(_value(table, row, column, value, own[column.heading]) if own[column.heading] else value for column, value in pairs))


def _value(table: Table, row: Row, column: ColumnDefinition, bare: Value, own: Mapping[str, Any]) -> Value:
    ends = own["spread"], own["low"], own["high"]
    notes = list(own["notes"])
    refused = notes.pop() if own["mean"] is None and own["seeds"] else ""
    return replace(
        bare,
        number=None if own["mean"] is None else Number(float(own["mean"]), table.kind, own["patients"], len(own["seeds"]), *ends, own["label"]),
        sources=tuple(Source(**{**one, "logs": tuple(one["logs"]), "value": None if one["value"] is None else float(one["value"])}) for one in own["sources"]),
        missing=tuple(Missing(**one) for one in own["missing"]),
        synthetic=own["synthetic"],
        notes=tuple(notes),
        standing=_standing(row, column, own) if column.direction and own["mean"] is not None else None,
        diverged=tuple(Diverged(one["seed"], float(one["value"]), one["reason"]) for one in own["diverged"]),
        verdict=Verdict(own["verdict"]["outcome"], own["verdict"]["text"], test_set=own["verdict"]["test_set"]) if own["verdict"] else None,
        refused=refused,
        baseline=own["baseline"],
        not_better=own["not_better"],
    )


def _standing(row: Row, column: ColumnDefinition, own: Mapping[str, Any]) -> Standing:
    found, reason = own["against_the_best"], own.get("reason", "")
    if found is None:
        return Standing(own["bold"], best=own["bold"], reason=reason)
    numbers = [found[name] for name in ("difference", "low", "high", "p", "wilcoxon")]
    uncertainty = Uncertainty(found["difference"], None, 0, 0, 0, 0, found["counts_seeds"])  # type: ignore[arg-type]
    second = ", ".join([*row.labels, *column.where.values()])
    compared = Comparison(found["best"], second, column.made().name, *numbers, own["patients"], (3, len(own["seeds"])), uncertainty)
    return Standing(own["bold"], False, compared, found["adjusted_p"], found["adjusted_wilcoxon"], reason)


def keep(results: Path, out: Path) -> None:
    """Copy what tables are made of."""
    (out / "predictions").mkdir(parents=True)
    pq.write_table(pq.read_table(results / "runs.parquet", columns=list(RUNS)), out / "runs.parquet", compression="zstd")
    for path in sorted((results / "predictions").glob("*.parquet")):
        names = [field.name for field in pq.read_schema(path) if field.name not in ("truth", "prediction", "score", "study")]
        table = pq.read_table(path, columns=names)
        pq.write_table(table.filter(pc.equal(table["split"], "test")), out / "predictions" / path.name, compression="zstd")


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]))
