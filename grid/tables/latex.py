"""A table as LaTeX with booktabs, to be taken into a paper by ``\\input``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from grid.tables.caption import caption
from grid.tables.markdown import counts
from grid.tables.missing import command, gaps
from grid.tables.table import Row, Table
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

SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"\S{}", "¶": r"\P{}", "\n": " ", '"': "''", "`": r"\textasciigrave{}",
    "²": "$^2$", "³": "$^3$", "°": r"$^\circ$", "µ": r"$\mu$", "·": r"$\cdot$", "×": r"$\times$", "≤": r"$\le$", "≥": r"$\ge$", "−": "$-$",
    "–": "-", "…": r"\dots{}",
}  # fmt: skip
"""Signs that mean something else in LaTeX, or that its fonts lack."""
VERDICTS = {"reproduced": "r", "differs": "d", "not decidable": "u", "not comparable": "n"}
"""Outcome of a verdict -> its mark, as words would make the columns too wide."""
BREAKS = re.compile(r"(?<=[/=_])(?=\S)|(?<=[^\d\s][.,])(?=\S)|(?<=[0-9a-f]{16})(?=[0-9a-f])")
"""Where a long word such as a path may go on in the next line."""
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Makes what follows, up to its ``}``, as narrow as the text where it is wider."""


def latex(table: Table) -> str:
    """A ``table`` with caption and label, and below it, as text, what is unusual and what is missing.

    Needs ``\\usepackage{booktabs,graphicx}``. A table that is wider than the text is shrunk to its width.
    """
    further = counts(table)
    columns = "l" * len(table.axes) + "r" * (len(table.columns) + len(further))
    heads = [*table.axes, *(column.heading for column in table.columns), *further]
    lines = [
        r"\begin{table}[tp]", r"\centering\footnotesize",
        rf"\caption{{{escape(table.title)}. {_words(caption(table))}{_legend(table)}}}", rf"\label{{tab:{_key(table)}}}",
        FIT, rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", _line([escape(head) for head in heads]), r"\midrule",
        *_body(table, list(further.values())), r"\bottomrule", r"\end{tabular}}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join([f"% {table.grid}, {table.name}: needs booktabs and graphicx", *lines, *_remarks(table)]) + "\n"


def document(tables: Sequence[Table]) -> str:
    """A whole document with some tables, to look at."""
    head = [r"\documentclass{article}", r"\usepackage[margin=1.5cm]{geometry}", r"\usepackage{booktabs,graphicx}"]
    return "\n".join([*head, r"\begin{document}", *(latex(table) for table in tables), r"\end{document}"]) + "\n"


def escape(text: str) -> str:
    """``text`` as LaTeX prints it; a sign that its usual fonts lack as its code, ``U+2603``."""
    shown = "".join(SIGNS.get(sign) or (sign if _is_common(sign) else f"U+{ord(sign):04X}") for sign in text)
    return shown.replace("--", "-{}-").replace("--", "-{}-")


def _is_common(sign: str) -> bool:
    """Whether LaTeX's first fonts have it: ASCII, and the accented letters of Western Europe."""
    accented = ord(sign) < 0x100 and sign.isalpha() and (bool(unicodedata.decomposition(sign)) or sign in "ßæøåÆØÅ")
    return (sign.isascii() and sign.isprintable()) or (accented and sign not in "ªº")


def _key(table: Table) -> str:
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-.") else "-" for sign in f"{table.grid}-{table.name}")


def _body(table: Table, further: Sequence[Sequence[str]]) -> list[str]:
    quoted = [[*map(escape, quoted_labels(row)), *_paper_numbers(table, row)] for row in table.quoted]
    lines = [_line([*(rf"\textit{{{text}}}" if text else "" for text in own), *("" for _ in further)]) for own in quoted]
    before = table.rows[0].labels[0] if table.rows else ""
    for index, row in enumerate(table.rows):
        if row.labels[0] != before:
            lines.append(r"\addlinespace")
        before = row.labels[0]
        lines.append(_line([*map(escape, row.labels), *_numbers(table, row), *(escape(texts[index]) for texts in further)]))
        if has_paper(row):
            own = [*map(escape, paper_labels(table, row)), *_paper_numbers(table, row)]
            lines.append(_line([*(rf"\textit{{{text}}}" if text else "" for text in own), *("" for _ in further)]))
    return lines


def _numbers(table: Table, row: Row) -> list[str]:
    texts = []
    for column, value in headed(table, row):
        text = escape(number(value, column.digits))
        texts.append((rf"\textbf{{{text}}}" if value.bold else text) + escape(marks(table, value)))
    return texts


def _paper_numbers(table: Table, row: Row) -> list[str]:
    texts = []
    for column, value in headed(table, row):
        mark = _verdict(value.verdict.outcome) if value.verdict and not one_outcome(table) else ""
        texts.append(escape(published(value, column.digits)) + mark)
    return texts


def _verdict(outcome: str) -> str:
    return rf"$^\mathrm{{{VERDICTS[outcome]}}}$"


def _legend(table: Table) -> str:
    """What the marks of verdicts mean, of those that occur."""
    found = {value.verdict.outcome for value in table.values if value.verdict}
    told = [f"{_verdict(outcome)} {outcome}" for outcome in VERDICTS if outcome in found]
    return f" Verdicts on published numbers: {', '.join(told)}." if told and not one_outcome(table) else ""


def _words(text: str) -> str:
    """``text`` as LaTeX prints it, with places where long words may be broken."""
    return r"\allowbreak{}".join(escape(part) for part in BREAKS.split(text))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(f"{{{cell}}}" if cell.startswith("[") else cell for cell in cells) + r" \\"


def _remarks(table: Table) -> list[str]:
    lists = [("Notes", notes(table)), ("Published numbers that differ", verdict_notes(table)), ("On the published numbers", paper_notes(table))]
    parts = [_remark(head, lines) for head, lines in lists if lines]
    found = [(gap, command(table, dict(gap.places), gap.remedy)) for gap in gaps(table)]
    fills = [_words(str(gap)) + (rf": \texttt{{{_words(typed)}}}" if typed else "") for gap, typed in found]
    parts += [r"\textit{Missing.} " + "; ".join(fills) + "."] if fills else []
    return [r"\begin{flushleft}\scriptsize", "\n\n".join(parts), r"\end{flushleft}"] if parts else []


def _remark(head: str, lines: Sequence[Note]) -> str:
    return rf"\textit{{{head}.}} " + "; ".join(_words(str(line)) for line in lines) + "."
