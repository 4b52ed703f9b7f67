"""The notes below a table: each of them, or what is alike counted in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from echolm.commands import Command
from echolm.text import counted, true_minus
from grid.tables.assess import NOT_BETTER
from grid.tables.missing import whole_grid
from grid.tables.render import wording
from grid.tables.render.caption import table_text
from grid.tables.render.wording import MissingLine, TableNote
from grid.tables.table import Table, TableRow, Value

NoteStyle = Literal["short", "full"]
NOTE_STYLES: tuple[NoteStyle, ...] = ("short", "full")
FEW = 3
"""So many different notes of one topic are told as they are, each with so many places."""
MOST = 10
"""So many lines of one kind are listed."""
FULL = "--notes full lists them"
SEEDS = re.compile(r"^seeds? ([^:()]+?)(?::| (?=diverged|is|are))\s*")
"""The seeds that a note begins with."""


@dataclass(frozen=True)
class TableNotes:
    """What stands below a table's caption, apart from what is missing.

    Args:
        notes: what is unusual about values, then sentences about the table.
        differing: published numbers that differ.
        paper: on the published numbers.
    """

    notes: list[TableNote]
    differing: list[TableNote]
    paper: list[TableNote]


@dataclass
class _Topic:
    """Notes that say the same of several values, but for seeds and numbers.

    Args:
        notes: the notes.
        texts: the different texts among them.
        places: of the values.
        seeds: that the notes name.
        cells: of these seeds.
    """

    words: str
    notes: list[TableNote] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)
    places: list[str] = field(default_factory=list)
    seeds: dict[str, None] = field(default_factory=dict)
    cells: set[str] = field(default_factory=set)


def table_notes(table: Table, style: NoteStyle = "short") -> TableNotes:
    """Return the notes of a table.

    Args:
        table: the table.
        style: ``full``, or ``short`` for notes that are alike in one line.
    """
    sentences = [TableNote("", sentence) for sentence in table_text(table).notes]
    differing = wording.verdict_notes(table)
    paper = wording.paper_notes(table)
    if style == "full":
        return TableNotes([*wording.notes(table), *sentences], differing, paper)
    return TableNotes(
        notes=[*_grouped_notes(table), *sentences],
        differing=_first_of(differing),
        paper=_first_of([_with_few_places(note) for note in paper]),
    )


def missing_lines(table: Table, style: NoteStyle = "short") -> list[MissingLine]:
    """List what a table lacks, each gap with the command that fills it.

    Many gaps are the first of them, then a line for the others, with commands for the whole table.
    """
    lines = wording.missing_lines(table)
    if style == "full" or len(lines) <= MOST + 1:
        return lines
    commands: dict[Command, None] = {}
    for value in table.values:
        for seed in value.missing:
            command = whole_grid(seed.command)
            if command is not None:
                commands[command] = None
    others = f"{len(lines) - MOST} more such lines; {FULL}. All that is missing"
    spelled = [table.spell(command) for command in commands]
    return [*lines[:MOST], *(MissingLine(others, command) for command in spelled)]


def _grouped_notes(table: Table) -> list[TableNote]:
    """Tell what is unusual about values, each topic in a line where it has many notes."""
    context = wording.note_context(table)
    topics: dict[str, _Topic] = {}
    for row in table.rows:
        for column, value in wording.headed(table, row):
            for text in wording.value_notes(value, context):
                words = _topic(text, value)
                topic = topics.setdefault(words, _Topic(words))
                _add(topic, row, column.heading, value, text)
    few = {words for words, topic in topics.items() if len(topic.texts) <= FEW}
    grouped = [
        TableNote("", _summary(topic)) for topic in topics.values() if topic.words not in few
    ]
    plain = []
    for note in wording.notes(table, leave_out=_others(topics, few)):
        plain.append(_with_few_places(note))
    return [*plain, *grouped]


def _others(topics: dict[str, _Topic], few: set[str]) -> set[str]:
    """Return the texts of the notes that are told in groups."""
    texts: set[str] = set()
    for topic in topics.values():
        if topic.words not in few:
            texts |= topic.texts
    return texts


def _add(topic: _Topic, row: TableRow, heading: str, value: Value, text: str) -> None:
    place = ", ".join([*row.labels, heading])
    topic.notes.append(TableNote(place, text))
    topic.texts.add(text)
    topic.places.append(place)
    named = SEEDS.match(text)
    if named:
        cells = {source.seed: source.cell for source in value.sources}
        cells.update({item.seed: item.cell for item in value.missing})
        for seed in named[1].split(", "):
            topic.seeds[seed] = None
            topic.cells.add(cells.get(seed, f"{place} {seed}"))


def _topic(text: str, value: Value) -> str:
    """Return what a note is about: its words without seeds, numbers and names."""
    if text == true_minus(value.refused):
        return wording.REFUSED
    if text.startswith(NOT_BETTER):
        return f"{NOT_BETTER} {value.constant} ({wording.NOT_BETTER_MARK})"
    for words, topic, mark in wording.MARKED_TOPICS:
        if words in text:
            return f"{topic} ({mark})"
    words = SEEDS.sub("", text)
    return re.sub(r"\s*\([^()]*\)", "", words)


def _summary(topic: _Topic) -> str:
    """Tell a topic in one line: ``far behind its best seed: 9 cells, seeds 0, 2``."""
    if topic.cells:
        seeds = sorted(topic.seeds, key=_seed_order)
        noun = "seed" if len(seeds) == 1 else "seeds"
        count = f"{counted(len(topic.cells), 'cell')}, {noun} {', '.join(seeds)}"
    else:
        count = counted(len(topic.places), "value")
    text = f"{topic.words}: {count}"
    if topic.words == wording.REFUSED:
        first = topic.notes[0]
        text += f"; such as {first.place}: {first.text}"
    return f"{text}; {FULL}"


def _seed_order(seed: str) -> tuple[bool, int, str]:
    """Return what seeds are sorted by: numbers first, by their size."""
    if seed.isdecimal():
        return False, int(seed), seed
    return True, 0, seed


def _with_few_places(note: TableNote) -> TableNote:
    """Return a note of many places with the first of them."""
    places = note.place.split("; ")
    if len(places) <= FEW + 1:
        return note
    return TableNote(f"{'; '.join(places[:FEW])} and {len(places) - FEW} more", note.text)


def _first_of(notes: Sequence[TableNote]) -> list[TableNote]:
    """Return the first of many notes, and how many more there are."""
    if len(notes) <= MOST + 1:
        return list(notes)
    return [*notes[:MOST], TableNote("", f"{len(notes) - MOST} more; {FULL}")]
