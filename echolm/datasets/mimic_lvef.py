"""LVEF of the studies of MIMIC-IV-ECHO, from its table of structured measurements (version 1.0).

What is assumed, since the table could not be looked at when this was written:

- It is long: a row has ``measurement_id``, ``measurement`` (a code such as ``lvef``), ``result``
  and perhaps ``unit``. A table with a column of one of these codes, and a row a study, is read too.
- ``echo-study-list.csv`` names the ``measurement_id`` of a study, made within two days of it. A
  table that has ``study_id`` itself is matched by that. Version 0.1 has neither: no study has LVEF.
- Results are percent. ``lvef`` is what the cardiologist reported, or the lower end of a range whose
  upper end is ``lvef_upper``. The upper end is not used: without the lower one it is often 100.
- Measurements made under stress (``stress_lvef``) and at rest before stress are not used.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.datasets.csv_columns import Columns, read_chosen, read_columns, read_header

if TYPE_CHECKING:
    import pyarrow as pa

STUDIES = "echo-study-list.csv"
TABLES = (
    "structured-measurement.csv.gz",
    "structured-measurement.csv",
    "structured_measurement.csv.gz",
    "structured_measurement.csv",
)
"""Names of the table of measurements. The first that is there is read."""
LVEF = ("lvef", "biplane_lvef", "lvef_3d")
"""Codes of LVEF. The first that a study has is taken: reported, biplane, three-dimensional."""
WIDE = (*LVEF, "ef", "ejection_fraction")
"""Names of a column of LVEF, in upper or lower case."""
CODE, RESULT, UNIT = "measurement", "result", "unit"
PERCENT = ("", "%", "percent")
MEASUREMENT, STUDY = "measurement_id", "study_id"
Results = dict[str, dict[str, set[float]]]
"""Key of a study or measurement -> code -> its results in percent."""


@dataclass(frozen=True, eq=False)
class Lvef:
    """What was found.

    Attributes:
        of_study: study -> percent.
        codes: code -> how many studies have their LVEF by it.
        unusable: results that are no percentage above 0, or contradict each other.
        table: name of the table that was read, or ''.
        lacking: why no study has any, or ''.
    """

    of_study: dict[str, float] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    unusable: int = 0
    table: str = ""
    lacking: str = ""


def read_lvef(root: Path) -> Lvef:
    """Read the LVEF of studies. That a table or a column is not there is told, and no error.

    Raises:
        EchoLMError: a table that is there is damaged or cannot be read.
    """
    present = [name for name in TABLES if (root / name).exists()]
    if not present:
        return Lvef(lacking=f"there is no {TABLES[0]} (it is of version 1.0)")
    table = root / present[0]
    header = read_header(table)
    key = _key(root, header)
    if not key:
        return Lvef(
            table=table.name,
            lacking=f"{table.name} has no {STUDY}, and {STUDIES} no {MEASUREMENT} to match it by "
            "(version 0.1 has none)",
        )
    results, unusable = _read_results(table, header, key)
    if not results:
        return Lvef(
            table=table.name,
            unusable=unusable,
            lacking=f"{table.name} has LVEF neither as {CODE} {', '.join(LVEF)} with a {RESULT} "
            f"nor as a column {', '.join(WIDE)}",
        )
    return _match(root, table, key, results, unusable)


def _key(root: Path, header: list[str]) -> str:
    """Return the column by which measurements and studies are matched, or ''."""
    if STUDY in header:
        return STUDY
    studies = root / STUDIES
    if MEASUREMENT in header and studies.exists() and MEASUREMENT in read_header(studies):
        return MEASUREMENT
    return ""


def _read_results(table: Path, header: list[str], key: str) -> tuple[Results, int]:
    """Return the results of each study or measurement, and how many are no percentage."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if CODE in header and RESULT in header:
        names = pa.array(LVEF)

        def chosen(block: pa.RecordBatch) -> pa.Array:
            return pc.is_in(pc.utf8_lower(block[CODE]), names)

        rows = read_chosen(table, (key, CODE, RESULT), (UNIT,), chosen)
        return _collect(rows, key, [code.lower() for code in rows.texts(CODE)], RESULT)
    for column in header:
        if column.lower() in WIDE:
            rows = read_columns(table, (key, column))
            return _collect(rows, key, [column.lower()] * len(rows.table), column)
    return {}, 0


def _collect(rows: Columns, key: str, codes: list[str], column: str) -> tuple[Results, int]:
    results: Results = defaultdict(lambda: defaultdict(set))
    unusable = 0
    cells = zip(rows.texts(key), codes, rows.texts(column), rows.texts(UNIT), strict=True)
    for name, code, text, unit in cells:
        if not name or not text:
            continue
        percent = _percent(text, unit)
        if percent is None:
            unusable += 1
        else:
            results[_number(name)][code].add(percent)
    return results, unusable


def _percent(text: str, unit: str) -> float | None:
    """Return a percentage above 0, else None."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    if unit.lower() not in PERCENT or not math.isfinite(value) or not 0 < value <= 100:
        return None
    return value


def _number(text: str) -> str:
    """Return the number of a study or measurement, which spreadsheets write as ``12.0``."""
    return text.removesuffix(".0")


def _match(root: Path, table: Path, key: str, results: Results, unusable: int) -> Lvef:
    """Give the studies their LVEF."""
    keys_of_study: dict[str, list[str]] = {name: [name] for name in results}
    if key == MEASUREMENT:
        keys_of_study = defaultdict(list)
        studies = read_columns(root / STUDIES, (STUDY, MEASUREMENT))
        for study, name in zip(studies.texts(STUDY), studies.texts(MEASUREMENT), strict=True):
            keys_of_study[study].append(_number(name))
    of_study = {}
    codes: Counter[str] = Counter()
    for study, names in keys_of_study.items():
        results_of_study = next((results[name] for name in names if name in results), {})
        for code in WIDE:
            values = results_of_study.get(code, ())
            if len(values) > 1:
                unusable += len(values)
            elif values:
                of_study[study] = next(iter(values))
                codes[code] += 1
                break
    lacking = ""
    if not of_study:
        lacking = f"no study is one of those that {table.name} has LVEF of"
    return Lvef(of_study, dict(codes), unusable, table.name, lacking)
