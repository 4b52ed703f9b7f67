"""``echolm grid``: what a grid holds, without data or weights."""

from __future__ import annotations

import re
from pathlib import Path

import click

from echolm.cli.options import as_json, counted, grid_argument, print_json, print_table, typed, where
from echolm.workspace import Workspace


@click.group()
def grid() -> None:
    """Look at grids: their cells, and why a run counts; copy one.

    Needs neither data nor weights.
    """


@grid.command("list")
@as_json
def list_grids(as_json: bool) -> None:
    """List the grids that come with EchoLM."""
    from grid.definition import load_grid, shipped_grids

    grids = [load_grid(name) for name in shipped_grids()]
    rows = [(g.name, len(g.cells), g.title) for g in grids]
    if as_json:
        print_json([{"name": name, "cells": cells, "title": title} for name, cells, title in rows])
    else:
        print_table(["grid", "cells", "title"], rows)


@grid.command()
@grid_argument
@where
@as_json
def show(grid_name: str, where: tuple[str, ...], as_json: bool) -> None:
    """List the cells of a grid.

    GRID is a name from 'echolm grid list' or the path of a YAML file. --json adds each cell's whole configuration.
    """
    from grid.definition import load_grid

    found = load_grid(grid_name)
    cells = found.where(where)
    if as_json:
        print_json([
            {"cell": c.id, "coordinates": c.coordinates, "tables": c.tables, "config": c.config.model_dump(mode="json")} for c in cells
        ])  # fmt: skip
        return
    axes = list(dict.fromkeys(axis for cell in cells for axis in cell.coordinates))
    print_table(["cell", *axes], [(c.id, *(c.coordinates.get(axis, "") for axis in axes)) for c in cells])
    click.echo(f"{len(cells)} of {len(found.cells)} cells of {found.name}" + (f": {found.title}" if found.title else ""))


@grid.command("copy")
@grid_argument
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seeds", metavar="0-4,9", callback=lambda _, __, text: text and _numbers(text), help="These seeds in the place of the grid's.")
@as_json
def copy_command(grid_name: str, target: Path, seeds: list[int] | None, as_json: bool) -> None:
    """Copy the definition of GRID to FILE, to edit it or to run more seeds.

    Cells that stay the same keep their ids, so what has been run counts in the copy too.
    """
    from grid.copy import copy_grid
    from grid.definition import load_grid

    source = load_grid(grid_name)
    new = copy_grid(source, target, seeds)
    had = {cell.id for cell in source.cells}
    same = sum(cell.id in had for cell in new.cells)
    if as_json:
        print_json({"grid": new.name, "path": str(target), "cells": len(new.cells), "same": same})
        return
    click.echo(f"wrote {target}: {counted(len(new.cells), 'cell')}, {same} of them also of {source.name}; run it: {typed('launch', str(target), '--on', 'local')}")


@grid.command()
@click.argument("cell")
@as_json
@click.pass_obj
def explain(workspace: Workspace, cell: str, as_json: bool) -> None:
    """Say why the stored runs of a cell count, or not.

    CELL is a cell's id or the start of one, as 'echolm grid show GRID' lists it.
    """
    from grid.explain import explain_cell

    found = explain_cell(cell, workspace)
    if as_json:
        print_json(found)
        return
    click.echo(f"cell {found['cell']}: {found['description']}")
    for line in found["findings"]:
        click.echo(f"  {line}")


def _numbers(text: str) -> list[int]:
    """``0-2,5``: 0, 1, 2, 5, each once, ascending."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < 1000:
            raise click.BadParameter(f"{text!r}; write numbers and ranges of at most 1,000, such as 0-4,9")
        found.update(range(first, last + 1))
    return sorted(found)
