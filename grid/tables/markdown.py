"""A table as Markdown that is aligned when read as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grid.tables.caption import caption, span
from grid.tables.missing import command, gaps
from grid.tables.table import Row, Table, Value
from grid.tables.text import (
    INCOMPLETE_MARK,
    Note,
    has_paper,
    headed,
    marks,
    notes,
    number,
    one_outcome,
    paper_labels,
    paper_notes,
    published,
    quoted_labels,
    verdict_notes,
)  # fmt: skip


def markdown(table: Table) -> str:
    """Title, table, caption, then what is unusual, then what is missing with the command that fills it.

    Below a row stands a line with the published numbers, where there are any.
    """
    remarks = [
        *_list("Notes:", notes(table)),
        *_list("Published numbers that differ:", verdict_notes(table)),
        *_list("On the published numbers:", paper_notes(table)),
    ]
    return "\n\n".join([f"**{table.title}**", _aligned(table), caption(table), *remarks, *_missing(table)]) + "\n"


def counts(table: Table) -> dict[str, list[str]]:
    """Columns with the numbers of patients and of seeds by row, where rows differ in them or are incomplete."""
    columns = {}
    patients = [span({value.number.patients for value in row.values if value.number}) for row in table.rows]
    if len(set(patients) - {"0"}) > 1:
        columns["Patients"] = patients
    seeds = [_seeds([value for value in row.values if value.expected]) for row in table.rows]
    if len(set(seeds)) > 1 or any(value.missing for value in table.values):
        columns["Seeds"] = seeds
    return columns


def _aligned(table: Table) -> str:
    """The lines of the Markdown table, every column as wide as its widest text; numbers to the right."""
    further = counts(table)
    body = [[*quoted_labels(row), *_paper_numbers(table, row), *("" for _ in further)] for row in table.quoted]
    for index, row in enumerate(table.rows):
        body.append([*row.labels, *_numbers(table, row), *(texts[index] for texts in further.values())])
        if has_paper(row):
            body.append([*paper_labels(table, row), *_paper_numbers(table, row), *("" for _ in further)])
    header = [*table.axes, *(column.heading for column in table.columns), *further]
    lines = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in [header, *body]]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    left = len(table.axes)
    rule = ["-" * width if at < left else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    padded = [_pad(line, widths, left) for line in [lines[0], rule, *lines[1:]]]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _pad(line: list[str], widths: list[int], left: int) -> Iterator[str]:
    for at, (text, width) in enumerate(zip(line, widths, strict=True)):
        yield text.ljust(width) if at < left else text.rjust(width)


def _seeds(values: list[Value]) -> str:
    done = span({len(value.seeds) for value in values})
    return f"{done} of {span({value.expected for value in values})}" if any(value.missing for value in values) else done


def _numbers(table: Table, row: Row) -> list[str]:
    """The values of a row, the best in bold, then their marks; blanks in the place of both, so that digits align."""
    texts = []
    for column, value in headed(table, row):
        text = number(value, column.digits)
        shown = f"**{text}**" if value.bold else text
        texts.append((shown + marks(table, value)).ljust(len(text) + len(_blank(table)) + (2 if value.bold else 0) + _room(table)))
    return texts


def _blank(table: Table) -> str:
    return "  " if any(value.bold for value in table.values) else ""


def _room(table: Table) -> int:
    """The most marks that a value of the table has."""
    return max((len(marks(table, value)) for value in table.values), default=0)


def _paper_numbers(table: Table, row: Row) -> list[str]:
    """The published numbers of a row; with the outcome of each, where they are not all the same."""
    texts = []
    for column, value in headed(table, row):
        outcome = f" {value.verdict.outcome}" if value.verdict and not one_outcome(table) else ""
        texts.append(published(value, column.digits) + outcome + _blank(table) + " " * _room(table))
    return texts


def _list(head: str, lines: Iterable[Note]) -> list[str]:
    found = [f"- {line}" for line in lines]
    return ["\n".join([head, *found])] if found else []


def _missing(table: Table) -> list[str]:
    found = [(gap, command(table, dict(gap.places), gap.remedy)) for gap in gaps(table)]
    lines = [f"- {gap}" + (f"; type: `{typed}`" if typed else "") for gap, typed in found]
    incomplete = any(value.incomplete for value in table.values)
    head = f"Missing (values with {INCOMPLETE_MARK} are incomplete):" if incomplete else "Missing:"
    then = [f"and then: `{command(table, {}, 'collect')}`"] if any(typed for _, typed in found) else []
    return ["\n".join([head, *lines]), *then] if lines else []
