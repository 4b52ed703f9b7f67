"""Tables that were printed before, made again.

They are made from the JSON beside them, or from what is kept of the collected files. ``python
tests/grid/tables/stored_tables.py WORKSPACE/results/GRID results/GRID/collected`` keeps what tables
are made of: a few columns of the runs, and of their predictions the test rows without what tables
do not read (5 kB a run). With ``--packed`` they are in one file (0.2 kB a run), which ``unpack``
takes apart again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from grid.definition.tables import ColumnDefinition, TableGrid
from grid.results.schema import COST_COLUMNS
from grid.statistics import (
    Comparison,
    DivergedRun,
    Estimate,
    FarBehindRun,
    Significance,
    Uncertainty,
    Verdict,
)
from grid.tables.build import build
from grid.tables.missing import conditions, grid_command, narrowed
from grid.tables.table import Missing, Table, TableRow, Value, ValueSource

RUNS = (
    "run_id",
    "fingerprint",
    "cell",
    "commit",
    "synthetic",
    "end",
    "problem",
    "params.data.name",
)
CONSTANTS = "constant"
PREDICTIONS = "predictions"
PACKED = "packed"
FILE = "file"
"""The column of packed predictions that names the file they come from."""
OF_CONSTANTS = ("data", "params.task", "params.data", "params.clip")
"""Beginnings of columns of runs by which their constant prediction is found."""
OF_PACKED = ("params", "weights", "protocols", "arithmetic", *COST_COLUMNS)
"""Beginnings of further columns of runs whose predictions are packed: what tables say of a run."""
UNREAD = ("score", "study")
"""Columns of predictions that tables do not read."""
COORDINATES = ("truth", "prediction", *UNREAD)
"""Those of landmarks, which have columns of their own metrics."""


def rebuilt(grid: TableGrid, stored: Mapping[str, Any]) -> Table:
    """A table from its JSON.

    Titles, rows, columns and published numbers are those that the grid and the code have now. Only
    what needs the runs is taken from ``stored``.
    """
    bare = build(grid, stored["table"], None, stored["kind"])
    rows = [_row(bare, row, stored) for row in bare.rows]
    return replace(bare, rows=tuple(rows))


def _row(table: Table, row: TableRow, stored: Mapping[str, Any]) -> TableRow:
    labels = dict(zip(table.axes, row.labels, strict=True))
    [facts] = [one["values"] for one in stored["rows"] if one["labels"] == labels]
    values = []
    for column, value in zip(table.columns, row.values, strict=True):
        if facts[column.heading]:
            value = _value(table, row, column, value, facts[column.heading])
        values.append(value)
    return TableRow(row.labels, tuple(values))


def _value(
    table: Table, row: TableRow, column: ColumnDefinition, bare: Value, facts: Mapping[str, Any]
) -> Value:
    notes = list(facts["notes"])
    number = standing = verdict = None
    refused = ""
    if facts["mean"] is None and facts["seeds"]:
        refused = notes.pop()
    if facts["mean"] is not None:
        number = _number(table, column, facts)
        if column.direction:
            standing = _standing(row, column, facts)
    if facts["verdict"]:
        stored = facts["verdict"]
        verdict = Verdict(stored["outcome"], stored["text"], test_set=stored["test_set"])
    diverged = []
    for one in facts["diverged"]:
        diverged.append(DivergedRun(one["seed"], float(one["value"]), one["reason"]))
    far_behind = []
    for one in facts["far_behind"]:
        far_behind.append(FarBehindRun(one["seed"], one["value"], one["best"]))
    return replace(
        bare,
        number=number,
        sources=tuple(_source(one) for one in facts["sources"]),
        missing=tuple(_missing(table, row, column, one) for one in facts["missing"]),
        synthetic=facts["synthetic"],
        notes=tuple(notes),
        standing=standing,
        diverged=tuple(diverged),
        far_behind=tuple(far_behind),
        verdict=verdict,
        refused=refused,
        baseline=facts["baseline"],
        not_better=facts["not_better"],
    )


def _number(table: Table, column: ColumnDefinition, facts: Mapping[str, Any]) -> Estimate:
    return Estimate(
        estimate=float(facts["mean"]),
        kind=table.kind,
        patients=facts["patients"],
        seeds=len(facts["seeds"]),
        spread=facts["spread"],
        low=facts["low"],
        high=facts["high"],
        label=facts["label"],
        bounds=column.bounds,
    )


def _source(facts: Mapping[str, Any]) -> ValueSource:
    value = None
    if facts["value"] is not None:
        value = float(facts["value"])
    return ValueSource(**{**facts, "logs": tuple(facts["logs"]), "value": value})


def _missing(
    table: Table, row: TableRow, column: ColumnDefinition, facts: Mapping[str, Any]
) -> Missing:
    command = None
    if facts["remedy"]:
        places = {axis: (label,) for axis, label in table.coordinates(row, column).items()}
        verb = grid_command(facts["remedy"], table.reference, table.place)
        command = narrowed(verb, conditions(table, places))
    return Missing(facts["seed"], facts["cell"], facts["reason"], command, facts["diverged"])


def _standing(row: TableRow, column: ColumnDefinition, facts: Mapping[str, Any]) -> Significance:
    reason = facts.get("reason", "")
    against = facts["against_the_best"]
    if against is None:
        return Significance(facts["bold"], best=facts["bold"], reason=reason)
    uncertainty = Uncertainty(
        estimate=against["difference"],
        draws=None,  # type: ignore[arg-type]
        patient_variance=against["variance"]["patients"],
        patient_df=_or_infinite(against["variance"]["patients_df"]),
        seed_variance=against["variance"]["seeds"],
        seed_df=_or_infinite(against["variance"]["seeds_df"]),
        crossed=against["counts_seeds"],
    )
    comparison = Comparison(
        first=against["best"],
        second=", ".join([*row.labels, *column.where.values()]),
        statistic=column.made().name,
        difference=against["difference"],
        low=against["low"],
        high=against["high"],
        p=against["p"],
        wilcoxon=against["wilcoxon"],
        patients=facts["patients"],
        seeds=(3, len(facts["seeds"])),
        uncertainty=uncertainty,
    )
    return Significance(
        bold=facts["bold"],
        comparison=comparison,
        adjusted=against["adjusted_p"],
        adjusted_wilcoxon=against["adjusted_wilcoxon"],
        reason=reason,
    )


def _or_infinite(number: float | str | None) -> float:
    return float("inf") if number is None else float(number)


def keep(results: Path, out: Path, packed: bool = False) -> None:
    """Copy what tables are made of, with all predictions in one file or each in its own."""
    out.mkdir(parents=True)
    columns = list(RUNS)
    begins: tuple[str, ...] = OF_PACKED if packed else ()
    if (results / CONSTANTS).is_dir():  # what tables hold values against where no cell is one
        shutil.copytree(results / CONSTANTS, out / CONSTANTS)
        begins += OF_CONSTANTS
    for name in pq.read_schema(results / "runs.parquet").names:
        if name.startswith(begins) and name not in RUNS:
            columns.append(name)
    runs = pq.read_table(results / "runs.parquet", columns=columns)
    pq.write_table(runs, out / "runs.parquet", compression="zstd")
    tests = {}
    for path in sorted((results / PREDICTIONS).glob("*.parquet")):
        tests[path.stem] = _test_rows(path, scores=packed)
    if packed:
        _pack(tests, out / PACKED)
        return
    (out / PREDICTIONS).mkdir()
    for name, rows in tests.items():
        pq.write_table(rows, out / PREDICTIONS / f"{name}.parquet", compression="zstd")


def unpack(kept: Path, results: Path) -> None:
    """Make a folder of collected files from what ``keep`` packed."""
    shutil.copytree(kept, results, ignore=shutil.ignore_patterns(PACKED))
    (results / PREDICTIONS).mkdir()
    for path in sorted((kept / PACKED).glob("*.parquet")):
        rows = pq.read_table(path)
        for name in pc.unique(rows[FILE]).to_pylist():
            of_file = rows.filter(pc.equal(rows[FILE], name)).drop_columns([FILE])
            pq.write_table(of_file, results / PREDICTIONS / f"{name}.parquet")


def _test_rows(path: Path, scores: bool) -> pa.Table:
    """Read what tables read of predictions, with the scores of classes or without."""
    names = pq.read_schema(path).names
    unread = set(COORDINATES if "dice" in names else UNREAD)
    if scores:
        unread.discard("score")
    rows = pq.read_table(path, columns=[name for name in names if name not in unread])
    return rows.filter(pc.equal(rows["split"], "test"))


def _pack(tests: Mapping[str, pa.Table], folder: Path) -> None:
    """Write predictions to one file for each set of columns."""
    of_columns: dict[tuple[str, ...], list[pa.Table]] = {}
    for name, rows in tests.items():
        marked = rows.append_column(FILE, pa.array([name] * len(rows)))
        of_columns.setdefault(tuple(rows.column_names), []).append(marked)
    folder.mkdir()
    for number, tables in enumerate(of_columns.values()):
        path = folder / f"{number}.parquet"
        pq.write_table(pa.concat_tables(tables), path, compression="zstd")


def is_close(one: Any, other: Any) -> bool:
    """Equal but for the last digits of numbers, which another numpy may sum in another order."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    return one == other or (isinstance(one, float) and one == pytest.approx(other, rel=1e-9))


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]), packed="--packed" in sys.argv)
