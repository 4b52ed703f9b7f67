"""``echolm report``: a grid's collected runs -> one static page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from echolm.cli.options import as_json, print_json, program
from echolm.cli.standings import where_run
from echolm.cli.tables import open_grid
from echolm.errors import EchoLMError
from echolm.record import write_atomic, writing
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.report.content import Failure

NAME = "report.html"


@click.command()
@click.argument("grid_name", metavar="GRID")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=f"The page.  [default: results/GRID/{NAME}]")
@click.option("--no-frames", is_flag=True, help="No pictures of patients, and no sample ids: for a page that is passed on.")
@as_json
@click.pass_obj
def report(workspace: Workspace, grid_name: str, out: Path | None, no_frames: bool, as_json: bool) -> None:
    """Write one HTML page about GRID: tables, learning curves, distributions over patients, contours, cost, failures.

    The page opens without a network. It is made of the collected files; frames come from the clip store, logs and failures
    from the run records, and are left out where these are gone. GRID is given as for 'echolm tables'.
    """
    from grid.report.content import gather
    from grid.report.contours import Frames
    from grid.report.page import page
    from grid.tables.workspace import built_tables

    grid, results = open_grid(workspace, grid_name)
    target = out or workspace.results(grid.name) / NAME
    on = where_run(workspace, grid.name)
    content = gather(grid, results, workspace.root, _jobs(workspace, grid.name))
    inside = target.absolute().is_relative_to(workspace.root)  # a page elsewhere names logs, but does not lead to them
    tables = built_tables(workspace, grid, results, list(grid.tables), program(), with_logs=inside, on=on)
    frames = None if no_frames else Frames(workspace.store)
    text = page(content, tables, workspace.root, target.absolute().parent, frames, grid.typed, program(), on)
    encoded = text.encode("utf-8", "backslashreplace")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, encoded)
    problems = list(frames.problems) if frames else []
    if as_json:
        collected = sum(run.collected for run in content.runs)
        print_json({"path": str(target), "bytes": len(encoded), "cells": len(content.runs), "collected": collected, "left_out": problems})
        return
    click.echo(f"{target}: {len(encoded) / 1e6:.1f} MB")
    for problem in problems:
        click.echo(f"contours left out: {problem}", err=True)


def _jobs(workspace: Workspace, grid: str) -> list[Failure]:
    """Failures of the grid's jobs that count."""
    from cluster.failures import failures
    from grid.report.content import Failure

    try:
        found = failures(workspace, grid)
    except (TypeError, KeyError) as error:
        raise EchoLMError(f"{workspace.grids / grid / 'failures.jsonl'}: a line is not one of EchoLM's ({error}); delete it") from error
    return [
        Failure(one.kind, f"job {one.job}" + (f" on {one.node}" if one.node else ""), one.cells, one.evidence, time=one.time)
        for one in found
    ]  # fmt: skip
