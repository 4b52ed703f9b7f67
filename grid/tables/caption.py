"""What the numbers of a table are: the kind of ±, over how many patients and seeds, on which kind of data."""

from __future__ import annotations

from collections.abc import Iterable

from grid.statistics import OVER_PATIENTS
from grid.tables.table import Row, Table

PHANTOM = "synthetic data (phantom)"


def caption(table: Table) -> str:
    """One line below the table."""
    filled = [row for row in table.rows if row.seeds]
    if not filled:
        return "No run was collected yet."
    patients = count({number for row in filled for number in row.patients}, "patient")
    seeds = {len(row.seeds) for row in filled}
    parts = [_spread(table.kind, patients, seeds), "Test split.", _synthetic(filled)]
    return " ".join(filter(None, parts))


def count(numbers: Iterable[int], noun: str) -> str:
    """``24 patients``, ``1 seed``, ``2-3 seeds``."""
    text = span(numbers)
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def span(numbers: Iterable[int]) -> str:
    """``24``, ``2-3``, ``0`` for no number."""
    ordered = sorted(numbers) or [0]
    return "-".join(str(number) for number in dict.fromkeys((ordered[0], ordered[-1])))


def _spread(kind: str, patients: str, seeds: set[int]) -> str:
    if kind == OVER_PATIENTS:
        within = "," if seeds == {1} else " within each seed, averaged over"
        return f"± is the standard deviation over {patients} (ddof 1){within} {count(seeds, 'seed')}."
    if seeds == {1}:
        return f"Mean over {patients}; 1 seed has no ± over seeds."
    some = "; a row with 1 seed has no ±" if 1 in seeds else ""
    return f"± is the standard deviation over {count(seeds - {1}, 'seed')} (ddof 1) of the mean over {patients}{some}."


def _synthetic(filled: list[Row]) -> str:
    marked = sum(row.synthetic for row in filled)
    if marked in (0, len(filled)):
        return f"All numbers are from {PHANTOM}." if marked else ""
    return f"{marked} of {len(filled)} rows are from {PHANTOM}; see the notes."
