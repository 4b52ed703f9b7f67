"""Tables as files: in one of several layouts, and drawn as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from grid.definition.tables import TableGrid
from grid.tables.render import data, html, latex, markdown
from grid.tables.render.notes import NoteStyle
from grid.tables.table import Table

FORMATS = ("md", "latex", "csv", "parquet", "html")
"""Layouts by name."""


def render(
    style: str,
    grid: TableGrid,
    tables: Sequence[Table],
    out: Path | None,
    notes: NoteStyle = "short",
    width: int | None = None,
) -> bytes:
    """Return tables in one of ``FORMATS``.

    Args:
        style: the layout.
        grid: the grid of the tables.
        tables: the tables.
        out: the file that they are written to. None for standard output. Links in a page are
            relative to it.
        notes: ``full``, or ``short`` for notes that are alike in one line.
        width: columns of the terminal that shows them. None: there is none.

    Raises:
        EchoLMError: the layout is not text, and there is no file.
    """
    if style == "parquet":
        if out is None:
            raise EchoLMError("--format parquet is not text; add --out FILE.parquet")
        return data.parquet(tables)
    if style == "csv":
        return data.csv_text(tables).encode()
    if style == "html":
        folder = out.absolute().parent if out else None
        return html.encoded_page(grid.title or grid.name, tables, folder, notes)
    if style == "latex":
        texts = [latex.latex(table, notes) for table in tables]
    else:
        texts = [markdown.markdown(table, notes, width) for table in tables]
    return ("\n".join(texts).rstrip("\n") + "\n").encode()


def provenance(grid: TableGrid, tables: Sequence[Table]) -> bytes:
    """Return the JSON document with the runs, seeds, commits and logs behind each number."""
    return data.json_text(grid.name, tables).encode()


def draw(grid: TableGrid, tables: Sequence[Table], folder: Path) -> Iterator[Path]:
    """Draw the figures of tables into a folder, each with its ``provenance``.

    Yields:
        Each file, once it is written.

    Raises:
        EchoLMError: no table is drawn, or two figures would have the same files.
    """
    from grid.tables.render.figures import figures_of

    figures = [figure for table in tables for figure in figures_of(table)]
    if not figures:
        names = ", ".join(table.name for table in tables)
        raise EchoLMError(f"--figures: no table of {names} has a section 'figure' or 'figures'")
    for name, count in Counter(figure.name for figure in figures).items():
        if count > 1:
            raise EchoLMError(f"--figures: two figures would be {name}.svg; rename one of them")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        yield from figure.save(folder)
        path = folder / f"{figure.name}.json"
        write(path, provenance(grid, [figure.table]))
        yield path


def write(path: Path, content: bytes) -> None:
    """Write a file, and the folders that it is in.

    Raises:
        EchoLMError: it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
