"""Print a table as HTML that needs nothing else: no script, no font, no network.

A click on a number opens what stands behind it: the seeds with their values, runs, commits and
links to the logs, the comparison with the best of the column, the verdict on the published number,
and what is missing with its command. ``table.html.j2`` lays out what is gathered here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from echolm.text import true_minus
from grid.definition.tables import ColumnDefinition
from grid.statistics import Significance
from grid.statistics.comparison import p_text
from grid.tables.render import wording
from grid.tables.render.caption import caption, mark_sentences
from grid.tables.render.interaction_lines import InteractionLines, interaction_lines
from grid.tables.render.notes import NoteStyle, missing_lines, table_notes
from grid.tables.render.templates import TABLES, encoded, environment, style_sheet
from grid.tables.render.wording import MissingLine, TableNote
from grid.tables.table import Table, TableRow, Value, ValueSource

OUTCOME_CLASSES = {"reproduced": "reproduced", "differs": "differs"}
"""Outcome of a verdict -> its class in the style sheet. Others have the class ``open``."""
COMMIT_DIGITS = 10


@dataclass(frozen=True, slots=True)
class LogLink:
    """A link to the log of an attempt, which is called by its number."""

    name: str
    link: str


@dataclass(frozen=True, slots=True)
class SourceLine:
    """The run behind a number as the page shows it.

    Args:
        anchor: the place of the same document that shows the cell. Empty without one.
    """

    seed: str
    value: str
    run: str
    cell: str
    anchor: str
    commit: str
    logs: list[LogLink]


@dataclass(frozen=True, slots=True)
class Card:
    """What stands behind a number, shown on a click.

    Args:
        missing: which seeds are missing and why. Empty for a complete value.
        command: what to type for them.
    """

    heading: str
    sources: list[SourceLine]
    paragraphs: list[str]
    missing: str
    command: str


@dataclass(frozen=True, slots=True)
class NumberCell:
    """A value of the grid. Without a card the grid has no such cell."""

    text: str
    classes: str = ""
    card: Card | None = None


@dataclass(frozen=True, slots=True)
class PaperCell:
    """A published number with its verdict, and where the paper contradicts itself about it."""

    text: str
    outcome: str
    outcome_class: str
    verdict: str
    notes: str


@dataclass(frozen=True, slots=True)
class RowLabel:
    """A label of a row. It is repeated where the row above has it too, and shown faintly."""

    text: str
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class TableLine:
    """A line of the table: values of the grid in ``cells``, or of the paper in ``paper_cells``.

    Args:
        begins_group: whether the first label differs from that of the row above.
        counts: the numbers of patients and seeds, where the table shows them.
    """

    labels: list[RowLabel]
    cells: list[NumberCell] = field(default_factory=list)
    paper_cells: list[PaperCell] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    begins_group: bool = False


@dataclass(frozen=True, slots=True)
class NoteList:
    """Notes below a table, under a heading that opens and closes them."""

    heading: str
    notes: list[TableNote]
    open: bool = False


@dataclass(frozen=True, slots=True)
class FigurePage:
    """A figure as SVG, and what stands below it."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class TablePage:
    """A table as ``table.html.j2`` shows it.

    Args:
        short_title: the title up to its first colon.
        marks: what the marks behind numbers mean.
        figures: its figures.
        collect_command: what to type after the commands in ``missing``.
        interactions: what stands below the rows. None without any.
    """

    name: str
    title: str
    short_title: str
    figures: list[FigurePage]
    axes: Sequence[str]
    headings: list[str]
    lines: list[TableLine]
    caption: str
    marks: list[str]
    note_lists: list[NoteList]
    missing: list[MissingLine]
    collect_command: str
    interactions: InteractionLines | None = None


@dataclass(frozen=True)
class _Context:
    """What is the same for all values of a table, looked up once.

    Args:
        folder: where the page will lie. None for links that hold anywhere on this machine.
        anchors: cell -> the place of the same document that shows it.
        labels_differ: whether intervals over patients only are marked.
        outcomes: whether each published number has its verdict beside it.
        general: contradictions of the paper that concern all of the table.
    """

    table: Table
    folder: Path | None
    anchors: Mapping[str, str]
    labels_differ: bool
    outcomes: bool
    general: set[str]


