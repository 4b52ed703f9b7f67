"""Published numbers: ``grid/published/PAPER.csv``.

``PAPER.words.csv`` maps its words to our labels. A row of the words file says: in ``column``,
``word`` means ``label`` on ``axis`` (``*``: any word is its own label). ``metric`` and ``slot``
count as axes. A field may hold several words, separated by ``", "``. An empty one says nothing, so
it fits any label, unless the words file has the empty word of its column. Columns that the words
file does not name tell no numbers apart.

``PAPER.notes.yaml`` says what to know about them. ``patients`` is how many the test set has where
the row does not say so itself. ``patients_sha256`` is there where their ids are known. Both may be
given for each data set (``patients: {camus: 50}``), where a paper has several. ``notes`` say where
the paper contradicts itself, each for the rows whose columns hold the words of its ``where``.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from echolm.errors import EchoLMError
from echolm.registry import Frozen
from echolm.text import suggest
from echolm.yaml_files import explain_validation, load_yaml
from grid.definition.tables import ColumnDefinition, PublishedSource
from grid.statistics.published import patients_of

FOLDER = Path(str(resources.files("grid") / "published"))
WORDS = ".words.csv"
NOTES = ".notes.yaml"
ANY = "*"
T = TypeVar("T", int, str)


@dataclass(frozen=True)
class PublishedNumber:
    """A number as printed in a paper.

    Attributes:
        value: as printed.
        spread: what stands after its ±.
        kind: what that is. Empty without one.
        note: how the number was obtained.
        labels: its place, axis -> label.
        data: the data set.
        patients: how many patients of it the number is of. 0 when that is not known.
        patients_sha256: which they are (``digest`` of their ids). Empty when that is not known.
        contradictions: what else the paper says about it.
    """

    value: float
    spread: float | None
    kind: str
    note: str
    labels: Mapping[str, str]
    data: str = ""
    patients: int = 0
    patients_sha256: str = ""
    contradictions: tuple[str, ...] = ()

    def fits(self, coordinates: Mapping[str, str]) -> bool:
        """Return whether ``coordinates`` (axis -> label) have all of this number's labels."""
        return all(coordinates.get(axis) == label for axis, label in self.labels.items())

    def same_test_set(self, data: Collection[str], patients: Collection[str]) -> tuple[bool, str]:
        """Return whether a value is of the same test set, and what is known of that.

        Args:
            data: names of the value's data.
            patients: ids of its test patients.
        """
        if set(data) != {self.data}:
            return False, "another data set"
        if self.patients_sha256:
            if digest(patients) == self.patients_sha256:
                return True, "the same patients, by their ids"
            return False, "another test set, by the ids of its patients"
        if not self.patients:
            return False, "another test set, as far as is known"
        if self.patients != len(patients):
            return False, f"another test set ({self.patients:,} patients, ours {len(patients):,})"
        return True, f"same number of patients ({self.patients:,})"


def digest(patients: Iterable[str]) -> str:
    """Return the SHA-256 of the ids of patients, sorted, a line each."""
    return hashlib.sha256("\n".join(sorted(patients)).encode()).hexdigest()


class PublishedNote(Frozen):
    """A note on the numbers whose row holds the words of ``where`` (column -> word)."""

    note: str
    where: dict[str, str] = {}

    def fits(self, row: Mapping[str, str]) -> bool:
        """Return whether it is about this row of the CSV file."""
        return all(word in row[column].split(", ") for column, word in self.where.items())


