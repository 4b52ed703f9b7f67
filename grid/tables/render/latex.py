r"""Print a table as LaTeX with booktabs, to be taken into a paper by ``\input``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from echolm.text import one_line
from grid.tables.render import wording
from grid.tables.render.caption import caption, mark_sentences
from grid.tables.render.interaction_lines import interaction_lines
from grid.tables.render.notes import NoteStyle, missing_lines, table_notes
from grid.tables.render.wording import TableNote
from grid.tables.table import Table, TableRow

SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "§": r"\S{}",
    "¶": r"\P{}",
    "‖": r"$\|$",
    "◇": r"$\diamond$",
    "\n": " ",
    '"': "''",
    "`": r"\textasciigrave{}",
    "²": "$^2$",
    "³": "$^3$",
    "°": r"$^\circ$",
    "µ": r"$\mu$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "−": "$-$",
    "–": "-",
    "…": r"\dots{}",
}
"""Signs that mean something else in LaTeX, or that its fonts lack -> what prints them."""
VERDICTS = {"reproduced": "r", "differs": "d", "not decidable": "u", "not comparable": "n"}
"""Outcome of a verdict -> its mark, as words would make the columns too wide."""
BREAKS = re.compile(r"(?<=[/=_])(?=\S)|(?<=[^\d\s][.,])(?=\S)|(?<=[0-9a-f]{16})(?=[0-9a-f])")
"""Places where a long word such as a path may go on in the next line."""
LONGEST_FLOAT = 4_000
"""Characters of notes that fit on a page with a table. More of them follow the table."""
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Makes what follows as narrow as the text where it is wider. It ends with a ``}`` of its own."""


def latex(table: Table, style: NoteStyle = "short") -> str:
    r"""Print a ``table`` with caption and label, and below it what is unusual and what is missing.

    It needs ``\usepackage{booktabs,graphicx}``. A table that is wider than the text is shrunk to
    its width. The notes are within the float, where they have room.
    """
    count_columns = wording.count_columns(table)
    outcomes = not wording.one_outcome(table)
    headings = wording.headings(table)
    alignment = "l" * len(table.axes) + "r" * (len(headings) + len(count_columns))
    remarks = "\n\n".join(_remarks(table, style, outcomes))
    inside = len(remarks) <= LONGEST_FLOAT
    lines = [
        f"% {one_line(table.grid)}, {one_line(table.name)}: needs booktabs and graphicx",
        r"\begin{table}[tp]",
        r"\centering\footnotesize",
        rf"\caption{{{escape(table.title)}. {_breakable(caption(table))}}}",
        rf"\label{{tab:{_key(table)}}}",
        FIT,
        rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}",
        r"\toprule",
        _line([escape(text) for text in [*table.axes, *headings, *count_columns]]),
        r"\midrule",
        *_body(table, list(count_columns.values()), outcomes),
        r"\bottomrule",
        r"\end{tabular}}",
        *_interactions(table),
    ]
    if remarks and inside:
        lines += [
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
            remarks,
            r"\end{minipage}",
        ]
    lines.append(r"\end{table}")
    if remarks and not inside:
        lines += [r"\begin{flushleft}\scriptsize", remarks, r"\end{flushleft}"]
    return "\n".join(lines) + "\n"


def _interactions(table: Table) -> list[str]:
    """Return the lines of the table of interactions within the float, or nothing."""
    interactions = interaction_lines(table)
    if interactions is None:
        return []
    numbers = len(interactions.header) - interactions.label_columns
    alignment = "l" * interactions.label_columns + "r" * numbers
    return [
        r"\par\smallskip",
        r"\begin{minipage}{\linewidth}\scriptsize\raggedright",
        _breakable(interactions.sentence),
        r"\end{minipage}",
        r"\par\smallskip",
        FIT,
        rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}",
        r"\toprule",
        _line([escape(text) for text in interactions.header]),
        r"\midrule",
        *(_line([escape(text) for text in line]) for line in interactions.lines),
        r"\bottomrule",
        r"\end{tabular}}",
    ]


