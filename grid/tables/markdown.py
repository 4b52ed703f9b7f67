"""A table as Markdown that is aligned when read as plain text."""

from __future__ import annotations

from collections.abc import Iterator

from grid.tables.caption import PAPER, PHANTOM, caption, span
from grid.tables.missing import command, gaps
from grid.tables.table import ABSENT, Row, Table, Value

MISSING = "missing"


def markdown(table: Table) -> str:
    """Title, table, caption, then what is unusual, then what is missing with the command that fills it.

    Below a row stands a line with the published numbers, where there are any.
    """
    parts = [f"**{table.title}**", _aligned(table), caption(table), *_notes(table), *_missing(table)]
    return "\n\n".join(parts) + "\n"


def _aligned(table: Table) -> str:
    """The lines of the Markdown table, every column as wide as its widest text; numbers to the right."""
    counts = _counts(table)
    body = []
    for index, row in enumerate(table.rows):
        body.append([*row.labels, *_numbers(table, row), *(texts[index] for texts in counts.values())])
        if any(value.published for value in row.values):
            body.append([*_paper_labels(table, row), *_paper_numbers(table, row), *("" for _ in counts)])
    header = [*table.axes, *(column.heading for column in table.columns), *counts]
    lines = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in [header, *body]]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    left = len(table.axes)
    rule = ["-" * width if at < left else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    padded = [_pad(line, widths, left) for line in [lines[0], rule, *lines[1:]]]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _pad(line: list[str], widths: list[int], left: int) -> Iterator[str]:
    for at, (text, width) in enumerate(zip(line, widths, strict=True)):
        yield text.ljust(width) if at < left else text.rjust(width)


def _counts(table: Table) -> dict[str, list[str]]:
    """Columns with the numbers of patients and of seeds, where rows differ in them or are incomplete."""
    columns = {}
    patients = [span({value.number.patients for value in row.values if value.number}) for row in table.rows]
    if len(set(patients) - {"0"}) > 1:
        columns["Patients"] = patients
    seeds = [_seeds([value for value in row.values if value.expected]) for row in table.rows]
    if len(set(seeds)) > 1 or any(value.missing for value in table.values):
        columns["Seeds"] = seeds
    return columns


def _seeds(values: list[Value]) -> str:
    done = span({len(value.seeds) for value in values})
    return f"{done} of {span({value.expected for value in values})}" if any(value.missing for value in values) else done


def _numbers(table: Table, row: Row) -> list[str]:
    """The values of a row. An incomplete one ends in ``*``, the others in a blank, so that they align."""
    marks = ["*" if value.incomplete else _blank(table) for value in row.values]
    pairs = zip(table.columns, row.values, marks, strict=True)
    return [_number(value, column.digits) + mark for column, value, mark in pairs]


def _blank(table: Table) -> str:
    return " " if any(value.incomplete for value in table.values) else ""


def _number(value: Value, digits: int) -> str:
    if value.number is None:
        return MISSING if value.expected else ABSENT
    return _with_spread(value.number.mean, value.number.spread, digits)


def _with_spread(mean: float, spread: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")


def _paper_labels(table: Table, row: Row) -> list[str]:
    """``paper`` in the first column; and the paper's labels where ours stand in for others."""
    source = table.published
    pairs = zip(table.axes, row.labels, strict=True)
    theirs = [(own, source.label(axis, own) if source else own) for axis, own in pairs]
    first, *rest = ["" if own == label else label for own, label in theirs]
    return [f"{PAPER}: {first}" if first else PAPER, *rest]


def _paper_numbers(table: Table, row: Row) -> list[str]:
    found = [(column.digits, value.published) for column, value in zip(table.columns, row.values, strict=True)]
    texts = [_with_spread(number.value, number.spread, digits) if number else ABSENT for digits, number in found]
    return [text + _blank(table) for text in texts]


def _notes(table: Table) -> list[str]:
    """What is unusual about values, once for all columns of a row that it holds for."""
    mixed = not all(value.synthetic for value in table.values if value.seeds)
    lines: dict[str, None] = {}
    for place, value in table.places:
        notes = [*value.notes, *([PHANTOM] if value.synthetic and mixed else [])]
        lines.update(dict.fromkeys(f"- {', '.join(place.values())}: {note}" for note in notes))
    return ["\n".join(["Notes:", *lines])] if lines else []


def _missing(table: Table) -> list[str]:
    lines = [f"- {gap}; type: `{command(table, dict(gap.places), gap.remedy)}`" for gap in gaps(table)]
    incomplete = any(value.incomplete for value in table.values)
    head = "Missing (values with * are incomplete):" if incomplete else "Missing:"
    return ["\n".join([head, *lines]), f"and then: `{command(table, {}, 'collect')}`"] if lines else []
