"""Write one static page about a grid's collected runs: ``echolm report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from echolm.cli.hints import warn_of_changes
from echolm.cli.options import as_json, grid_argument, print_json, program
from echolm.cli.tables import notes_option
from echolm.cli.terminal import say
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from echolm.text import file_size
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.report.content import ReportedFailure

NAME = "report.html"


@click.command()
@grid_argument
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The page.  [default: results/GRID/{NAME}]",
)
@click.option(
    "--no-frames",
    is_flag=True,
    help="No pictures of patients, and no sample ids: for a page that is passed on.",
)
@notes_option
@as_json
@click.pass_obj
def report(
    workspace: Workspace,
    grid_name: str,
    out: Path | None,
    no_frames: bool,
    notes: Literal["short", "full"],
    as_json: bool,
) -> None:
    """Write one HTML page about GRID.

    It shows tables, learning curves, distributions over patients, contours, cost and failures.

    The page opens without a network. It is made of the collected files. Frames come from the clip
    store, logs and failures from the run records, and are left out where these are gone. GRID is
    given as for 'echolm tables'.
    """
    from cluster.status import where_run
    from grid.report.content import gather
    from grid.report.contours import Frames
    from grid.report.measures import DistributionReader
    from grid.report.page import encoded_page
    from grid.tables.named_claims import judge_claims
    from grid.tables.origins import TodaysOrigins
    from grid.tables.workspace_tables import built_tables, open_results

    grid, results = open_results(workspace, grid_name)
    target = out or workspace.results(grid.name) / NAME
    # A page elsewhere names logs, but does not lead to them.
    with_logs = target.absolute().is_relative_to(workspace.root)
    on = where_run(workspace, grid.name)
    warn_of_changes(workspace, grid, on)
    today = TodaysOrigins(workspace, grid.name, grid.cells)
    content = gather(grid, results, workspace.root, _failed_jobs(workspace, grid.name), today)
    distributions = DistributionReader(content)
    tables = built_tables(
        workspace,
        grid,
        results,
        list(grid.tables),
        program(),
        with_logs=with_logs,
        place=on,
        watch=distributions,
        today=today,
    )
    frames = None if no_frames else Frames(workspace.store, workspace.cache)
    encoded = encoded_page(
        content,
        tables,
        workspace.root,
        folder=target.absolute().parent,
        frames=frames,
        reference=grid.typed,
        program=program(),
        on=on,
        note_style=notes,
        distributions=distributions,
        named_claims=judge_claims(workspace, grid, results, on),
    )
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, encoded)
    problems = list(frames.problems) if frames else []
    if as_json:
        document = {
            "path": str(target),
            "bytes": len(encoded),
            "cells": len(content.runs),
            "collected": sum(run.collected for run in content.runs),
            "left_out": problems,
        }
        print_json(document)
        return
    say(f"{target}: {file_size(len(encoded))}")
    if not any(run.collected for run in content.runs):
        launch = Command("launch", grid.typed, on=on).text(program())
        say(f"no run of {grid.name} is collected here; to run it, type: {launch}", err=True)
    for problem in problems:
        say(f"contours left out: {problem}", err=True)


def _failed_jobs(workspace: Workspace, grid: str) -> list[ReportedFailure]:
    """Return the failures of the grid's jobs that count."""
    from cluster.failures import failures
    from grid.report.content import ReportedFailure

    try:
        job_failures = failures(workspace, grid)
    except (TypeError, KeyError) as error:
        path = workspace.grids / grid / "failures.jsonl"
        raise EchoLMError(f"{path}: a line is not one of EchoLM's ({error}); delete it") from error
    reported = []
    for failure in job_failures:
        node = f" on {failure.node}" if failure.node else ""
        job = ReportedFailure(
            kind=failure.kind,
            what=f"job {failure.job}{node}",
            cells=failure.cells,
            detail=failure.evidence,
            time=failure.time,
        )
        reported.append(job)
    return reported
