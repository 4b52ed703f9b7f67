"""``echolm collect`` and ``echolm tables``: records -> MLflow -> Parquet -> tables."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from echolm.cli.options import as_json, grid_name, print_json, program
from echolm.errors import EchoLMError
from echolm.record import RunRecord, cell_state, find_records, write_atomic, writing
from echolm.registry import suggest
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tables.definition import TableGrid
    from grid.tracking.collect import CollectReport
    from grid.tracking.export import ExportReport

Members = dict[str, dict[str, list[RunRecord]]]
"""Grid -> cell -> its records."""


@click.command()
@click.argument("grids", metavar="[GRID]...", nargs=-1)
@click.option("--tracking-uri", metavar="URI", help="MLflow store.  [default: $MLFLOW_TRACKING_URI, else SQLite]")
@as_json
@click.pass_obj
def collect(workspace: Workspace, grids: tuple[str, ...], tracking_uri: str | None, as_json: bool) -> None:
    """Bring complete runs into MLflow, and from there into results/GRID/*.parquet.

    GRID is the name of a launched grid or the path of its file. Without: every launched grid, and runs of none. Collecting twice changes nothing. The tracking
    database can be deleted: it is made again from the run records.
    """
    uri = tracking_uri or workspace.tracking_uri
    members = _members(workspace, tuple(map(grid_name, grids)))
    exported = _export(members, uri, quiet=as_json)
    collected = {name: _collect(workspace, uri, name, cells) for name, cells in members.items()}
    if as_json:
        reports = {name: {**asdict(report), "path": str(report.path)} for name, report in collected.items()}
        print_json({"tracking_uri": uri, "exported": asdict(exported), "collected": reports})
    else:
        _print_reports(uri, exported, collected)


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

    grid, results = _grid(workspace, grid_name)
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


def _members(workspace: Workspace, grids: tuple[str, ...]) -> Members:
    """The cells of the grids that are asked for; of all launched grids and single runs when none is named."""
    from grid.tables.launched import launched_grids
    from grid.tracking.rows import SINGLE_RUNS

    launched = launched_grids(workspace.grids)
    members = {name: _records(workspace, name) for name in grids or launched if name != SINGLE_RUNS}
    if not grids or SINGLE_RUNS in grids:
        single = _single_runs(workspace, launched)
        members.update({SINGLE_RUNS: single} if single else {})
    if not members:
        raise EchoLMError(f"{workspace.root}: nothing to collect; type: echolm launch GRID --on local")
    return members


def _single_runs(workspace: Workspace, launched: list[str]) -> dict[str, list[RunRecord]]:
    """Records by cell, of cells that belong to no launched grid."""
    from grid.tables.launched import read_launched

    known = {cell.id for name in launched for cell in read_launched(workspace.grids, name).cells}
    folders = sorted(path.name for path in workspace.runs.iterdir()) if workspace.runs.is_dir() else []
    return {cell: records for cell in folders if cell not in known and (records := find_records(workspace.runs, cell))}


def _records(workspace: Workspace, name: str) -> dict[str, list[RunRecord]]:
    """Records by cell, of a launched grid."""
    from grid.tables.launched import read_launched

    grid = read_launched(workspace.grids, name)
    return {cell.id: find_records(workspace.runs, cell.id) for cell in grid.cells}


def _export(members: Members, uri: str, quiet: bool) -> ExportReport:
    from grid.tracking.export import export

    pairs: list[tuple[RunRecord, str | None]] = [
        (record, name) for name, cells in members.items() for records in cells.values() for record in records
    ]
    hidden = quiet or not sys.stderr.isatty()
    with click.progressbar(length=len(pairs), label="exporting", file=sys.stderr, hidden=hidden) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(1)

        return export(pairs, uri, progress)


def _collect(workspace: Workspace, uri: str, name: str, cells: dict[str, list[RunRecord]]) -> CollectReport:
    from grid.tracking.collect import collect as collect_grid
    from grid.tracking.rows import SINGLE_RUNS

    return collect_grid(uri, name, None if name == SINGLE_RUNS else set(cells), workspace.results(name))


def _print_reports(uri: str, exported: ExportReport, collected: dict[str, CollectReport]) -> None:
    from grid.tracking.store import shown, sqlite_path

    counts = f"{_runs(exported.created)} added, {exported.resumed} completed, {exported.unchanged} there already"
    click.echo(f"MLflow {shown(uri)}: {counts}")
    if exported.not_exported:
        states = ", ".join(f"{count} {state}" for state, count in sorted(exported.not_exported.items()))
        click.echo(f"not exported, because not complete: {states}")
    for name, report in collected.items():
        click.echo(f"{name}: {_runs(report.runs)}, {report.predictions} new predictions -> {report.path}")
    if sqlite_path(uri):
        click.echo(f"to look at the runs: mlflow ui --backend-store-uri {shlex.quote(uri)}")
    for text in exported.warnings:
        click.echo(f"warning: {text}", err=True)
    for text in [*exported.problems, *(text for report in collected.values() for text in report.problems)]:
        click.echo(f"problem: {text}", err=True)
    for text in [text for report in collected.values() for text in report.unfinished]:
        click.echo(f"left out: {text}", err=True)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _grid(workspace: Workspace, given: str) -> tuple[TableGrid, Path | None]:
    """A grid as it was launched, else as its definition says; and its results, None when there cannot be any."""
    from grid.definition import load_grid, shipped_grids
    from grid.tables.launched import launched_grids, read_launched

    name = grid_name(given)
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
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, text.encode())
    click.echo(f"wrote {out}", err=True)
