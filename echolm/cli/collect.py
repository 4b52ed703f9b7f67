"""``echolm collect``: records -> MLflow -> Parquet."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from echolm.cli.members import collect_one, export_all, members, nothing
from echolm.cli.options import as_json, counted, print_json
from echolm.cli.standings import tell
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tracking.collect import CollectReport
    from grid.tracking.export import ExportReport


@click.command()
@click.argument("grids", metavar="[GRID]...", nargs=-1)
@click.option("--tracking-uri", metavar="URI", help="MLflow store.  [default: $MLFLOW_TRACKING_URI, else SQLite]")
@click.option("--watch", is_flag=True, help="Look again and again, one line a change, until Ctrl-C.")
@click.option("--every", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Time between two looks.  [default: 30]")
@click.option("--until-complete", is_flag=True, help="End when every cell is complete, failed, pruned or cancelled.")
@as_json
@click.pass_obj
def collect(
    workspace: Workspace, grids: tuple[str, ...], tracking_uri: str | None, watch: bool, every: float | None,
    until_complete: bool, as_json: bool,
) -> None:  # fmt: skip
    """Bring complete runs into MLflow, and from there into results/GRID: runs, history and predictions as Parquet.

    Without GRID: every launched grid, and runs that belong to none. A grid that was launched elsewhere is collected from
    MLflow alone, by its name or YAML file. Collecting twice changes nothing. The tracking database can be deleted: it is
    made again from the run records. results/ can be deleted: it is made again from MLflow.

    Predictions that the store has lost, or that are damaged where they are collected first, are put there again: from the run
    record, or as they were collected earlier. In a local store a missing file is noticed by every collection, damage to
    one that was collected already is not; of a tracking server neither is, until results/ is made again.

    \b
    Exit status: 0, or 1 when a run has a problem: it could not be exported, its predictions are missing or damaged, or
    they are not of the other runs' test samples. Runs that are not finished are listed, and change no status.
    With --watch: 0 all cells are complete, 1 some are not, 130 or 143 stopped by SIGINT or SIGTERM.
    """
    if not watch and (every is not None or until_complete):
        raise click.UsageError("--every and --until-complete go with --watch")
    if watch and as_json:
        raise click.UsageError("--json prints one document, and --watch does not end with one; choose one of them")
    uri = tracking_uri or workspace.tracking_uri
    if watch:
        from echolm.cli.watch import watch_grids

        sys.exit(watch_grids(workspace, grids, uri, every or 30.0, until_complete))
    sys.exit(0 if collect_once(workspace, grids, uri, as_json) else 1)


def collect_once(workspace: Workspace, grids: Sequence[str], uri: str, as_json: bool = False) -> bool:
    """What ``echolm collect`` does without --watch; whether no run has a problem. EchoLMError: there is nothing to collect."""
    found = members(workspace, grids)
    if not found:
        raise nothing(workspace)
    exported = export_all(workspace, found, uri, quiet=as_json)
    collected = {member.name: collect_one(workspace, uri, member) for member in found}
    if as_json:
        reports = {name: {**asdict(report), "path": str(report.path)} for name, report in collected.items()}
        print_json({"tracking_uri": uri, "exported": asdict(exported), "collected": reports})
    else:
        print_reports(uri, exported, collected)
    return not exported.problems and not any(report.problems for report in collected.values())


def print_reports(uri: str, exported: ExportReport, collected: Mapping[str, CollectReport]) -> None:
    """What was done, on standard output; what is wrong, on standard error."""
    from grid.tracking.store import shown, sqlite_path

    counts = f"{counted(exported.created, 'run')} added, {exported.resumed} completed, {exported.unchanged} there already"
    click.echo(f"MLflow {shown(uri)}: {counts}")
    if exported.not_exported:
        states = ", ".join(f"{count} {state}" for state, count in sorted(exported.not_exported.items()))
        click.echo(f"not exported, because not complete: {states}")
    for name, report in collected.items():
        click.echo(f"{name}: {counted(report.runs, 'run')}, {report.read} new or changed, {report.predictions} new predictions -> {report.path}")
        if report.repaired:
            click.echo(f"{name}: the store's predictions of {counted(report.repaired, 'run')} were missing or damaged: put there again from the records, or as they were collected")
    if sqlite_path(uri):
        click.echo(f"to look at the runs: mlflow ui --backend-store-uri {shlex.quote(uri)}")
    tell(complaints(exported, collected))


def complaints(exported: ExportReport, collected: Mapping[str, CollectReport]) -> list[str]:
    """Lines about what is not as it should be."""
    problems = [*exported.problems, *(text for report in collected.values() for text in report.problems)]
    unfinished = [text for report in collected.values() for text in report.unfinished]
    groups = {"warning": exported.warnings, "problem": problems, "left out": unfinished}
    return [f"{kind}: {text}" for kind, texts in groups.items() for text in texts]
