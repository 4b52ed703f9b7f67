"""``echolm tables``: collected runs -> the papers' tables."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from echolm.cli.options import as_json, program
from echolm.errors import EchoLMError
from echolm.record import cell_state, write_atomic
from echolm.registry import suggest
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tables.definition import TableGrid


@click.command()
@click.argument("grid_name", metavar="GRID")
@click.option("--format", "style", type=click.Choice(["md", "csv"]), default="md", show_default=True, help="Layout.")
@click.option("--spread", type=click.Choice(["patients", "seeds"]), default="patients", show_default=True,
              help="What the ± is over.")  # fmt: skip
@click.option("--table", "name", metavar="NAME", help="Only this table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file.")
@as_json
@click.pass_obj
def tables(
    workspace: Workspace, grid_name: str, style: str, spread: Literal["patients", "seeds"], name: str | None,
    out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the tables of GRID from its collected runs: mean ± spread, what is missing and how to fill it.

    GRID is a name from 'echolm grid list', the name of a launched grid, or the path of a YAML file. Published numbers
    stand below those of the runs where the grid names them.
    """
    from grid.tables.build import build
    from grid.tables.data import csv_text, plain
    from grid.tables.markdown import markdown

    grid, results = read_grid(workspace, grid_name)
    wanted = _wanted(grid, name, one=style == "csv" and not as_json)
    state = partial(cell_state, workspace.runs)
    built = [replace(build(grid, table, results, spread, state), program=program()) for table in wanted]
    if as_json:
        content = {"grid": grid.name, "tables": [plain(table) for table in built]}
        text = json.dumps(content, indent=1, ensure_ascii=False)
    else:
        render = {"md": markdown, "csv": csv_text}[style]
        text = "\n".join(render(table) for table in built)
    _print_or_write(text.rstrip("\n") + "\n", out)


def read_grid(workspace: Workspace, given: str) -> tuple[TableGrid, Path | None]:
    """A grid as it was launched, else as its definition says; and its results, None when there cannot be any."""
    from grid.definition import load_grid, shipped_grids
    from grid.tables.launched import launched_grids, read_launched

    name = Path(given).stem if given.endswith((".yaml", ".yml")) else given
    results = workspace.results(name)
    if name in launched_grids(workspace.grids) or (name == given and name not in shipped_grids()):
        return read_launched(workspace.grids, name), results
    return load_grid(given), results if results.exists() else None


def _wanted(grid: TableGrid, name: str | None, one: bool) -> list[str]:
    """The tables to print; EchoLMError when there is none, or more than one where ``one`` is asked for."""
    if not grid.tables:
        raise EchoLMError(f"grid {grid.name} defines no tables; add a section 'tables' to its file and launch it again")
    if name is not None and name not in grid.tables:
        raise EchoLMError(f"grid {grid.name} has no table {name!r}; {suggest(name, grid.tables)}")
    if name is None and one and len(grid.tables) > 1:
        raise EchoLMError(f"--format csv prints one table; add --table NAME; valid: {', '.join(grid.tables)}")
    return [name] if name else list(grid.tables)


def _print_or_write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, text.encode())
    except OSError as error:
        raise EchoLMError(f"{out}: cannot be written: {error.strerror or error}") from error
    click.echo(f"wrote {out}", err=True)
