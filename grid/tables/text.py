"""What every rendering of a table says in the same words: numbers, marks, the paper's lines, notes with their places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grid.statistics import FEWEST_SEEDS
from grid.tables.definition import ColumnDefinition
from grid.tables.judge import NOT_BETTER
from grid.tables.missing import baseline_command
from grid.tables.table import ABSENT, Row, Table, Value
from grid.tables.undecided import undecided

MISSING = "missing"
DIVERGED = "diverged"
REFUSED = "not averaged"
PHANTOM = "synthetic data (phantom)"
DENIED = f"not bold by patients alone (under {FEWEST_SEEDS} seeds on one side): another training might not be worse than the best"
PAPER = "paper"
"""What marks a line with published numbers."""

INCOMPLETE_MARK, DIVERGED_MARK, NOT_BETTER_MARK, PATIENTS_MARK = "§", "†", "¶", "‡"
"""Signs that mean nothing in Markdown, so that they can stand behind bold text."""


@dataclass(frozen=True)
class Note:
    """A sentence on some values; ``place`` names them, "" for all of the table."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


def number(value: Value, digits: int) -> str:
    """``91.20 ± 3.10``, ``missing``, ``diverged`` where all seeds did, ``not averaged``, or ``-`` for a place without a cell."""
    if value.number is not None:
        return value.number.text(digits)
    if value.refused or not value.expected:
        return REFUSED if value.refused else ABSENT
    return DIVERGED if all(item.diverged for item in value.missing) else MISSING


def published(value: Value, digits: int) -> str:
    """The paper's number; ``-`` without one."""
    if value.published is None:
        return ABSENT
    spread = value.published.spread
    return f"{value.published.value:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")


def marks(table: Table, value: Value) -> str:
    """``§`` incomplete, ``†`` with a diverged run, ``¶`` not better than the mean contour, ``‡`` an interval over patients only among others."""
    found = [
        (INCOMPLETE_MARK, value.incomplete),
        (DIVERGED_MARK, bool(value.diverged)),
        (NOT_BETTER_MARK, value.not_better),
        (PATIENTS_MARK, bool(value.number and value.number.label) and labels_differ(table)),
    ]
    return "".join(mark for mark, there in found if there)


def labels_differ(table: Table) -> bool:
    """Whether some numbers have a label that sets them apart from the others."""
    return len({value.number.label for value in table.values if value.number}) > 1


def seeds_counted(values: Iterable[Value]) -> set[bool]:
    """Whether the comparisons with the best count seeds: all of them, none, or some."""
    return {value.standing.comparison.crossed for value in values if value.standing and value.standing.comparison}


def has_paper(row: Row) -> bool:
    """Whether the paper has a number for the row."""
    return any(value.published for value in row.values)


def paper_labels(table: Table, row: Row) -> list[str]:
    """``paper`` in the first column; and the paper's labels where ours stand in for others."""
    source = table.published
    pairs = zip(table.axes, row.labels, strict=True)
    theirs = [(own, source.label(axis, own) if source else own) for axis, own in pairs]
    first, *rest = ["" if own == label else label for own, label in theirs]
    return [f"{PAPER}: {first}" if first else PAPER, *rest]


def quoted_labels(row: Row) -> list[str]:
    """The labels of a row of the paper alone."""
    return [f"{PAPER}: {row.labels[0]}", *row.labels[1:]]


def one_outcome(table: Table) -> bool:
    """Whether the verdict on all published numbers is the same for the same reason, so that once is enough."""
    verdicts = [value.verdict for value in table.values if value.verdict]
    return bool(verdicts) and all(verdict.outcome == "not comparable" for verdict in verdicts)


def notes(table: Table) -> list[Note]:
    """What is unusual about values, each once for all places that it holds for."""
    mixed = not all(value.synthetic for value in table.values if value.seeds)
    denied = {False} if len(seeds_counted(table.values)) > 1 else set()
    found: dict[str, list[tuple[int, int]]] = {}
    for row, own in enumerate(table.rows):
        for column, value in enumerate(own.values):
            texts = [*value.notes, *([value.refused] if value.refused else []), *([PHANTOM] if value.synthetic and mixed else [])]
            texts += value.number.notes if value.number else ()
            texts += [value.standing.reason] if value.number and value.standing and value.standing.reason else []
            texts += [DENIED] if not value.bold and denied & seeds_counted([value]) else []
            for text in texts:
                found.setdefault(text, []).append((row, column))
    placed = [note for text, places in found.items() for note in _placed(table, places, text)]
    return [*_unheld(table), *placed, *(Note(one.places, one.text) for one in undecided(table))]


def _unheld(table: Table) -> list[Note]:
    if not table.unheld:
        return []
    which = ", ".join(f"{axis} {'/'.join(labels)}" for axis, labels in table.unheld.items())
    what = f"the baseline ({which}) has no run, so what is {NOT_BETTER} is not told"
    return [Note("", f"{what}; type: `{baseline_command(table)}`")]


def paper_notes(table: Table) -> list[Note]:
    """Where the paper contradicts itself about its numbers."""
    found: dict[str, list[tuple[int, int]]] = {}
    for row, own in enumerate(table.rows):
        for column, value in enumerate(own.values):
            for text in value.published.contradictions if value.published else ():
                found.setdefault(text, []).append((row, column))
    everywhere = sum(value.published is not None for value in table.values)
    every = [Note("", text) for text, places in found.items() if len(places) == everywhere]
    some = [(text, places) for text, places in found.items() if len(places) < everywhere]
    placed = [note for text, places in some for note in _placed(table, places, text)]
    return [*every, *_quoted_notes(table, {note.text for note in every}), *placed]


def _quoted_notes(table: Table, known: set[str]) -> list[Note]:
    """On rows of the paper alone: how their numbers were obtained, and contradictions."""
    found = []
    for row in table.quoted:
        numbers = [value.published for value in row.values if value.published]
        texts = dict.fromkeys(text for number in numbers for text in (number.note, *number.contradictions) if text and text not in known)
        found += [Note(f"{PAPER}: {row.labels[0]}", text) for text in texts]
    return found

def verdict_notes(table: Table) -> list[Note]:
    """The published numbers that differ from ours, with the arithmetic."""
    pairs = [(row, column, value) for row in table.rows for column, value in headed(table, row)]
    return [
        Note(", ".join([*row.labels, column.heading]), value.verdict.text)
        for row, column, value in pairs
        if value.verdict and value.verdict.outcome == "differs"
    ]


def _placed(table: Table, places: Sequence[tuple[int, int]], text: str) -> list[Note]:
    """One note for all rows that it holds for in the same columns."""
    columns: dict[int, tuple[int, ...]] = {}
    for row, column in places:
        columns[row] = (*columns.get(row, ()), column)
    groups: dict[str, list[int]] = {}
    for row, own in columns.items():
        expected = [at for at, value in enumerate(table.rows[row].values) if value.expected]
        words = ", ".join(table.columns[at].heading for at in own) if len(own) < len(expected) else ""
        groups.setdefault(words, []).append(row)
    found = []
    for words, rows in groups.items():
        whole = len(rows) == len(table.rows) and len(rows) > 1
        where = "" if whole and words else "; ".join(", ".join(table.rows[row].labels) for row in rows)
        found.append(Note(", ".join(filter(None, (where, words))), text))
    return found


def headed(table: Table, row: Row) -> Iterable[tuple[ColumnDefinition, Value]]:
    """The columns of a row with its values."""
    return zip(table.columns, row.values, strict=True)
