"""HTML, LaTeX and figures have everything, no name can break them, and the engines read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from echolm.errors import EchoLMError
from grid.definition.grid import load_grid
from grid.definition.tables import TableDefinition
from grid.tables.build import build
from grid.tables.render import html, latex
from grid.tables.render.figure import figure, save
from grid.tables.render.wording import number

HOSTILE = "</td><script>alert(1)</script> & \\input{/etc/passwd} 100% $x$ _#^~{}|«☃»\"'`--where"
SYSTEM = os.environ.get("ECHOLM_TEST_SYSTEM") == "1"
APT = ("apt-get", "install", "-y", "-qq", "--no-install-recommends")


class Elements(HTMLParser):
    """The tags, texts and links of a page; a tag that is not closed is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]
        if tag not in ("meta", "br", "path", "use"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "use"):
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def drawn(grid: Any) -> Any:
    """The grid with a figure: encoders by head."""
    columns = [
        {"metric": "dice", "slot": "ED", "where": {"head": head}, "label": head}
        for head in ("mlp", "gcn")
    ]
    definition = {
        "title": "F",
        "rows": ["encoder"],
        "columns": columns,
        "figure": {"x": "head", "y": "Dice"},
    }
    grid.tables["main"] = TableDefinition.model_validate(definition)
    return grid


def test_the_page_shows_every_number_and_links_every_log(
    grid: Any, results: Any, complete: Any, tmp_path: Path
) -> None:
    log = tmp_path / "a b" / "1" / "log.txt"
    log.parent.mkdir(parents=True)
    log.touch()
    table = build(grid, "main", results.folder, logs=lambda cell, fingerprint: [str(log)])
    page = Elements(html.page("A page", [table], tmp_path / "out"))
    texts = "".join(page.texts)
    for _, value in table.located_values:
        assert all(run in texts for run in value.runs)
    assert all(
        number(value, column.digits) in texts
        for row in table.rows
        for column, value in zip(table.columns, row.values, strict=True)
    )
    links = [link for link in page.links if not link.startswith("#")]
    assert len(links) == 12 * 3 and {
        (tmp_path / "out" / unquote(link)).resolve() for link in links
    } == {log}
    assert "script" not in page.tags and "https://" not in html.page("A page", [table])
    assert set(Elements(html.html(table)).links) == {log.as_uri()}