def page(
    title: str,
    tables: Sequence[Table],
    folder: Path | None = None,
    note_style: NoteStyle = "short",
) -> str:
    """Return a whole document with some tables as text. See ``encoded_page``."""
    return encoded_page(title, tables, folder, note_style).decode()


def encoded_page(
    title: str,
    tables: Sequence[Table],
    folder: Path | None = None,
    note_style: NoteStyle = "short",
) -> bytes:
    """Print a whole document with some tables.

    Args:
        title: the document's title.
        tables: the tables.
        folder: where the document will lie, so that links to logs are relative to it.
        note_style: of the notes.
    """
    template = environment(TABLES).get_template("page.html.j2")
    table_pages = [table_page(table, folder, note_style=note_style) for table in tables]
    return encoded(template.stream(title=title, tables=table_pages, style=style()))


def style() -> str:
    """Read the style sheet of ``html``, for elements within class ``echolm``."""
    return style_sheet(TABLES, "style.css")


def html(table: Table, folder: Path | None = None, drawn: bool = True) -> str:
    """Print one table as a ``section``, with its figures, caption and notes.

    Args:
        table: the table.
        folder: where the page will lie, so that links to logs are relative to it.
        drawn: whether its figures are shown.
    """
    template = environment(TABLES).get_template("table.html.j2")
    return template.render(table=table_page(table, folder, drawn))


def table_page(
    table: Table,
    folder: Path | None = None,
    drawn: bool = True,
    anchors: Mapping[str, str] | None = None,
    note_style: NoteStyle = "short",
) -> TablePage:
    """Gather what ``table.html.j2`` shows of a table.

    Args:
        table: the table.
        folder: where the page will lie, so that links to logs are relative to it.
        drawn: whether its figures are shown.
        anchors: cell -> the place of the same document that shows it.
        note_style: of the notes.
    """
    paper_notes = wording.paper_notes(table)
    context = _Context(
        table=table,
        folder=folder,
        anchors=anchors or {},
        labels_differ=wording.labels_differ(table),
        outcomes=not wording.one_outcome(table),
        general={note.text for note in paper_notes if not note.place},
    )
    count_columns = wording.count_columns(table)
    missing = missing_lines(table, note_style)
    notes = table_notes(table, note_style)
    return TablePage(
        name=table.name,
        title=table.title,
        short_title=table.title.partition(":")[0],
        figures=_figures(table) if drawn else [],
        axes=table.axes,
        headings=[*wording.headings(table), *count_columns],
        lines=_lines(context, list(count_columns.values())),
        caption=caption(table),
        marks=mark_sentences(table),
        note_lists=[
            NoteList("Notes", notes.notes, open=True),
            NoteList("Published numbers that differ", notes.differing),
            NoteList("On the published numbers", notes.paper),
        ],
        missing=missing,
        collect_command=wording.collect_command(table, missing),
        interactions=interaction_lines(table),
    )


def _figures(table: Table) -> list[FigurePage]:
    """Draw the table's figures, but for those that have no numbers."""
    if table.figure is None and not table.figures:
        return []
    from grid.tables.render.figures import figures_of

    pages = []
    for figure in figures_of(table):
        # Drawn also without numbers: a figure that cannot be drawn is told before anything ran.
        svg = figure.svg()
        if any(value.number for value in figure.table.values):
            pages.append(FigurePage(svg[svg.index("<svg") :], figure.caption))
    return pages


def _lines(context: _Context, counts: Sequence[Sequence[str]]) -> list[TableLine]:
    """Gather the lines of a table: those of the paper alone, then the rows and the paper's below.

    Args:
        context: what is the same for all values.
        counts: further columns, each with the texts of all rows.
    """
    table = context.table
    no_counts = [""] * len(counts)
    lines = []
    for row in table.paper_rows:
        lines.append(_paper_line(context, row, wording.quoted_labels(row), no_counts))
    above: Sequence[str] = [""] * len(table.axes)
    for index, row in enumerate(table.rows):
        cells = []
        for column, value in wording.headed(table, row):
            cells.append(_number_cell(context, row, column, value))
        line = TableLine(
            labels=_row_labels(row.labels, above),
            cells=cells,
            counts=[texts[index] for texts in counts],
            begins_group=row.labels[0] != above[0],
        )
        lines.append(line)
        above = row.labels
        if wording.has_paper(row):
            labels = wording.paper_labels(table, row)
            lines.append(_paper_line(context, row, labels, no_counts))
    return lines


