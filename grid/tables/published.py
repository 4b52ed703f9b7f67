"""Published numbers: ``grid/published/PAPER.csv``, and ``PAPER.words.csv``, which maps its words to our labels.

A row of the words file says: in ``column``, ``word`` means ``label`` on ``axis`` (``*``: any word is its own label).
``metric`` and ``slot`` count as axes. A field may hold several words, separated by ``", "``; an empty one says nothing,
so it fits any label. Columns that the words file does not name tell no numbers apart.

``PAPER.notes.yaml`` says what to know about them: ``patients``, how many the test set has where the row does not say so itself;
``patients_sha256`` where their ids are known; and ``notes`` on where the paper contradicts itself, each for the rows whose
columns hold the words of its ``where``.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from echolm.config import explain_validation, load_yaml
from echolm.errors import EchoLMError
from echolm.registry import Frozen, suggest
from grid.statistics.published import patients_of
from grid.tables.definition import ColumnDefinition, PublishedSource

FOLDER = Path(str(resources.files("grid") / "published"))
WORDS = ".words.csv"
NOTES = ".notes.yaml"
ANY = "*"


@dataclass(frozen=True)
class Published:
    """A number as printed in a paper. ``kind`` says what its ± is ("" without one), ``note`` how it was obtained;
    ``labels`` are its place, axis -> label. ``data``: the data set; ``patients``: how many of it the number is of (0:
    not known), and ``patients_sha256``, which (``digest`` of their ids; "": not known). ``contradictions``: what else the paper says about it."""

    value: float
    spread: float | None
    kind: str
    note: str
    labels: Mapping[str, str]
    data: str = ""
    patients: int = 0
    patients_sha256: str = ""
    contradictions: tuple[str, ...] = ()

    def fits(self, place: Mapping[str, str]) -> bool:
        """Whether ``place`` (axis -> label) has all of this number's labels."""
        return all(place.get(axis) == label for axis, label in self.labels.items())

    def same_test_set(self, data: Collection[str], patients: Collection[str]) -> tuple[bool, str]:
        """Whether a value of these ``data`` and test ``patients`` (ids) is of the same test set, and what is known of that."""
        if set(data) != {self.data}:
            return False, "another data set"
        if self.patients_sha256:
            same = digest(patients) == self.patients_sha256
            return same, "the same patients, by their ids" if same else "another test set, by the ids of its patients"
        if not self.patients:
            return False, "another test set, as far as is known"
        if self.patients != len(patients):
            return False, f"another test set ({self.patients:,} patients, ours {len(patients):,})"
        return True, f"same number of patients ({self.patients:,})"


def digest(patients: Iterable[str]) -> str:
    """SHA-256 of the ids of patients, sorted, a line each."""
    return hashlib.sha256("\n".join(sorted(patients)).encode()).hexdigest()


class Note(Frozen):
    """A note on the numbers whose row holds the words of ``where`` (column -> word)."""

    note: str
    where: dict[str, str] = {}

    def fits(self, row: Mapping[str, str]) -> bool:
        """Whether it is about this row of the CSV file."""
        return all(word in row[column].split(", ") for column, word in self.where.items())


class Notes(Frozen):
    """The content of ``PAPER.notes.yaml``."""

    patients: int = 0
    patients_sha256: str = ""
    notes: tuple[Note, ...] = ()


def published_papers() -> list[str]:
    """The papers whose numbers can stand beside a table."""
    return sorted(path.name.removesuffix(WORDS) for path in FOLDER.glob(f"*{WORDS}"))


def published_numbers(source: PublishedSource) -> list[Published]:
    """The numbers of one table of a paper; EchoLMError for a paper or a table that is not there."""
    if source.paper not in (papers := published_papers()):
        raise EchoLMError(f"published.paper: no numbers of {source.paper!r}; {suggest(source.paper, papers)}")
    tables = _read(source.paper)
    if source.table not in tables:
        hint = suggest(source.table, tables)
        raise EchoLMError(f"published.table: {source.paper} has no table {source.table!r}; {hint}")
    return tables[source.table]


def find(
    numbers: list[Published], source: PublishedSource, column: ColumnDefinition, coordinates: Mapping[str, str]
) -> Published | None:
    """The published number of a cell at ``coordinates`` in ``column``; EchoLMError when several fit."""
    place = {axis: source.label(axis, label) for axis, label in coordinates.items()}
    place |= {"metric": column.quantity, "slot": column.slot}
    found = [number for number in numbers if number.fits(place)]
    if len(found) > 1:
        at = " ".join(f"{axis}={label}" for axis, label in place.items())
        raise EchoLMError(f"{source.paper}.csv: table {source.table}: {len(found)} rows fit {at}")
    return found[0] if found else None


def alone(
    numbers: list[Published], source: PublishedSource, axes: Sequence[str], columns: Sequence[ColumnDefinition]
) -> list[tuple[tuple[str, ...], tuple[Published | None, ...]]]:
    """The rows that ``source.alone`` names: labels on ``axes`` ("" where the paper has none), and the number of each column.

    EchoLMError when the table has no number with these labels.
    """
    rows = []
    for wanted in source.alone:
        found = [number for number in numbers if wanted.items() <= number.labels.items()]
        if not found:
            at = " ".join(f"{axis}={label}" for axis, label in wanted.items())
            known = {number.labels[axis] for number in numbers for axis in wanted if axis in number.labels}
            raise EchoLMError(f"published.alone: table {source.table} of {source.paper} has no number at {at}; {suggest(at.rpartition('=')[2], known)}")
        places = [{"metric": column.quantity, "slot": column.slot, **column.where} for column in columns]
        own = [next((number for number in found if number.fits({**number.labels, **place})), None) for place in places]
        rows.append((tuple(found[0].labels.get(axis, "") for axis in axes), tuple(own)))
    return rows


@cache
def _read(paper: str) -> dict[str, list[Published]]:
    """Table -> its numbers."""
    words, notes = _words(paper), read_notes(paper)
    tables: dict[str, list[Published]] = {}
    with open(FOLDER / f"{paper}.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            tables.setdefault(row["table"], []).append(_number(row, words, notes, paper))
    return tables


def read_notes(paper: str) -> Notes:
    """What to know about a paper's numbers; nothing without a file."""
    path = FOLDER / f"{paper}{NOTES}"
    if not path.exists():
        return Notes()
    try:
        return Notes.model_validate(load_yaml(path))
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None


def _number(row: dict[str, str], words: dict[str, dict[str, tuple[str, str]]], notes: Notes, paper: str) -> Published:
    labels = {}
    for column, known in words.items():
        for word in filter(None, row[column].split(", ")):
            if word not in known and ANY not in known:
                what = f"{paper}.csv: table {row['table']}: {column} is {word!r}"
                raise EchoLMError(f"{what}, which {paper}{WORDS} does not have; {suggest(word, known)}")
            axis, label = known.get(word) or known[ANY]
            labels[axis] = word if label == ANY else label
    spread = float(row["spread"]) if row["spread"] else None
    contradictions = tuple(note.note for note in notes.notes if note.fits(row))
    facts = row.get("dataset", ""), patients_of(row["spread_kind"]) or notes.patients, notes.patients_sha256, contradictions
    return Published(float(row["value"]), spread, row["spread_kind"], row["note"], labels, *facts)


def _words(paper: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Column -> word -> (axis, label)."""
    words: dict[str, dict[str, tuple[str, str]]] = {}
    with open(FOLDER / f"{paper}{WORDS}", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            words.setdefault(row["column"], {})[row["word"]] = row["axis"], row["label"]
    return words
