"""Whatever a title, a label, an axis, a note or a run is called, every format stays what it is.

Each is read back by a parser that knows nothing of EchoLM.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from echolm.commands import Command
from grid.definition.tables import ColumnDefinition, FigureDefinition
from grid.statistics import DivergedRun, Estimate
from grid.tables import output
from grid.tables.render import html, latex, markdown
from grid.tables.render.data import csv_text, json_text, plain
from grid.tables.render.figure import figure_name
from grid.tables.render.indented_json import indented_json
from grid.tables.table import Missing, Table, TableRow, Value, ValueSource

PIECES = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x9b31m",
    "\x85",
    "\u202e",
    "\u2066",
    "\u2028",
    "\r\n",
    "\n",
    "\t",
    "\x00",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "＝1",
    "|",
    "\\",
    "\\|",
    "`",
    "``",
    "```",
    "`echolm ",
    "**",
    "<script>alert(1)</script>",
    "</td></table>",
    "<img src=x onerror=alert(1)>",
    "&lt;",
    "[a](javascript:alert(1))",
    "![a](http://b)",
    '"',
    "'",
    ",",
    ";",
    "%",
    "\\immediate\\write18{id}",
    "\\end{table}",
    "$x$",
    "^^M",
    "{",
    "}",
    "#",
    "&",
    "_",
    "~",
    "--",
    "../",
    "/",
    ".",
    "☃",
    "é",
    "日本",
    " ",
    "x",
    "- ",
    "# ",
)
"""What has a meaning somewhere."""
NASTY = st.lists(st.one_of(st.sampled_from(PIECES), st.characters()), min_size=1, max_size=6).map(
    "".join
)
LIMITS = settings(max_examples=60, suppress_health_check=list(HealthCheck))


def obeyed(text: str, kept: str = "\n\t") -> set[str]:
    """The characters of a text that a terminal obeys, or that turn its order round."""
    found = set()
    for letter in text:
        category = unicodedata.category(letter)
        if letter not in kept and category in ("Cc", "Cf", "Zl", "Zp", "Cs"):
            found.add(letter)
    return found


def hostile(text: str) -> Table:
    """A table with the text wherever somebody else's text may stand."""
    number = Estimate(-1.5, "std-over-patients", patients=5, seeds=2, spread=0.25)
    source = ValueSource("0", text, text, text, text, (), value=-1.25)
    full = Value(
        number,
        sources=(source, replace(source, seed=text)),
        notes=(text, f"seed 0: {text}"),
        diverged=(DivergedRun(text, float("nan"), text),),
    )
    lacking = Missing("1", "cell", text, Command("launch", text, where=(f"axis={text}",)))
    half = replace(full, missing=(lacking,))
    refused = Value(None, sources=(source,), refused=text)
    columns = (
        ColumnDefinition(metric="dice", label=f"{text} first"),
        ColumnDefinition(metric="dice", label=text),
    )
    rows = (
        TableRow((text, "plain"), (full, half)),
        TableRow(("plain", text), (refused, Value(None))),
    )
    return Table(
        grid=text,
        name=text,
        title=text,
        axes=(text, "head"),
        columns=columns,
        rows=rows,
        kind="std-over-patients",
        reference=text,
    )


@LIMITS
@given(NASTY)
@example("=cmd|' /C calc'!A0")
@example("-1")
@example("a;=1+1")
def test_csv_has_no_formula_and_its_numbers_are_numbers(text: str) -> None:
    written = csv_text([hostile(text)])
    assert not obeyed(written, "\n")
    header, *rows = csv.reader(io.StringIO(written))
    assert len(rows) == 3
    for row in [header, *rows]:
        assert len(row) == len(header)
        for cell in row:
            for field in cell.split(";"):
                is_number = re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", field, re.IGNORECASE)
                assert field == "-" or is_number or not field.startswith(tuple("=+-@＝＋－＠\t\r"))
    assert {row[header.index("mean")] for row in rows} == {"-1.5", ""}
    assert rows[0][header.index("values")] == "-1.25;-1.25"


@LIMITS
@given(NASTY)
def test_json_says_the_same_and_orders_nothing(text: str) -> None:
    table = hostile(text)
    document = json_text(text, [table])
    assert not obeyed(document, "\n") - {
        letter for letter in text if "\ud800" <= letter <= "\udfff"
    }
    assert json.loads(document) == {"grid": text, "tables": [json.loads(json.dumps(plain(table)))]}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@LIMITS
@given(PLAIN)
def test_indented_json_is_pythons(value: Any) -> None:
    assert indented_json(value) == json.dumps(value, indent=1, ensure_ascii=False)