def _row_labels(labels: Sequence[str], above: Sequence[str]) -> list[RowLabel]:
    """Mark the labels that only repeat the row above, up to the first that differs."""
    row_labels = []
    repeated = True
    for label, label_above in zip(labels, above, strict=True):
        repeated = repeated and label == label_above
        row_labels.append(RowLabel(label, repeated))
    return row_labels


def _number_cell(
    context: _Context, row: TableRow, column: ColumnDefinition, value: Value
) -> NumberCell:
    """Gather what the page shows of a value."""
    text = wording.number(value, column.digits) + wording.marks(value, context.labels_differ)
    if not value.expected:
        return NumberCell(text)
    classes = []
    if value.bold:
        classes.append("best")
    if value.diverged:
        classes.append("diverged")
    if value.far_behind:
        classes.append("far-behind")
    if value.number is None:
        classes.append("absent")
    return NumberCell(text, " ".join(classes), _card(context, row, column, value))


def _card(context: _Context, row: TableRow, column: ColumnDefinition, value: Value) -> Card:
    """Gather what stands behind a number."""
    command = ""
    if value.missing:
        command = wording.fill_commands(context.table, value)
    return Card(
        heading=", ".join([*row.labels, column.heading]),
        sources=[_source_line(context, source, column.digits) for source in value.sources],
        paragraphs=_paragraphs(context, column, value),
        missing="; ".join(f"seed {seed.seed}: {seed.reason}" for seed in value.missing),
        command=command,
    )


def _paragraphs(context: _Context, column: ColumnDefinition, value: Value) -> list[str]:
    """Say how a value stands in its column and beside the paper, and what is unusual about it."""
    paragraphs = []
    if value.standing and value.standing.best:
        paragraphs.append("The best of its column.")
    if value.standing and value.standing.comparison:
        comparison = true_minus(value.standing.comparison.sentence(column.digits))
        paragraphs.append(f"{comparison} {_adjusted(value.standing)}")
    if value.published:
        paragraph = f"Published: {wording.published(value, column.digits)}."
        if value.verdict:
            paragraph += f" {true_minus(value.verdict.text)}"
        paragraphs.append(paragraph)
    paragraphs += [true_minus(note) for note in value.notes]
    if value.refused:
        paragraphs.append(value.refused)
    paragraphs += wording.contradictions(value.published, context.general)
    return paragraphs


def _adjusted(standing: Significance) -> str:
    """Say what the p of a comparison are when they are adjusted for all of the table."""
    adjusted = f"bootstrap {p_text(standing.adjusted or 0)}"
    if standing.adjusted_wilcoxon is not None:
        adjusted += f", Wilcoxon {p_text(standing.adjusted_wilcoxon)}"
    return (
        f"These p are of this comparison alone; adjusted by Holm over all of the table: {adjusted}."
    )


def _source_line(context: _Context, source: ValueSource, digits: int) -> SourceLine:
    """Gather what the page shows of the run behind a number."""
    logs = []
    for log in source.logs:
        link = _log_link(context.table.root / log, context.folder)
        logs.append(LogLink(Path(log).parent.name, link))
    return SourceLine(
        seed=source.seed,
        value="" if source.value is None else true_minus(f"{source.value:.{digits}f}"),
        run=source.run,
        cell=source.cell,
        anchor=context.anchors.get(source.cell, ""),
        commit=source.commit[:COMMIT_DIGITS],
        logs=logs,
    )


def _log_link(path: Path, folder: Path | None) -> str:
    """Return the address of a log for a page in ``folder``."""
    if folder is None:
        return path.absolute().as_uri()
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def _paper_line(
    context: _Context, row: TableRow, labels: Sequence[str], counts: list[str]
) -> TableLine:
    """Gather the line with the published numbers of a row."""
    cells = []
    for column, value in wording.headed(context.table, row):
        outcome = outcome_class = verdict = ""
        if value.verdict and context.outcomes:
            outcome = value.verdict.outcome
            outcome_class = OUTCOME_CLASSES.get(outcome, "open")
            verdict = value.verdict.text
        cell = PaperCell(
            text=wording.published(value, column.digits),
            outcome=outcome,
            outcome_class=outcome_class,
            verdict=verdict,
            notes=" · ".join(wording.contradictions(value.published, context.general)),
        )
        cells.append(cell)
    return TableLine([RowLabel(label) for label in labels], paper_cells=cells, counts=counts)