def test_missing_values_show_the_command_that_fills_them(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0")
    table = build(grid, "main", results.folder)
    command = "echolm launch small --on local --where encoder=tiny-r3d --where head=mlp"
    assert command in "".join(Elements(html.html(table)).texts)
    assert command in latex.latex(table).replace("-{}-", "--").replace(r"\allowbreak{}", "")


def test_no_name_can_break_a_page_or_a_document(grid: Any, results: Any, cell: Any) -> None:
    grid.cells = [cell("x", {"encoder": HOSTILE, "head": HOSTILE, "seed": "0"})]
    grid.tables["main"] = grid.tables["main"].model_copy(update={"title": HOSTILE})
    results.run("x", problem=HOSTILE)
    table = build(grid, "main", results.folder)
    page = Elements(html.page(HOSTILE, [table]))
    assert "script" not in page.tags and HOSTILE in "".join(page.texts)
    text = latex.latex(table)
    assert "\\input{" not in text and "U+2603" in text and "100%" not in text.replace("\\%", "")


def test_latex_has_a_row_a_line_and_bold_numbers(grid: Any, results: Any, complete: Any) -> None:
    table = build(grid, "main", results.folder)
    text = latex.latex(table)
    lines = [line for line in text.splitlines() if line.startswith(("tiny", "encoder"))]
    assert len(lines) == 5 and all(line.count("&") == 4 and line.endswith(r"\\") for line in lines)
    assert text.count(r"\textbf{") == sum(value.bold for value in table.values) > 0
    for row, line in zip(table.rows, lines[1:], strict=True):
        assert all(
            number(value, column.digits).replace("±", r"$\pm$") in line
            for value, column in zip(row.values, table.columns, strict=True)
        )


def test_verdicts_are_marks_with_a_legend(results: Any) -> None:
    grid = load_grid("nldl2026")
    for cell in grid.cells:
        if "table-4" in cell.tables:
            results.run(cell.id)
    table = build(grid, "table-4", results.folder)
    text = latex.latex(table)
    outcomes = {value.verdict.outcome for value in table.values if value.verdict}
    assert outcomes and not any(f" {outcome}}}" in text for outcome in outcomes)
    legend = text.split("Verdicts on published numbers: ")[1]
    for outcome in outcomes:
        mark = f"$^\\mathrm{{{latex.VERDICTS[outcome]}}}$"
        places = sum(
            bool(value.verdict) and value.verdict.outcome == outcome for value in table.values
        )
        assert f"{mark} {outcome}" in legend and text.count(mark) == places + 1


def compiled(text: str, folder: Path) -> str:
    """What pdflatex says about a document; it must be one."""
    if not shutil.which("pdflatex"):
        subprocess.run(
            [*APT, "texlive-latex-base", "texlive-latex-recommended"],
            check=True,
            capture_output=True,
        )
    (folder / "t.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "t.pdf").read_bytes().startswith(b"%PDF")
    return done.stdout


@pytest.mark.skipif(
    not SYSTEM, reason="ECHOLM_TEST_SYSTEM=1 installs LaTeX and compiles the tables"
)
def test_the_papers_tables_fit_the_text(results: Any, tmp_path: Path) -> None:
    """Of one column, and of two."""
    grid = load_grid("nldl2026")
    for at, cell in enumerate(grid.cells):
        if at % 17:  # some are missing, with their commands
            results.run(cell.id)
    tables = [
        build(grid, name, results.folder, kind)
        for name in grid.tables
        for kind in ("std-over-patients", "crossed-95")
    ]
    text = latex.document(tables)
    assert "{article}" in text
    for style in ("{article}", "[twocolumn]{article}"):
        said = compiled(text.replace("{article}", style), tmp_path)
        assert "Overfull \\hbox" not in said, style


@pytest.mark.skipif(
    not SYSTEM, reason="ECHOLM_TEST_SYSTEM=1 installs LaTeX and compiles the tables"
)
def test_latex_is_compiled(grid: Any, results: Any, cell: Any, drawn: Any, tmp_path: Path) -> None:
    grid.cells.append(cell("x", {"encoder": HOSTILE, "head": "mlp", "seed": "0"}))
    for one in grid.cells[:-4]:
        results.run(one.id, problem=HOSTILE)
    source = {"paper": "bhoodoo2026", "table": "2", "labels": {"encoder": {"tiny-r3d": "r3d-18"}}}
    definition = grid.tables["main"].model_copy(update={"title": HOSTILE})
    for one in grid.cells:
        one.coordinates.setdefault("augmentation", "none")
        one.coordinates.update(trainable="all")
    grid.tables["main"] = TableDefinition.model_validate(
        {**definition.model_dump(), "published": source}
    )
    tables = [
        build(grid, "main", results.folder, kind) for kind in ("crossed-95", "std-over-patients")
    ]
    compiled(latex.document(tables), tmp_path)


def test_a_figure_has_a_line_a_row_and_is_the_same_every_time(
    drawn: Any, results: Any, complete: Any, tmp_path: Path
) -> None:
    table = build(drawn, "main", results.folder)
    text = figure(table)
    assert text == figure(table)
    ElementTree.fromstring(text)
    shown = re.sub(r"<[^>]+>", " ", text)
    assert all(
        label in shown
        for label in (
            "tiny-r3d",
            "tiny-mvit",
            "mlp",
            "gcn",
            "Dice",
            "95 % interval over patients and seeds",
        )
    )
    svg, pdf = save(table, tmp_path)
    assert svg.read_text(encoding="utf-8") == text and pdf.read_bytes().startswith(b"%PDF")
    assert "<svg" in html.html(table) and "<svg" not in html.html(table, drawn=False)


def test_a_figure_says_what_its_band_is_over(drawn: Any, results: Any) -> None:
    """Two seeds have no interval over seeds. The label is of the numbers, not of their kind."""
    for cell in drawn.cells:
        if not cell.id.endswith("2"):
            results.run(cell.id)
    text = figure(build(drawn, "main", results.folder))
    assert (
        "95 % interval over patients only (24 patients, 2 seeds)" in text
        and "and seeds" not in text
    )
    for cell in drawn.cells:
        if cell.id.endswith("mlp.2"):
            results.run(cell.id)
    text = figure(build(drawn, "main", results.folder))
    band = "95 % interval over patients and seeds (under 3 seeds: over patients only)"
    assert f"{band} (24 patients, 2-3 seeds)" in text


def test_a_figure_of_nothing_and_of_seeds_far_behind_can_be_drawn(drawn: Any, results: Any) -> None:
    ElementTree.fromstring(figure(build(drawn, "main", None)))
    results.run("tiny-r3d.mlp.0")
    text = figure(build(drawn, "main", results.folder))
    assert "seed far behind its best" not in text
    ElementTree.fromstring(text)
    rows = results.run("tiny-r3d.mlp.1").to_pylist()
    worse = [{**row, "dice": row["dice"] - 60} for row in rows]
    results.run("tiny-r3d.mlp.1", end=1, table=pa.Table.from_pylist(worse))
    assert "seed far behind its best" in figure(build(drawn, "main", results.folder))


def test_a_figure_draws_the_mean_contour_where_values_are_held_against_it(
    drawn: Any, results: Any, cell: Any
) -> None:
    drawn.cells.append(cell("mean", {"encoder": "none", "head": "mean", "seed": "0"}, tables=()))
    for one in drawn.cells:
        results.run(one.id)
    assert "mean contour" not in figure(build(drawn, "main", results.folder))
    drawn.tables["main"] = drawn.tables["main"].model_copy(update={"baseline": {"head": "mean"}})
    assert "mean contour of the training data" in figure(build(drawn, "main", results.folder))


def test_a_figure_that_cannot_be_drawn_says_why(drawn: Any, grid: Any) -> None:
    definition = grid.tables["main"]
    grid.tables["main"] = definition.model_copy(
        update={"figure": definition.figure.model_copy(update={"scale": "log"})}
    )
    with pytest.raises(
        EchoLMError, match="scale log: the heading 'mlp' begins with no number; or use scale: even"
    ):
        figure(build(grid, "main", None))
    grid.tables["main"] = definition.model_copy(update={"figure": None})
    with pytest.raises(EchoLMError, match="has no section 'figure'"):
        figure(build(grid, "main", None))