class Notes(Frozen):
    """The content of ``PAPER.notes.yaml``."""

    patients: int | dict[str, int] = 0
    patients_sha256: str | dict[str, str] = ""
    notes: tuple[PublishedNote, ...] = ()


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper that the grid has no cells for.

    Attributes:
        labels: on the axes of the table. Empty where the paper has none.
        numbers: of each column.
    """

    labels: tuple[str, ...]
    numbers: tuple[PublishedNumber | None, ...]


def published_papers() -> list[str]:
    """Return the papers whose numbers can stand beside a table."""
    return sorted(path.name.removesuffix(WORDS) for path in FOLDER.glob(f"*{WORDS}"))


def published_numbers(source: PublishedSource) -> list[PublishedNumber]:
    """Return the numbers of one table of a paper.

    Raises:
        EchoLMError: the paper or the table is not there.
    """
    papers = published_papers()
    if source.paper not in papers:
        raise EchoLMError(
            f"published.paper: no numbers of {source.paper!r}; {suggest(source.paper, papers)}"
        )
    tables = _read(source.paper)
    if source.table not in tables:
        hint = suggest(source.table, tables)
        raise EchoLMError(f"published.table: {source.paper} has no table {source.table!r}; {hint}")
    return tables[source.table]


def find(
    numbers: list[PublishedNumber],
    source: PublishedSource,
    column: ColumnDefinition,
    coordinates: Mapping[str, str],
) -> PublishedNumber | None:
    """Return the published number of a cell at ``coordinates`` in ``column``.

    Raises:
        EchoLMError: several fit.
    """
    labels = {axis: source.label(axis, label) for axis, label in coordinates.items()}
    labels["metric"] = source.label("metric", column.quantity)
    labels |= {"slot": column.slot, **column.subgroup}
    fitting = []
    for number in numbers:
        # A number that names no subgroup is of everybody.
        of_subgroup = all(name in number.labels for name in column.subgroup)
        if of_subgroup and number.fits(labels):
            fitting.append(number)
    if len(fitting) > 1:
        labels_text = _labels_text(labels)
        raise EchoLMError(
            f"{source.paper}.csv: table {source.table}: {len(fitting)} rows fit {labels_text}"
        )
    return fitting[0] if fitting else None


def paper_rows(
    numbers: list[PublishedNumber],
    source: PublishedSource,
    axes: Sequence[str],
    columns: Sequence[ColumnDefinition],
) -> list[PaperRow]:
    """Return the rows that ``source.alone`` names.

    Raises:
        EchoLMError: the table has no number with these labels.
    """
    rows = []
    for labels in source.alone:
        of_row = [number for number in numbers if labels.items() <= number.labels.items()]
        if not of_row:
            raise EchoLMError(
                f"published.alone: table {source.table} of {source.paper} has no number at "
                f"{_labels_text(labels)}; {_suggest_label(labels, numbers)}"
            )
        numbers_of_row = tuple(_number_of_column(of_row, source, column) for column in columns)
        row_labels = tuple(of_row[0].labels.get(axis, "") for axis in axes)
        rows.append(PaperRow(row_labels, numbers_of_row))
    return rows


def _number_of_column(
    numbers: Sequence[PublishedNumber], source: PublishedSource, column: ColumnDefinition
) -> PublishedNumber | None:
    """Return the first number of a column, whatever its labels on other axes."""
    of_column = {axis: source.label(axis, label) for axis, label in column.where.items()}
    of_column |= {"metric": source.label("metric", column.quantity), "slot": column.slot}
    for number in numbers:
        if number.fits({**number.labels, **of_column}):
            return number
    return None


def _labels_text(labels: Mapping[str, str]) -> str:
    return " ".join(f"{axis}={label}" for axis, label in labels.items())


def _suggest_label(labels: Mapping[str, str], numbers: Iterable[PublishedNumber]) -> str:
    """Suggest a label for the last one of ``labels``."""
    known: set[str] = set()
    for number in numbers:
        known.update(number.labels[axis] for axis in labels if axis in number.labels)
    return suggest(_labels_text(labels).rpartition("=")[2], known)


@dataclass(frozen=True)
class _Word:
    """What a word of a paper means: ``label`` on ``axis``. ``ANY``: the word is its own label."""

    axis: str
    label: str


@cache
def _read(paper: str) -> dict[str, list[PublishedNumber]]:
    """Read table -> its numbers."""
    words = _read_words(paper)
    notes = read_notes(paper)
    tables: dict[str, list[PublishedNumber]] = {}
    with open(FOLDER / f"{paper}.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            number = _number(row, words, notes, paper)
            tables.setdefault(row["table"], []).append(number)
    return tables


def read_notes(paper: str) -> Notes:
    """Read what to know about a paper's numbers, or nothing without a file."""
    path = FOLDER / f"{paper}{NOTES}"
    if not path.exists():
        return Notes()
    try:
        return Notes.model_validate(load_yaml(path))
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None


def _number(
    row: dict[str, str], words: Mapping[str, Mapping[str, _Word]], notes: Notes, paper: str
) -> PublishedNumber:
    """Return the number of a row.

    Args:
        row: of the CSV file.
        words: column -> word -> what it means.
        notes: on the paper's numbers.
        paper: its name, for messages.
    """
    labels = {}
    for column, known in words.items():
        for word in row[column].split(", "):
            if not word and word not in known:
                continue
            meaning = known.get(word) or known.get(ANY)
            if meaning is None:
                raise EchoLMError(
                    f"{paper}.csv: table {row['table']}: {column} is {word!r}, which "
                    f"{paper}{WORDS} does not have; {suggest(word, known)}"
                )
            labels[meaning.axis] = word if meaning.label == ANY else meaning.label
    data = row.get("dataset", "")
    spread = None
    if row["spread"]:
        spread = float(row["spread"])
    return PublishedNumber(
        value=float(row["value"]),
        spread=spread,
        kind=row["spread_kind"],
        note=row["note"],
        labels=labels,
        data=data,
        patients=patients_of(row["spread_kind"]) or _of_data(notes.patients, data, 0),
        patients_sha256=_of_data(notes.patients_sha256, data, ""),
        contradictions=tuple(note.note for note in notes.notes if note.fits(row)),
    )


def _of_data(stated: T | Mapping[str, T], data: str, otherwise: T) -> T:
    """Return what notes say of a data set, or of all of them."""
    if isinstance(stated, Mapping):
        return stated.get(data, otherwise)
    return stated


def _read_words(paper: str) -> dict[str, dict[str, _Word]]:
    """Read column -> word -> what it means."""
    words: dict[str, dict[str, _Word]] = {}
    with open(FOLDER / f"{paper}{WORDS}", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            words.setdefault(row["column"], {})[row["word"]] = _Word(row["axis"], row["label"])
    return words
