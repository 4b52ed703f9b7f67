"""``echolm tables``: collected runs -> the papers' tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from echolm.cli.options import as_json, program
from echolm.cli.standings import where_run
from echolm.errors import EchoLMError
from echolm.record import write_atomic, writing
from echolm.registry import suggest
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tables.definition import TableGrid
    from grid.tables.table import Table


FORMATS = ("md", "latex", "csv", "parquet", "html")


@click.command()
@click.argument("grid_name", metavar="GRID")
@click.option("--format", "style", type=click.Choice(FORMATS), default="md", show_default=True, help="Layout.")
@click.option("--spread", metavar="KIND", default="", help="What the ± is: crossed-95, bootstrap-95, bootstrap-90, std-over-patients (or patients), "
              "std-over-seeds (or seeds), subset-draws-95.  [default: each table's own]")  # fmt: skip
@click.option("--table", "name", metavar="NAME", help="Only this table.")
@click.option("--definition", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A YAML file with a section 'tables': further tables of GRID.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write to a file; beside it FILE.json with the runs, seeds, commits and logs behind each number.")  # fmt: skip
@click.option("--figures", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Draw the figures of GRID into DIR, as SVG and PDF, each with a JSON of the runs, seeds, commits and logs behind its points.")
@as_json
@click.pass_obj
def tables(
    workspace: Workspace, grid_name: str, style: str, spread: str, name: str | None, definition: Path | None, out: Path | None,
    figures: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the tables of GRID from its collected runs.

    Numbers with their ±, what is missing and how to fill it. GRID is a name from 'echolm grid list', the name of a
    launched grid, or the path of a YAML file. Published numbers stand below those of the runs where the grid names them,
    with a verdict on each. Paths of logs are relative to the workspace; links of HTML to the page.
    """
    from grid.tables.data import json_text
    from grid.tables.workspace import built_tables

    if as_json and click.get_current_context().get_parameter_source("style") == ParameterSource.COMMANDLINE:
        raise click.UsageError("--json prints one JSON document, and --format another layout; choose one of them")
    grid, results = open_grid(workspace, grid_name)
    grid = _with_tables(grid, definition)
    built = built_tables(workspace, grid, results, _wanted(grid, name), program(), spread, on=where_run(workspace, grid.name))
    if figures is not None:
        _draw(grid.name, built, figures)
    text = json_text(grid.name, built)
    if as_json:
        _print_or_write(text.encode(), out)
    elif figures is None or out is not None:
        _print_or_write(_rendered(style, grid, built, out), out)
        if out is not None and style != "html":
            _print_or_write(text.encode(), out.with_name(f"{out.name}.json"))


def _rendered(style: str, grid: TableGrid, built: Sequence[Table], out: Path | None) -> bytes:
    """The tables in one of ``FORMATS``."""
    from grid.tables import data, html, latex, markdown

    if style == "parquet":
        if out is None:
            raise EchoLMError("--format parquet is not text; add --out FILE.parquet")
        return data.parquet(built)
    if style == "csv":
        return data.csv_text(built).encode()
    if style == "html":
        return html.page(grid.title or grid.name, built, out.absolute().parent if out else None).encode()
    render = {"md": markdown.markdown, "latex": latex.latex}[style]
    return ("\n".join(render(table) for table in built).rstrip("\n") + "\n").encode()


def _draw(grid: str, built: Sequence[Table], folder: Path) -> None:
    from grid.tables.data import json_text
    from grid.tables.figure import save

    drawn = [table for table in built if table.figure]
    if not drawn:
        raise EchoLMError(f"--figures: no table of {', '.join(table.name for table in built)} has a section 'figure'")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for table in drawn:
        for path in save(table, folder):
            click.echo(f"wrote {path}", err=True)
        _print_or_write(json_text(grid, [table]).encode(), folder / f"{table.name}.json")


def open_grid(workspace: Workspace, given: str) -> tuple[TableGrid, Path | None]:
    """A grid (see ``grid.tables.launched.open_grid``) and its results, None when there cannot be any."""
    from grid.tables import launched

    grid, known = launched.open_grid(workspace, given)
    results = workspace.results(grid.name)
    return grid, results if known or results.exists() else None


def _with_tables(grid: TableGrid, definition: Path | None) -> TableGrid:
    """The grid with the further tables of a file, which stand in the place of those of the same name."""
    from grid.tables.further import with_tables

    return grid if definition is None else with_tables(grid, definition)


def _wanted(grid: TableGrid, name: str | None) -> list[str]:
    """The tables to print; EchoLMError when there is none."""
    if not grid.tables:
        raise EchoLMError(f"grid {grid.name} defines no tables; add a section 'tables' to its file and launch it again")
    if name is not None and name not in grid.tables:
        raise EchoLMError(f"grid {grid.name} has no table {name!r}; {suggest(name, grid.tables)}")
    return [name] if name else list(grid.tables)


def _print_or_write(content: bytes, out: Path | None) -> None:
    if out is None:
        click.echo(content, nl=False)
        return
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, content)
    click.echo(f"wrote {out}", err=True)
