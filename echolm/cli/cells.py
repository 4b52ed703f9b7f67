"""``echolm status | logs | cancel | retry``: the cells of a launched grid."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from echolm.cli.options import as_json, print_json, print_table, where
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.plan import Standing


def _survey(workspace: Workspace, grid_name: str, where: tuple[str, ...]) -> list[Standing]:
    from grid.definition import load_grid
    from grid.plan import survey

    return survey(load_grid(grid_name).where(where), workspace)


@click.command()
@click.argument("grid_name", metavar="GRID")
@where
@click.option("--all", "show_all", is_flag=True, help="List complete and pending cells too.")
@as_json
@click.pass_obj
def status(workspace: Workspace, grid_name: str, where: tuple[str, ...], show_all: bool, as_json: bool) -> None:
    """Count the cells of GRID by state, and list those that run, stopped or failed."""
    standings = _survey(workspace, grid_name, where)
    rows = [_row(s) for s in standings]
    if as_json:
        return print_json({"grid": grid_name, "states": dict(Counter(r["state"] for r in rows)), "cells": rows})
    shown = [r for r in rows if show_all or r["state"] not in ("complete", "pending")]
    if shown:
        print_table(["cell", "state", "epoch", "labels", "what"], [
            (r["cell"][:8], r["state"], r["epoch"], " ".join(f"{a}={v}" for a, v in r["coordinates"].items()), r["what"]) for r in shown
        ])  # fmt: skip
    counts = Counter(r["state"] for r in rows)
    click.echo(f"{grid_name}: {len(rows)} cells: " + ", ".join(f"{counts[name]} {name}" for name in sorted(counts)))
    for problem, count in Counter(s.problem for s in standings if s.problem).items():
        click.echo(f"{count} cells: {problem}")


def _row(standing: Standing) -> dict:  # type: ignore[type-arg]
    state, record = standing.state, standing.record
    live = record is not None and state.name not in ("pending", "complete")
    history = record.history() if live and record else []
    loss = history[-1]["metrics"].get("val/loss") if history else None
    what = state.evidence.get("error") or state.evidence.get("reason") or (f"val loss {loss:.4g}" if isinstance(loss, float) else "")
    return {
        "cell": standing.cell.id,
        "coordinates": standing.cell.coordinates,
        "state": state.name,
        "attempt": state.attempt,
        "epoch": f"{history[-1]['epoch'] + 1}/{standing.cell.config.epochs}" if history else "",
        "what": str(what).splitlines()[0] if what else "",
        "record": str(record.path) if record else None,
    }


@click.command()
@click.argument("cell")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt.  [default: the newest]")
@as_json
@click.pass_obj
def logs(workspace: Workspace, cell: str, attempt: int | None, as_json: bool) -> None:
    """Print the text log of CELL's newest attempt, and how it ended."""
    from echolm.errors import EchoLMError
    from echolm.record import find_records
    from grid.plan import find_cell

    id, _ = find_cell(cell, workspace)
    records = find_records(workspace.runs, id)
    numbers = records[0].attempts() if records else []
    if not numbers or (attempt and attempt not in numbers):
        raise EchoLMError(f"cell {id} has no {f'attempt {attempt}' if attempt else 'run'} in {workspace.runs}; attempts: {numbers}")
    number = attempt or numbers[-1]
    path = records[0].attempt_path(number)
    if as_json:
        return print_json({"cell": id, "attempt": number, "path": str(path), "events": records[0].events(number)})
    click.echo(f"{path} (attempt {number} of {len(numbers)}, {records[0].state().name})", err=True)
    log = path / "log.txt"
    click.echo(log.read_text(encoding="utf-8") if log.exists() else "(no line was logged)", nl=False)
    for event in records[0].events(number):
        if event["event"] not in ("epoch", "started"):
            click.echo(" ".join(f"{key}={value}" for key, value in event.items() if key not in ("traceback", "time")))


@click.command()
@click.argument("grid_name", metavar="GRID")
@where
@as_json
@click.pass_obj
def cancel(workspace: Workspace, grid_name: str, where: tuple[str, ...], as_json: bool) -> None:
    """Mark the unfinished cells of GRID as cancelled: running ones stop at their next step, launches leave them."""
    marked = [s.cell.id for s in _survey(workspace, grid_name, where) if s.state.name not in ("complete", "cancelled")]
    for id in marked:
        folder = workspace.runs / id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cancelled").touch()
    if as_json:
        return print_json({"cancelled": marked})
    click.echo(f"{len(marked)} cells marked as cancelled; echolm retry {grid_name} takes the marks away")


@click.command()
@click.argument("grid_name", metavar="GRID")
@where
@click.option("--no-launch", is_flag=True, help="Only make the cells eligible; a later launch runs them.")
@as_json
@click.pass_obj
def retry(workspace: Workspace, grid_name: str, where: tuple[str, ...], no_launch: bool, as_json: bool) -> None:
    """Run the failed, cancelled and pruned cells of GRID again, from their checkpoints."""
    again = [s for s in _survey(workspace, grid_name, where) if s.state.name in ("failed", "cancelled", "pruned")]
    for standing in again:
        (workspace.runs / standing.cell.id / "cancelled").unlink(missing_ok=True)
        if standing.record and standing.state.attempt:
            (standing.record.attempt_path(standing.state.attempt) / "retried").touch()
    if as_json and no_launch:
        return print_json({"retried": [s.cell.id for s in again]})
    click.echo(f"{len(again)} cells may run again", err=as_json)
    if no_launch or not again:
        sys.exit(0)
    from echolm.cli.launch import launch

    click.get_current_context().invoke(launch, grid_name=grid_name, where=where, as_json=as_json)
