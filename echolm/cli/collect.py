"""``echolm collect``: records -> MLflow -> Parquet."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from signal import Signals
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.complete import complete_grid
from echolm.cli.hints import warn
from echolm.cli.options import as_json, print_json
from echolm.cli.terminal import say
from echolm.commands import Hint
from echolm.progress import ProgressBar
from echolm.text import counted
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tracking.collect import CollectReport
    from grid.tracking.sources import Collection
    from grid.tracking.watch import EndedCell, GridStates


@click.command()
@click.argument("grids", metavar="[GRID]...", nargs=-1, shell_complete=complete_grid)
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow store.  [default: $MLFLOW_TRACKING_URI, else SQLite]",
)
@click.option(
    "--watch", is_flag=True, help="Look again and again, one line a change, until Ctrl-C."
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Time between two looks.  [default: 30]",
)
@click.option(
    "--until-complete",
    is_flag=True,
    help="End when every cell is complete, failed, pruned or cancelled.",
)
@as_json
@click.pass_obj
def collect(
    workspace: Workspace,
    grids: tuple[str, ...],
    tracking_uri: str | None,
    watch: bool,
    every: float | None,
    until_complete: bool,
    as_json: bool,
) -> None:
    """Bring complete runs into MLflow, and from there into results/GRID.

    There, runs, history and predictions are Parquet files. Without GRID: every launched grid, and
    runs that belong to none. A grid that was launched elsewhere is collected from MLflow alone, by
    its name or YAML file. Collecting twice changes nothing. The tracking database can be deleted:
    it is made again from the run records. results/ can be deleted: it is made again from MLflow.

    Predictions that the store has lost, or that are damaged where they are collected first, are put
    there again: from the run record, or as they were collected earlier. In a local store a missing
    file is noticed by every collection, damage to one that was collected already is not. Of a
    tracking server neither is, until results/ is made again. Collected files that were changed are
    put right.

    With --watch, runs are in MLflow while they train, and failed ones too.

    \b
    Exit status: 0, or 1 when a run has a problem: it could not be exported, its
    predictions are missing or damaged, or they are not of the other runs' test
    samples. Runs that are not finished are listed, and change no status.
    With --watch: 0 all cells are complete, 1 some are not, 130 or 143 stopped
    by SIGINT or SIGTERM.
    """  # noqa: D301 - click reads the character \b
    if not watch and (every is not None or until_complete):
        raise click.UsageError("--every and --until-complete go with --watch")
    if watch and as_json:
        raise click.UsageError(
            "--json prints one document, and --watch does not end with one; choose one of them"
        )
    from grid.tracking.address import sqlite_path

    workspace.check()
    uri = tracking_uri or workspace.tracking_uri
    sqlite_path(uri)  # refuses what cannot be opened, before anything is looked for
    if watch:
        sys.exit(_watch(workspace, grids, uri, every or 30.0, until_complete))
    sys.exit(0 if collect_once(workspace, grids, uri, as_json) else 1)


def collect_once(
    workspace: Workspace, grids: Sequence[str], uri: str, as_json: bool = False
) -> bool:
    """Do what ``echolm collect`` does without --watch, and return whether no run has a problem.

    Raises:
        EchoLMError: there is nothing to collect.
    """
    from grid.explain import told_copies
    from grid.tracking.sources import collect

    with contextlib.closing(_ExportBar(quiet=as_json)) as bar:
        collection = collect(workspace, grids, uri, bar)
    if as_json:
        print_json(_as_dict(collection))
    else:
        _print_collection(collection)
        warn(told_copies(workspace))
    return not collection.problems


def _as_dict(collection: Collection) -> dict[str, Any]:
    from grid.tracking.address import shown

    collected = {}
    for name, report in collection.collected.items():
        collected[name] = {**asdict(report), "path": str(report.path)}
    return {
        "tracking_uri": shown(collection.uri),
        "exported": asdict(collection.exported),
        "collected": collected,
        "pages": collection.pages,
    }


def _print_collection(collection: Collection) -> None:
    """Print what was done on standard output, and what is wrong on standard error."""
    from grid.tracking.address import shown, sqlite_path, ui_command

    exported = collection.exported
    say(
        f"MLflow {shown(collection.uri)}: {counted(exported.created, 'run')} added, "
        f"{exported.resumed} completed, {exported.unchanged} there already"
    )
    if exported.not_exported:
        states = _in_words(exported.not_exported)
        say(f"not exported, because not complete: {states}")
    for name, report in collection.collected.items():
        _print_grid(name, report)
    if sqlite_path(collection.uri):
        say(f"to look at the runs: {ui_command(collection.uri)}")
    for name, page in collection.pages.items():
        say(f"{name}'s runs: {page}")
    warn(collection.complaints())


def _print_grid(name: str, report: CollectReport) -> None:
    say(
        f"{name}: {counted(report.runs, 'run')}, {report.read} new or changed, "
        f"{report.predictions} new predictions -> {report.path}"
    )
    if report.altered:
        click.echo(
            f"{name}: {counted(report.altered, 'file')} of predictions had been changed after they "
            "were collected: put right from the store"
        )
    if report.repaired:
        say(
            f"{name}: the store's predictions of {counted(report.repaired, 'run')} were missing or "
            "damaged: put there again from the records, or as they were collected"
        )


def _in_words(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


def _watch(
    workspace: Workspace, grids: Sequence[str], uri: str, every: float, until_complete: bool
) -> int:
    """Watch, print, and return the exit status."""
    from cluster.status import retry_command, where_run
    from grid.tracking.watch import watch

    with contextlib.closing(_WatchPrinter()) as printer:
        result = watch(workspace, grids, uri, printer, every=every, until_complete=until_complete)
    if result.stopped_by:
        say(f"stopped by {result.stopped_by}", err=True)
        return 128 + Signals[result.stopped_by]
    for grid in result.stopped_grids:
        command = retry_command(grid, where_run(workspace, grid))
        warn([Hint("to run stopped cells again", command)])
    return 0 if result.complete else 1


class _ExportBar:
    """A progress bar of an export on standard error, where somebody sees it."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._stack = contextlib.ExitStack()
        self._bar: ProgressBar | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            bar = ProgressBar("exporting", "runs", total, hidden=self._quiet)
            self._bar = self._stack.enter_context(bar)
        self._bar.advance()

    def close(self) -> None:
        """End the line of the bar."""
        self._stack.close()


