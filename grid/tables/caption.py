"""What the numbers of a table are: the kind of ±, over how many patients and seeds, on which kind of data, what is bold and
what marks mean; and what the published numbers beside them are."""

from __future__ import annotations

from collections.abc import Iterable

from grid.statistics import KINDS, RULE, bold_caption
from grid.tables.definition import PublishedSource
from grid.tables.judge import NOT_BETTER
from grid.tables.table import Table, Value
from grid.tables.text import (
    DIVERGED_MARK,
    INCOMPLETE_MARK,
    NOT_BETTER_MARK,
    PAPER,
    PATIENTS_MARK,
    PHANTOM,
    labels_differ,
    one_outcome,
    seeds_counted,
)  # fmt: skip


def caption(table: Table) -> str:
    """The text below the table."""
    return " ".join(sentences(table))


def sentences(table: Table) -> list[str]:
    """The sentences of the caption."""
    filled = [value for value in table.values if value.seeds]
    parts = [*_ours(table, filled)] if filled else ["No run was collected yet.", _diverged(table)]
    if table.published and any(value.published for value in table.values):
        parts += _theirs(table, table.published, any(value.synthetic for value in filled))
        parts += _verdicts(table)
    return [part for part in parts if part]


def count(numbers: Iterable[int], noun: str) -> str:
    """``1,264 patients``, ``1 seed``, ``2-3 seeds``."""
    text = span(numbers)
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def span(numbers: Iterable[int]) -> str:
    """``1,264``, ``2-3``, ``0`` for no number."""
    ordered = sorted(numbers) or [0]
    return "-".join(f"{number:,}" for number in dict.fromkeys((ordered[0], ordered[-1])))


def listed(texts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *rest, last = texts
    return f"{', '.join(rest)} and {last}" if rest else last


def _ours(table: Table, filled: list[Value]) -> list[str]:
    numbers = [value.number for value in filled if value.number]
    patients, seeds = ({getattr(number, name) for number in numbers} for name in ("patients", "seeds"))
    kind = KINDS[table.kind].caption(count(patients, "patient"), count(seeds, "seed")) if numbers else ""
    single = "A value with 1 seed has no ±." if table.kind == "std-over-seeds" and 1 in seeds and len(seeds) > 1 else ""
    return [kind, single, "Test split.", _synthetic(table), _bold(filled), *_marks(table, filled)]


def _bold(filled: list[Value]) -> str:
    if not any(value.bold for value in filled):
        return ""
    return bold_caption(seeds_counted(filled))


def _marks(table: Table, filled: list[Value]) -> list[str]:
    return [
        f"{INCOMPLETE_MARK} some seeds are missing." if any(value.incomplete for value in filled) else "",
        _diverged(table),
        f"{NOT_BETTER_MARK} {NOT_BETTER} of the training data, which looks at no image." if any(value.not_better for value in filled) else "",
        f"{PATIENTS_MARK} interval over patients only." if labels_differ(table) else "",
    ]


def _diverged(table: Table) -> str:
    diverged = any(value.diverged for value in table.values)
    return f"{DIVERGED_MARK} a run among its seeds diverged, so it is never bold; see the notes." if diverged else ""


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


def _verdicts(table: Table) -> list[str]:
    """The rule, where it was used."""
    found = [value.verdict for value in table.values if value.verdict]
    if not found or one_outcome(table):
        return []
    known = dict.fromkeys(verdict.test_set for verdict in found if verdict.test_set)
    sets = f" Their test set beside ours: {'; '.join(known)}." if known else ""
    return [f"Beside each published number stands whether it was reproduced. {RULE}{sets}"]


def _stand_ins(table: Table, source: PublishedSource) -> dict[str, str]:
    """The table's own labels that stand in for others of the paper."""
    shown = {pair for place, _ in table.places for pair in place.items()}
    pairs = [(axis, own, theirs) for axis, labels in source.labels.items() for own, theirs in labels.items()]
    return {own: theirs for axis, own, theirs in pairs if (axis, own) in shown}