class Tags(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


ALLOWED = set(
    "html head meta title style body h1 h2 nav a section figure table thead tbody tr th td details"
    " summary div b code p span sup ul li".split()
)


@LIMITS
@given(NASTY)
def test_html_has_only_its_own_elements(text: str) -> None:
    written = html.page(text, [hostile(text)])
    page = Tags(written)
    assert page.tags <= ALLOWED
    assert not [name for name in page.names if name.startswith("on")]
    assert all(link.startswith("#") for link in page.links)
    assert not page.open
    assert not obeyed(written)
    assert "−1.50 ± 0.25" in page.text


@LIMITS
@given(NASTY)
@example("a\\|b")
@example("```<b>`")
@example("`echolm <b>`")
def test_markdown_has_one_table_of_equal_rows_and_nothing_else_of_its_own(text: str) -> None:
    written = markdown.markdown(hostile(text))
    assert not obeyed(written, "\n")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(written)
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 1
    assert "html_block" not in kinds
    assert "heading_open" not in kinds
    rows: list[int] = []
    for kind in kinds:
        if kind == "tr_open":
            rows.append(0)
        if kind in ("td_open", "th_open"):
            rows[-1] += 1
    # The header, two rows; two axes, two columns and the seeds.
    assert rows == [5, 5, 5]
    for token in tokens:
        inside = {child.type for child in token.children or ()}
        assert not inside & {"html_inline", "link_open", "image"}, token.content


COMMANDS = set(
    "begin end centering footnotesize caption label resizebox ifdim width linewidth else fi toprule"
    " midrule bottomrule textbf textit texttt textbackslash textasciitilde textasciicircum textless"
    " textgreater textbar textasciigrave pm dagger ddagger S P circ mu cdot times le ge dots mathrm"
    " allowbreak par smallskip scriptsize raggedright addlinespace".split()
)
TOKEN = re.compile(r"\\([A-Za-z]+|.)|(%[^\n]*)|([{}$&#^_~])|([^\\%{}$&#^_~]+)", re.DOTALL)


def read_latex(text: str) -> tuple[list[str], list[str]]:
    """The commands and comments of LaTeX code, by a tokenizer of its own.

    Braces, dollar signs and environments must be closed.
    """
    commands, comments, groups = [], [], 0
    in_math = False
    for match in TOKEN.finditer(text):
        command, comment, sign, _ = match.groups()
        if command:
            commands.append(command)
        elif comment:
            comments.append(comment)
        elif sign == "{":
            groups += 1
        elif sign == "}":
            groups -= 1
            assert groups >= 0
        elif sign == "$":
            in_math = not in_math
        elif sign in ("#", "~"):
            raise AssertionError(f"an active {sign}")
        elif sign in ("^", "_"):
            assert in_math
    assert groups == 0
    assert not in_math
    opened: list[str] = []
    for word, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if word == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    return commands, comments


@LIMITS
@given(NASTY)
@example("x\n\\immediate\\write18{id}")
@example("^^M\\input{/etc/passwd}")
def test_latex_has_only_its_own_commands_and_one_comment(text: str) -> None:
    written = latex.latex(hostile(text))
    assert not obeyed(written, "\n")
    assert written.startswith("%")
    commands, comments = read_latex(written.partition("\n")[2])
    words = {command for command in commands if command.isalpha()}
    assert words <= COMMANDS
    signs = {command for command in commands if not command.isalpha()}
    assert signs <= set("&%$#_{}\\|")
    # Beside the first line, the end of the line that fits the table into the text.
    assert comments == ["%"]
    assert "^^" not in written.partition("\n")[2]
    body = written[written.index(r"\toprule") : written.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in lines] == [4, 4, 4]
    assert r"$-$1.50 $\pm$ 0.25" in written
    notes = written[written.index(r"\begin{minipage}") : written.rindex(r"\end{table}")]
    assert "Notes." in notes


@LIMITS
@given(NASTY, NASTY)
def test_a_figures_file_lies_in_its_folder_under_a_name_of_its_own(one: str, other: str) -> None:
    def name(text: str) -> str:
        return figure_name(replace(hostile("x"), name=text))

    folder = Path("/a/b")
    path = Path(f"{folder}/{name(one)}.svg")
    assert path.parent == folder
    assert not path.name.startswith(".")
    assert "\x00" not in path.name
    assert len(path.name.encode()) < 255
    assert not obeyed(path.name, "")
    assume(one != other)
    assert name(one) != name(other)


@pytest.mark.parametrize("name", ["../../outside/evil", "/etc/x", "..", "x" * 500, "a/b"])
def test_figures_are_drawn_within_the_folder(name: str, tmp_path: Path, grid: Any) -> None:
    text = "_$x_{\\frac$ </text><script>\x1b\u202e&"
    table = replace(
        hostile(text), name=name, figure=FigureDefinition(x=text, y=text, panels="head")
    )
    folder = tmp_path / "out" / "figs"
    written = list(output.draw(grid, [table], folder))
    assert [path.suffix for path in written] == [".svg", ".pdf", ".json"]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(written)
    assert {path.parent for path in written} == {folder}
    svg = written[0].read_text(encoding="utf-8")
    assert not obeyed(svg)
    drawing = ElementTree.fromstring(svg)
    shown = "".join(drawing.itertext())
    assert shown.count("$x_{\\frac$ </text><script>\\x1b\\u202e&") >= 3
    assert not [element for element in drawing.iter() if element.tag.endswith("script")]
