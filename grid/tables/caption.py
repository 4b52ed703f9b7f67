"""What the numbers of a table are: the kind of ±, over how many patients and seeds, on which kind of data; and what
the published numbers beside them are."""

from __future__ import annotations

from collections.abc import Iterable

from grid.statistics import OVER_PATIENTS
from grid.tables.definition import PublishedSource
from grid.tables.table import Table, Value

PHANTOM = "synthetic data (phantom)"
PAPER = "paper"
"""What marks a line with published numbers."""


def caption(table: Table) -> str:
    """The text below the table."""
    filled = [value for value in table.values if value.seeds]
    parts = [*_ours(table, filled)] if filled else ["No run was collected yet."]
    if table.published and any(value.published for value in table.values):
        parts += _theirs(table, table.published, any(value.synthetic for value in filled))
    return " ".join(filter(None, parts))


def count(numbers: Iterable[int], noun: str) -> str:
    """``24 patients``, ``1 seed``, ``2-3 seeds``."""
    text = span(numbers)
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def span(numbers: Iterable[int]) -> str:
    """``24``, ``2-3``, ``0`` for no number."""
    ordered = sorted(numbers) or [0]
    return "-".join(str(number) for number in dict.fromkeys((ordered[0], ordered[-1])))


def listed(texts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *rest, last = texts
    return f"{', '.join(rest)} and {last}" if rest else last


def _ours(table: Table, filled: list[Value]) -> list[str]:
    patients = count({value.number.patients for value in filled if value.number}, "patient")
    return [_spread(table.kind, patients, {len(value.seeds) for value in filled}), "Test split.", _synthetic(table)]


def _spread(kind: str, patients: str, seeds: set[int]) -> str:
    if kind == OVER_PATIENTS:
        within = "," if seeds == {1} else " within each seed, averaged over"
        return f"± is the standard deviation over {patients} (ddof 1){within} {count(seeds, 'seed')}."
    if seeds == {1}:
        return f"Mean over {patients}; 1 seed has no ± over seeds."
    some = "; a row with 1 seed has no ±" if 1 in seeds else ""
    return f"± is the standard deviation over {count(seeds - {1}, 'seed')} (ddof 1) of the mean over {patients}{some}."


def _synthetic(table: Table) -> str:
    rows = [[value.synthetic for value in row.values if value.seeds] for row in table.rows]
    rows = [marks for marks in rows if marks]
    if all(all(marks) for marks in rows):
        return f"All numbers{' but the published ones' if table.published else ''} are from {PHANTOM}."
    marked = sum(any(marks) for marks in rows)
    return f"{marked} of {len(rows)} rows are from {PHANTOM}; see the notes." if marked else ""


def _theirs(table: Table, source: PublishedSource, synthetic: bool) -> list[str]:
    found = [value.published for value in table.values if value.published]
    name = f"table {source.table}" if source.table.isdigit() else source.table
    kinds = [f"± is the {kind}" if kind else "without ±" for kind in dict.fromkeys(number.kind for number in found)]
    notes = filter(None, dict.fromkeys(number.note for number in found))
    what = f"Lines that begin with '{PAPER}': {'; '.join([f'{source.paper}, {name}', *kinds, *notes])}."
    stand_ins = [f"{theirs} (beside {own})" for own, theirs in _stand_ins(table, source).items()]
    if stand_ins:
        return [what, f"They are of {listed(stand_ins)} on patients, so not comparable."]
    return [what, f"Not comparable with {PHANTOM}." if synthetic else ""]


def _stand_ins(table: Table, source: PublishedSource) -> dict[str, str]:
    """The table's own labels that stand in for others of the paper."""
    shown = {pair for place, _ in table.places for pair in place.items()}
    pairs = [(axis, own, theirs) for axis, labels in source.labels.items() for own, theirs in labels.items()]
    return {own: theirs for axis, own, theirs in pairs if (axis, own) in shown}
