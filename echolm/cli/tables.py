"""``echolm tables``: collected runs -> the papers' tables."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

import click
from click.core import ParameterSource

from echolm.cli.hints import warn_of_changes
from echolm.cli.options import as_json, grid_argument, program
from echolm.cli.terminal import say
from echolm.workspace import Workspace

FORMATS = ("md", "latex", "csv", "parquet", "html")
"""``grid.tables.output.FORMATS``, which takes long to import."""
NOTES = ("short", "full")
"""``grid.tables.render.notes.NOTE_STYLES``, likewise."""

notes_option = click.option(
    "--notes",
    type=click.Choice(NOTES),
    default="short",
    show_default=True,
    help="short: notes that are alike are counted in one line; full: each of them.",
)


@click.command()
@grid_argument
@click.option(
    "--format", "style", type=click.Choice(FORMATS), default="md", show_default=True, help="Layout."
)
@click.option(
    "--spread",
    metavar="KIND",
    default="",
    help="What the ± is: crossed-95, bootstrap-95, bootstrap-90, std-over-patients (or patients), "
    "std-over-seeds (or seeds), subset-draws-95, subset-draws-and-crossed-95.  "
    "[default: each table's own]",
)
@click.option("--table", "name", metavar="NAME", help="Only this table.")
@click.option(
    "--definition",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML file with a section 'tables': further tables of GRID.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to a file; beside it FILE.json with the runs, seeds, commits and logs behind "
    "each number.",
)
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Draw the figures of GRID into DIR, as SVG and PDF, each with a JSON of the runs, seeds, "
    "commits and logs behind its points.",
)
@notes_option
@as_json
@click.pass_obj
def tables(
    workspace: Workspace,
    grid_name: str,
    style: str,
    spread: str,
    name: str | None,
    definition: Path | None,
    out: Path | None,
    figures: Path | None,
    notes: Literal["short", "full"],
    as_json: bool,
) -> None:
    """Print the tables of GRID from its collected runs.

    Numbers with their ±, what is missing and how to fill it. GRID is a name from 'echolm grid
    list', the name of a launched grid, or the path of a YAML file. Published numbers stand below
    those of the runs where the grid names them, with a verdict on each. Paths of logs are relative
    to the workspace, links of HTML to the page.
    """
    from cluster.status import where_run
    from grid.definition.extra_tables import with_tables
    from grid.tables import output
    from grid.tables.workspace_tables import built_tables, choose_tables, open_results

    style_source = click.get_current_context().get_parameter_source("style")
    if as_json and style_source == ParameterSource.COMMANDLINE:
        raise click.UsageError(
            "--json prints one JSON document, and --format another layout; choose one of them"
        )
    grid, results = open_results(workspace, grid_name)
    place = where_run(workspace, grid.name)
    warn_of_changes(workspace, grid, place)
    if definition is not None:
        grid = with_tables(grid, definition)
    built = built_tables(
        workspace,
        grid,
        results,
        choose_tables(grid, name),
        program(),
        spread,
        place=place,
    )
    if figures is not None:
        for path in output.draw(grid, built, figures):
            _say_written(path)
    document = output.provenance(grid, built)
    if as_json:
        _print_or_write(document, out)
    elif figures is None or out is not None:
        width = _terminal_width() if out is None else None
        _print_or_write(output.render(style, grid, built, out, notes, width), out)
        if out is not None and style != "html":
            _print_or_write(document, out.with_name(f"{out.name}.json"))


def _terminal_width() -> int | None:
    """Return the columns of the terminal on standard output, or None where there is none."""
    if not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _print_or_write(content: bytes, out: Path | None) -> None:
    from grid.tables.output import write

    if out is None:
        click.echo(content, nl=False)
        return
    write(out, content)
    _say_written(out)


def _say_written(path: Path) -> None:
    say(f"wrote {path}", err=True)
