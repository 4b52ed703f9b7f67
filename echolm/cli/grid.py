"""``echolm grid``: what a grid holds, without data or weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.complete import complete_cell
from echolm.cli.hints import warn, weights_note
from echolm.cli.options import as_json, grid_argument, print_json, print_table, program, where
from echolm.cli.terminal import say
from echolm.commands import Command
from echolm.text import counted
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.definition.grid import Cell
    from grid.plan import CellStatus


@click.group()
def grid() -> None:
    """Look at a grid, its cells and why a run counts, or copy it.

    Needs neither data nor weights.
    """


@grid.command("list")
@as_json
def list_grids(as_json: bool) -> None:
    """List the grids that come with EchoLM."""
    from grid.definition.grid import load_grid, shipped_grids

    grids = [load_grid(name) for name in shipped_grids()]
    rows = [(shipped.name, len(shipped.cells), shipped.title) for shipped in grids]
    if as_json:
        print_json([{"name": name, "cells": cells, "title": title} for name, cells, title in rows])
    else:
        print_table(["grid", "cells", "title"], rows)


@grid.command()
@grid_argument
@where
@as_json
@click.pass_obj
def show(workspace: Workspace, grid_name: str, where: tuple[str, ...], as_json: bool) -> None:
    """List the cells of a grid.

    GRID is a name from 'echolm grid list' or the path of a YAML file. Where there is a workspace,
    cells whose data, weights or frames are missing are told. --json adds each cell's whole
    configuration.
    """
    from cluster.status import blocked_cells, left_out_items, waiting_cells
    from grid.definition.grid import load_grid

    shown = load_grid(grid_name)
    cells = shown.where(where)
    statuses = _statuses(cells, workspace)
    if as_json:
        by_cell = {status.cell.id: status for status in statuses}
        print_json([_as_dict(cell, by_cell.get(cell.id)) for cell in cells])
        return
    _print_cells(cells)
    line = f"{len(cells)} of {len(shown.cells)} cells of {shown.name}"
    if shown.title:
        line += f": {shown.title}"
    say(line)
    warn(left_out_items(statuses))
    warn(_smaller_stores(statuses))
    warn(blocked_cells(statuses))
    warn(waiting_cells(statuses))


def _statuses(cells: Sequence[Cell], workspace: Workspace) -> list[CellStatus]:
    """Judge cells. Without a workspace there is nothing to look at, and none is judged."""
    if not workspace.root.is_dir():
        return []
    from grid.plan import cell_statuses

    return cell_statuses(cells, workspace)


def _smaller_stores(statuses: Sequence[CellStatus]) -> list[str]:
    """Say which stores lack videos that cells could use, a line each."""
    from echolm.stores.clips import peek
    from echolm.stores.earlier_versions import OF_TRACINGS, why_smaller
    from echolm.training.selection import needed_values

    stores: dict[Path, None] = {}  # a set that keeps their order
    for status in statuses:
        if status.run is None:
            continue
        config = status.run.config
        needed = needed_values(config, bool(config.goal.sampling))
        if OF_TRACINGS.isdisjoint(needed):
            stores[status.run.store] = None
    lines = []
    for store in stores:
        reason = why_smaller(store, peek(store))
        if reason:
            lines.append(f"{store}: {reason}")
    return lines


def _as_dict(cell: Cell, status: CellStatus | None) -> dict[str, Any]:
    return {
        "cell": cell.id,
        "coordinates": cell.coordinates,
        "tables": cell.tables,
        "problem": status.problem if status else "",
        "waits_for": (status.waits_for or None) if status else None,
        "left_out": status.run.left_out if status and status.run else {},
        "config": cell.config.model_dump(mode="json"),
    }


def _print_cells(cells: Sequence[Cell]) -> None:
    axes: dict[str, None] = {}  # a set that keeps their order
    for cell in cells:
        axes.update(dict.fromkeys(cell.coordinates))
    header = ["cell", *axes]
    rows = []
    for cell in cells:
        labels = [cell.coordinates.get(axis, "") for axis in axes]
        rows.append([cell.id, *labels])
    notes = [weights_note(cell) for cell in cells]
    if any(notes):
        header.append("begins with")
        for row, note in zip(rows, notes, strict=True):
            row.append(note)
    print_table(header, rows)


@grid.command("copy")
@grid_argument
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--seeds",
    metavar="0-4,9",
    callback=lambda _, __, text: text and _numbers(text),
    help="These seeds in the place of the grid's.",
)
@as_json
@click.pass_obj
def copy_command(
    workspace: Workspace, grid_name: str, target: Path, seeds: list[int] | None, as_json: bool
) -> None:
    """Copy the definition of GRID to FILE, to edit it or to run more seeds.

    Cells that stay the same keep their ids, so what has been run counts in the copy too.
    """
    from grid.definition.copy import copy_grid
    from grid.definition.files import refuse_taken_name
    from grid.definition.grid import load_grid

    source = load_grid(grid_name)
    refuse_taken_name(workspace, target)
    copy = copy_grid(source, target, seeds)
    source_ids = {cell.id for cell in source.cells}
    same = sum(cell.id in source_ids for cell in copy.cells)
    if as_json:
        print_json({"grid": copy.name, "path": str(target), "cells": len(copy.cells), "same": same})
        return
    launch = Command("launch", str(target), on="local").text(program())
    click.echo(
        f"wrote {target}: {counted(len(copy.cells), 'cell')}, {same} of them also of "
        f"{source.name}; run it: {launch}"
    )


@grid.command()
@click.argument("file", metavar="FILE")
@as_json
@click.pass_obj
def moved(workspace: Workspace, file: str, as_json: bool) -> None:
    """Say that the file of a launched grid has moved to FILE.

    A grid is known by the name of its file: in one workspace, another file of that name is refused.
    A file that has moved and not changed needs no word. What was launched stays as it is.
    """
    from grid.definition.files import note_move

    earlier = note_move(workspace, file)
    if as_json:
        print_json({"path": file, "earlier": earlier})
        return
    click.echo(f"{file} is the grid that was {earlier}")


@grid.command()
@click.argument("cell", shell_complete=complete_cell)
@as_json
@click.pass_obj
def explain(workspace: Workspace, cell: str, as_json: bool) -> None:
    """Say why the stored runs of a cell count, or not.

    CELL is a cell's id or the start of one, as 'echolm grid show GRID' lists it.
    """
    from grid.explain import explain_cell

    explanation = explain_cell(cell, workspace)
    if as_json:
        print_json(explanation)
        return
    say(f"cell {explanation['cell']}: {explanation['description']}")
    for line in explanation["findings"]:
        say(f"  {line}")


def _numbers(text: str) -> list[int]:
    """Return the numbers of ``0-2,5``: 0, 1, 2, 5, each once, ascending."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        if match is None:
            raise _bad_numbers(text)
        first = int(match[1])
        last = int(match[2] or first)
        if not 0 <= last - first < 1000:
            raise _bad_numbers(text)
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def _bad_numbers(text: str) -> click.BadParameter:
    return click.BadParameter(f"{text!r}; write numbers and ranges of at most 1,000, such as 0-4,9")
