"""A table as HTML that needs nothing else: no script, no font, no network.

A click on a number opens what stands behind it: the seeds with their values, runs, commits and links to the logs, the
comparison with the best of the column, the verdict on the published number, and what is missing with its command.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from grid.statistics import Standing
from grid.statistics.comparison import p_text
from grid.tables.caption import sentences
from grid.tables.data import fill
from grid.tables.definition import ColumnDefinition
from grid.tables.markdown import counts
from grid.tables.missing import command, gaps
from grid.tables.table import Row, Source, Table, Value
from grid.tables.text import (
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

OUTCOMES = {"reproduced": "reproduced", "differs": "differs"}
"""Outcome of a verdict -> class; others: ``open``."""
COMMIT_DIGITS = 10


def page(title: str, tables: Sequence[Table], folder: Path | None = None) -> str:
    """A whole document with some tables. ``folder``: where it will lie, so that links to logs are relative to it."""
    links = "".join(f'<a href="#{escape(table.name)}">{escape(table.title.partition(":")[0])}</a>' for table in tables)
    body = "\n".join(html(table, folder) for table in tables)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style()}</style>\n</head>\n"
        f'<body class="echolm">\n<h1>{escape(title)}</h1>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n'
    )


def style() -> str:
    """The style sheet of ``html``, for elements within class ``echolm``."""
    return (resources.files("grid.tables") / "style.css").read_text(encoding="utf-8")


def html(table: Table, folder: Path | None = None, drawn: bool = True, anchors: Mapping[str, str] | None = None) -> str:
    """One table as a ``section``, with its figure (unless not ``drawn``), caption and notes. ``folder`` as for ``page``;
    ``anchors``: cell -> the place of the same document that shows it."""
    parts = [f"<h2>{escape(table.title)}</h2>", _figure(table) if drawn and table.figure else "", _numbers(table, folder, anchors or {})]
    parts.append(f'<p class="caption">{escape(" ".join(sentences(table)))}</p>')
    parts += _list("Notes", notes(table), shown=True)
    parts += _list("Published numbers that differ", verdict_notes(table), shown=False)
    parts += _list("On the published numbers", paper_notes(table), shown=False)
    parts += _missing(table)
    content = "\n".join(filter(None, parts))
    return f'<section id="{escape(table.name)}">\n{content}\n</section>'


def _figure(table: Table) -> str:
    from grid.tables.figure import figure

    svg = figure(table)
    return f"<figure>{svg[svg.index('<svg') :]}</figure>" if any(value.number for value in table.values) else ""


def _numbers(table: Table, folder: Path | None, anchors: Mapping[str, str]) -> str:
    further = counts(table)
    heads = [f"<th>{escape(axis)}</th>" for axis in table.axes]
    heads += [f'<th class="n">{escape(text)}</th>' for text in (*(column.heading for column in table.columns), *further)]
    lines = [_paper(table, row, quoted_labels(row), len(further)) for row in table.quoted]
    before = tuple("" for _ in table.axes)
    for index, row in enumerate(table.rows):
        cells = _labels(row.labels, before)
        cells += [_place(table, row, column, value, folder, anchors) for column, value in headed(table, row)]
        cells += [f"<td>{escape(texts[index])}</td>" for texts in further.values()]
        first = ' class="first"' if row.labels[0] != before[0] else ""
        lines.append(f"<tr{first}>{''.join(cells)}</tr>")
        before = row.labels
        if has_paper(row):
            lines.append(_paper(table, row, paper_labels(table, row), len(further)))
    return f'<table class="numbers">\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>\n' + "\n".join(lines) + "\n</tbody>\n</table>"


def _labels(labels: Sequence[str], before: Sequence[str]) -> list[str]:
    """The labels of a row; those that only repeat the row above are faint."""
    found, same = [], True
    for label, above in zip(labels, before, strict=True):
        same = same and label == above
        found.append(f'<th scope="row"{" class=same" if same else ""}>{escape(label)}</th>')
    return found


def _place(
    table: Table, row: Row, column: ColumnDefinition, value: Value, folder: Path | None, anchors: Mapping[str, str]
) -> str:
    shown = escape(number(value, column.digits) + marks(table, value))
    if not value.expected:
        return f"<td>{shown}</td>"
    classes = [("best", value.bold), ("diverged", bool(value.diverged)), ("absent", value.number is None)]
    named = " ".join(name for name, there in classes if there)
    card = "".join(_card(table, row, column, value, folder, anchors))
    opened = f'<details name="{escape(table.name)}"><summary>{shown}</summary><div class="card">{card}</div></details>'
    return f'<td class="{named}">{opened}</td>' if named else f"<td>{opened}</td>"


def _card(
    table: Table, row: Row, column: ColumnDefinition, value: Value, folder: Path | None, anchors: Mapping[str, str]
) -> Iterable[str]:
    """What stands behind a number."""
    yield f"<b>{escape(', '.join([*row.labels, column.heading]))}</b>"
    if value.sources:
        lines = [_source(source, column.digits, table.root, folder, anchors) for source in value.sources]
        yield "<table><tr><th>seed</th><th>value</th><th>run</th><th>commit</th><th>logs</th></tr>" + "".join(lines) + "</table>"
    if value.standing and value.standing.best:
        yield "<p>The best of its column.</p>"
    if value.standing and value.standing.comparison:
        yield f"<p>{escape(value.standing.comparison.sentence(column.digits))} {escape(_adjusted(value.standing))}</p>"
    if value.published:
        verdict = f" {value.verdict.text}" if value.verdict else ""
        yield f"<p>Published: {escape(published(value, column.digits))}.{escape(verdict)}</p>"
    remarks = [*value.notes, *filter(None, [value.refused]), *_own_notes(table, value)]
    yield from (f"<p>{escape(text)}</p>" for text in remarks)
    if value.missing:
        reasons = "; ".join(f"seed {item.seed}: {item.reason}" for item in value.missing)
        yield f"<p>{escape(reasons)}. Type: <code>{escape(fill(table, row, column, value))}</code></p>"


def _adjusted(standing: Standing) -> str:
    ranked = "" if standing.adjusted_wilcoxon is None else f", Wilcoxon {p_text(standing.adjusted_wilcoxon)}"
    return f"These p are of this comparison alone; adjusted by Holm over all of the table: bootstrap {p_text(standing.adjusted or 0)}{ranked}."


def _source(source: Source, digits: int, root: Path, folder: Path | None, anchors: Mapping[str, str]) -> str:
    value = "" if source.value is None else f"{source.value:.{digits}f}"
    logs = " ".join(f'<a href="{escape(_link(root / log, folder))}">{escape(Path(log).parent.name)}</a>' for log in source.logs)
    run = f'<code title="cell {escape(source.cell)}">{escape(source.run)}</code>'
    if source.cell in anchors:
        run = f'<a href="#{escape(anchors[source.cell])}">{run}</a>'
    return f"<tr><td>{escape(source.seed)}</td><td>{value}</td><td>{run}</td><td><code>{escape(source.commit[:COMMIT_DIGITS])}</code></td><td>{logs}</td></tr>"


def _link(path: Path, folder: Path | None) -> str:
    from urllib.parse import quote

    return path.absolute().as_uri() if folder is None else quote(Path(os.path.relpath(path, folder)).as_posix())


def _paper(table: Table, row: Row, labels: Sequence[str], further: int) -> str:
    """The line with the published numbers, each with its verdict."""
    cells = [f'<th scope="row">{escape(label)}</th>' for label in labels]
    for column, value in headed(table, row):
        text = escape(published(value, column.digits))
        if value.verdict and not one_outcome(table):
            name = OUTCOMES.get(value.verdict.outcome, "open")
            text += f'<span class="verdict {name}" title="{escape(value.verdict.text)}">{value.verdict.outcome}</span>'
        if own := _own_notes(table, value):
            text += f'<sup title="{escape(" · ".join(own))}">n</sup>'
        cells.append(f"<td>{text}</td>")
    return f'<tr class="paper">{"".join(cells)}{"<td></td>" * further}</tr>'


def _own_notes(table: Table, value: Value) -> list[str]:
    """Where the paper contradicts itself about this number, and not about all of the table."""
    everywhere = {note.text for note in paper_notes(table) if not note.place}
    found = value.published.contradictions if value.published else ()
    return [f"On the published number: {text}." for text in found if text not in everywhere]


def _list(head: str, lines: Sequence[Note], shown: bool) -> list[str]:
    items = "".join(f"<li>{f'<b>{escape(line.place)}</b>: ' if line.place else ''}{escape(line.text)}</li>" for line in lines)
    return [f'<details class="notes"{" open" if shown else ""}><summary>{head}</summary><ul>{items}</ul></details>'] if lines else []


def _missing(table: Table) -> list[str]:
    found = [(gap, command(table, dict(gap.places), gap.remedy)) for gap in gaps(table)]
    items = [f"<li>{escape(str(gap))}{f': <code>{escape(typed)}</code>' if typed else ''}</li>" for gap, typed in found]
    then = f"<li>and then: <code>{escape(command(table, {}, 'collect'))}</code></li>" if any(typed for _, typed in found) else ""
    return [f'<details class="notes" open><summary>Missing</summary><ul>{"".join([*items, then])}</ul></details>'] if items else []
