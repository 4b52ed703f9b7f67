"""Print a table as Markdown that is aligned when read as plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from echolm.text import one_line
from grid.tables.render import wording
from grid.tables.render.caption import caption, mark_sentences
from grid.tables.render.interaction_lines import interaction_lines
from grid.tables.render.notes import NoteStyle, missing_lines, table_notes
from grid.tables.render.wording import TableNote
from grid.tables.table import Table, TableRow

NARROWEST = 3
"""Width of the narrowest column, so that its rule has room."""
SIGNS = re.compile(r"[\\|`]|<(?=[A-Za-z/!?])|\](?=[(\[:])")
"""Signs that end a cell, begin code or an element of HTML, or make a link."""
BEGINNINGS = ("#", ">", "+", "*", "=", "~", "_", "-")
"""Signs that begin a heading, a quotation, a list or a rule, where they begin a line."""
NUMBERED = re.compile(r"(\d+)[.)](?=\s|$)")
"""What begins an item of a numbered list."""
COMMAND = re.compile(r"`(echolm [^`]*)`")
"""A command in a note."""


@dataclass(frozen=True)
class Layout:
    """What is the same for all values of a table, looked up once.

    Args:
        labels_differ: whether intervals over patients only are marked.
        outcomes: whether each published number has its verdict beside it.
        bold_width: the width of the two stars behind bold text, where a value is bold.
        mark_width: the most marks that a value has.
    """

    labels_differ: bool
    outcomes: bool
    bold_width: int
    mark_width: int


def markdown(table: Table, style: NoteStyle = "short", width: int | None = None) -> str:
    """Print title, table, caption, then marks, what is unusual, and what is missing.

    Below a row stands a line with the published numbers, where there are any.

    Args:
        table: the table.
        style: of its notes.
        width: columns that fit on a line, such as a terminal's. Columns of the table that do not
            fit beside each other follow below each other. None: all fit.
    """
    notes = table_notes(table, style)
    parts = [f"**{inline(table.title)}**", _aligned(table, width)]
    parts += _interactions(table, width)
    parts.append(line(caption(table)))
    marks = mark_sentences(table)
    if marks:
        parts.append(f"Marks: {' '.join(inline(sentence) for sentence in marks)}")
    parts += _list("Notes:", notes.notes)
    parts += _list("Published numbers that differ:", notes.differing)
    parts += _list("On the published numbers:", notes.paper)
    parts += _missing(table, style)
    return "\n\n".join(parts) + "\n"


def _interactions(table: Table, width: int | None) -> list[str]:
    """Return the table of interactions with what it shows, or nothing."""
    interactions = interaction_lines(table)
    if interactions is None:
        return []
    lines = [interactions.header, *interactions.lines]
    return [line(interactions.sentence), _joined(lines, interactions.label_columns, width)]


def inline(text: str) -> str:
    """Spell a text so that Markdown prints it on one line, and neither obeys nor splits it."""
    return SIGNS.sub(r"\\\g<0>", one_line(text))


def line(text: str) -> str:
    """Spell a text that stands at the beginning of a line, or of an item of a list."""
    text = inline(text.lstrip())
    numbered = NUMBERED.match(text)
    if numbered:
        return f"{numbered[1]}\\{text[len(numbered[1]) :]}"
    if text.startswith(BEGINNINGS):
        return f"\\{text}"
    return text


def code(text: str) -> str:
    """Spell a text that is to be typed. A backtick in it needs longer marks around."""
    fence = "`"
    while fence in text:
        fence += "`"
    if len(fence) == 1:
        return f"`{one_line(text)}`"
    return f"{fence} {one_line(text)} {fence}"


def _aligned(table: Table, width: int | None) -> str:
    """Lay out the lines: every column is as wide as its widest text, numbers stand to the right."""
    count_columns = wording.count_columns(table)
    layout = _layout(table)
    lines = [[*table.axes, *wording.headings(table), *count_columns]]
    no_counts = [""] * len(count_columns)
    for row in table.paper_rows:
        lines.append([*wording.quoted_labels(row), *_paper_numbers(table, row, layout), *no_counts])
    for index, row in enumerate(table.rows):
        counts = [texts[index] for texts in count_columns.values()]
        lines.append([*row.labels, *_numbers(table, row, layout), *counts])
        if wording.has_paper(row):
            labels = wording.paper_labels(table, row)
            lines.append([*labels, *_paper_numbers(table, row, layout), *no_counts])
    return _joined(lines, len(table.axes), width)


def _joined(lines: Sequence[Sequence[str]], label_columns: int, width: int | None) -> str:
    """Join lines of cells, the first of them the header, to a Markdown table, or several.

    Args:
        lines: the cells of the lines.
        label_columns: how many columns stand to the left.
        width: columns that fit on a line. None: all fit.
    """
    escaped = [[inline(text) for text in line] for line in lines]
    widths = []
    for column in zip(*escaped, strict=True):
        widths.append(max(NARROWEST, *map(len, column)))
    tables = []
    for chosen in _parts(widths, label_columns, width):
        part = [[line[column] for column in chosen] for line in escaped]
        part_widths = [widths[column] for column in chosen]
        tables.append(_drawn(part, part_widths, label_columns))
    return "\n\n".join(tables)


def _parts(widths: Sequence[int], label_columns: int, room: int | None) -> list[list[int]]:
    """Divide the columns of a table: each part has the labels, and what fits beside them.

    Args:
        widths: of the columns.
        label_columns: how many columns are labels.
        room: characters of a line. None: all columns fit.
    """
    labels = list(range(label_columns))
    numbers = list(range(label_columns, len(widths)))
    if room is None or not numbers:
        return [labels + numbers]
    # A bar and a blank on either side of each column, and the last bar.
    label_width = sum(widths[column] + 3 for column in labels) + 1
    parts: list[list[int]] = []
    left = 0
    for column in numbers:
        left -= widths[column] + 3
        if left < 0 or not parts:
            parts.append(list(labels))
            left = room - label_width - widths[column] - 3
        parts[-1].append(column)
    return parts


def _drawn(lines: Sequence[Sequence[str]], widths: Sequence[int], label_columns: int) -> str:
    """Draw lines of cells, which are escaped, as one Markdown table."""
    rule = ["-" * width for width in widths[:label_columns]]
    rule += ["-" * (width - 1) + ":" for width in widths[label_columns:]]
    header, *body = lines
    rows = [_pad(line, widths, label_columns) for line in [header, rule, *body]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _pad(line: Sequence[str], widths: Sequence[int], label_columns: int) -> list[str]:
    """Fill the cells of a line up to their widths: labels to the left, numbers to the right."""
    cells = []
    for index, (text, width) in enumerate(zip(line, widths, strict=True)):
        cells.append(text.ljust(width) if index < label_columns else text.rjust(width))
    return cells


def _layout(table: Table) -> Layout:
    """Look up what is the same for all values."""
    labels_differ = wording.labels_differ(table)
    mark_width = 0
    for value in table.values:
        mark_width = max(mark_width, len(wording.marks(value, labels_differ)))
    any_bold = any(value.bold for value in table.values)
    return Layout(
        labels_differ=labels_differ,
        outcomes=not wording.one_outcome(table),
        bold_width=2 if any_bold else 0,
        mark_width=mark_width,
    )


def _numbers(table: Table, row: TableRow, layout: Layout) -> list[str]:
    """Spell the values of a row, the best in bold, then their marks.

    Blanks stand in the place of missing stars and marks, so that digits align.
    """
    texts = []
    for column, value in wording.headed(table, row):
        text = wording.number(value, column.digits)
        width = len(text) + layout.bold_width + layout.mark_width
        if value.bold:
            text = f"**{text}**"
            width += 2
        text += wording.marks(value, layout.labels_differ)
        texts.append(text.ljust(width))
    return texts


def _paper_numbers(table: Table, row: TableRow, layout: Layout) -> list[str]:
    """Spell the published numbers of a row, each with its verdict where these differ."""
    texts = []
    for column, value in wording.headed(table, row):
        text = wording.published(value, column.digits)
        if value.verdict and layout.outcomes:
            text += f" {value.verdict.outcome}"
        texts.append(text + " " * (layout.bold_width + layout.mark_width))
    return texts


def _list(head: str, notes: Sequence[TableNote]) -> list[str]:
    """Print some notes as a list, or nothing without any."""
    if not notes:
        return []
    lines = [head, *(f"- {_with_code(str(note))}" for note in notes)]
    return ["\n".join(lines)]


def _with_code(text: str) -> str:
    """Spell a note, in which commands stand between backticks."""
    # Every second part is a command.
    parts = COMMAND.split(text)
    spelled = []
    for index, part in enumerate(parts):
        if index == 0:
            spelled.append(line(part))
        else:
            spelled.append(code(part) if index % 2 else inline(part))
    return "".join(spelled)


def _missing(table: Table, style: NoteStyle) -> list[str]:
    """List what is missing, with the commands that fill it."""
    missing = missing_lines(table, style)
    if not missing:
        return []
    head = "Missing:"
    if any(value.incomplete for value in table.values):
        head = f"Missing (values with {wording.INCOMPLETE_MARK} are incomplete):"
    lines = [head]
    for gap in missing:
        text = f"- {line(gap.text)}"
        if gap.command:
            text += f"; type: {code(gap.command)}"
        lines.append(text)
    parts = ["\n".join(lines)]
    collect = wording.collect_command(table, missing)
    if collect:
        parts.append(f"and then: {code(collect)}")
    return parts