def document(tables: Sequence[Table], style: NoteStyle = "short") -> str:
    """Print a whole document with some tables, to look at."""
    lines = [
        r"\documentclass{article}",
        r"\usepackage[margin=1.5cm]{geometry}",
        r"\usepackage{booktabs,graphicx}",
        r"\begin{document}",
        *(latex(table, style) for table in tables),
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Spell a text as LaTeX prints it.

    A sign that LaTeX's usual fonts lack becomes its code, ``U+2603``.
    """
    signs = [_escape_sign(sign) for sign in text]
    # LaTeX would print two hyphens as one dash. Of three, the first replacement leaves two.
    return "".join(signs).replace("--", "-{}-").replace("--", "-{}-")


def _escape_sign(sign: str) -> str:
    if sign in SIGNS:
        return SIGNS[sign]
    if _is_common(sign):
        return sign
    return f"U+{ord(sign):04X}"


def _is_common(sign: str) -> bool:
    """Check whether LaTeX's first fonts have a sign: ASCII, or a letter of Western Europe."""
    if sign.isascii():
        return sign.isprintable()
    if ord(sign) >= 0x100 or not sign.isalpha() or sign in "ªº":
        return False
    return bool(unicodedata.decomposition(sign)) or sign in "ßæøåÆØÅ"


def _key(table: Table) -> str:
    """Name a table in a label, which may hold few signs."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", f"{table.grid}-{table.name}")


def _body(table: Table, counts: Sequence[Sequence[str]], outcomes: bool) -> list[str]:
    """Print the rows of a table, each with the line of the paper below it.

    Args:
        table: the table.
        counts: further columns, each with the texts of all rows.
        outcomes: whether each published number has its verdict beside it.
    """
    lines = []
    for row in table.paper_rows:
        labels = wording.quoted_labels(row)
        lines.append(_paper_line(table, row, labels, len(counts), outcomes))
    labels_differ = wording.labels_differ(table)
    group = table.rows[0].labels[0] if table.rows else ""
    for index, row in enumerate(table.rows):
        if row.labels[0] != group:
            lines.append(r"\addlinespace")
        group = row.labels[0]
        cells = [escape(label) for label in row.labels]
        cells += _numbers(table, row, labels_differ)
        cells += [escape(texts[index]) for texts in counts]
        lines.append(_line(cells))
        if wording.has_paper(row):
            labels = wording.paper_labels(table, row)
            lines.append(_paper_line(table, row, labels, len(counts), outcomes))
    return lines


def _numbers(table: Table, row: TableRow, labels_differ: bool) -> list[str]:
    """Print the values of a row, the best in bold, then their marks."""
    cells = []
    for column, value in wording.headed(table, row):
        text = escape(wording.number(value, column.digits))
        if value.bold:
            text = rf"\textbf{{{text}}}"
        cells.append(text + escape(wording.marks(value, labels_differ)))
    return cells


def _paper_line(
    table: Table, row: TableRow, labels: Sequence[str], count_columns: int, outcomes: bool
) -> str:
    """Print the published numbers of a row in italics, then a blank cell a count column."""
    texts = [escape(label) for label in labels]
    for column, value in wording.headed(table, row):
        text = escape(wording.published(value, column.digits))
        if value.verdict and outcomes:
            text += _verdict(value.verdict.outcome)
        texts.append(text)
    cells = [rf"\textit{{{text}}}" if text else "" for text in texts]
    return _line([*cells, *[""] * count_columns])


def _verdict(outcome: str) -> str:
    return rf"$^\mathrm{{{VERDICTS[outcome]}}}$"


def _verdict_legend(table: Table) -> str:
    """Say what the marks of verdicts mean, of those that occur."""
    occurring = wording.outcomes(table)
    if not occurring:
        return ""
    meanings = [f"{_verdict(name)} {name}" for name in VERDICTS if name in occurring]
    return f"Verdicts on published numbers: {', '.join(meanings)}."


def _breakable(text: str) -> str:
    """Spell a text as LaTeX prints it, with places where long words may be broken."""
    return r"\allowbreak{}".join(escape(part) for part in BREAKS.split(text))


def _line(cells: Sequence[str]) -> str:
    """Join cells to a line of a table."""
    # After the end of a line, "[" would begin an argument of it.
    guarded = [f"{{{cell}}}" if cell.startswith("[") else cell for cell in cells]
    return " & ".join(guarded) + r" \\"


def _remarks(table: Table, style: NoteStyle, outcomes: bool) -> list[str]:
    """Return marks, notes and what is missing as paragraphs.

    Args:
        table: the table.
        style: of its notes.
        outcomes: whether each published number has its verdict beside it.
    """
    notes = table_notes(table, style)
    parts = []
    marks = [_breakable(sentence) for sentence in mark_sentences(table)]
    if outcomes and _verdict_legend(table):
        marks.append(_verdict_legend(table))
    if marks:
        parts.append(" ".join(marks))
    parts += _remark("Notes", notes.notes)
    parts += _remark("Published numbers that differ", notes.differing)
    parts += _remark("On the published numbers", notes.paper)
    gaps = []
    for line in missing_lines(table, style):
        text = _breakable(line.text)
        if line.command:
            text += rf": \texttt{{{_breakable(line.command)}}}"
        gaps.append(text)
    if gaps:
        parts.append(r"\textit{Missing.} " + "; ".join(gaps) + ".")
    return parts


def _remark(head: str, notes: Sequence[TableNote]) -> list[str]:
    """Return some notes as a paragraph, or nothing without any."""
    if not notes:
        return []
    texts = [_breakable(str(note).removesuffix(".")) for note in notes]
    return [rf"\textit{{{head}.}} {'; '.join(texts)}."]
