"""``echolm grid``: what a grid holds, without data or weights."""

from __future__ import annotations

import click

from echolm.cli.options import as_json, grid_argument, print_json, print_table, where
from echolm.workspace import Workspace


@click.group()
def grid() -> None:
    """Look at grids: their cells, and why a run counts.

    Needs neither data nor weights, and writes nothing.
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