class _WatchPrinter:
    """Print what a watch tells (see ``grid.tracking.watch.WatchListener``)."""

    def __init__(self) -> None:
        self.exported = _ExportBar()

    def close(self) -> None:
        """End the line of the progress bar."""
        self.exported.close()

    def first_look(self, collection: Collection) -> None:
        """Print what the first look did."""
        self.exported.close()
        _print_collection(collection)

    def waits(self, every: float) -> None:
        """Print that the watch goes on."""
        say(f"looking again every {every:g} s; Ctrl-C ends")

    def counted(self, states: GridStates) -> None:
        """Print how many cells are in which state."""
        cells = counted(states.cells, "cell")
        say(f"{states.grid}: {cells}: {_in_words(states.states)}")

    def ended(self, cell: EndedCell) -> None:
        """Print a line about a cell that ended."""
        line = (
            f"{_now()}  {cell.grid} {cell.ended}/{cell.cells}  {cell.cell[:8]}  "
            f"{cell.state.name:<9}  {cell.labels}"
        ).rstrip()
        why = str(cell.state.evidence.get("error") or "").partition("\n")[0]
        if why:
            line += f"  ({why})"
        say(line)

    def restored(self, runs: int) -> None:
        """Print that runs were lost and are back."""
        say(
            f"{_now()}  the tracking store had lost {counted(runs, 'run')}: "
            "added again from the records"
        )

    def trouble(self, text: str) -> None:
        """Print what is wrong, on standard error."""
        say(f"{_now()}  {text}", err=True)


def _now() -> str:
    return time.strftime("%H:%M:%S")
