"""What a collection is about: grids, their cells and their run records; and bringing them to MLflow and Parquet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echolm.cli.options import typed
from echolm.cli.standings import labels
from echolm.errors import EchoLMError
from echolm.record import FINGERPRINT_DIGITS, RunRecord, find_records, write_atomic
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tracking.collect import CollectReport
    from grid.tracking.export import ExportReport


@dataclass(frozen=True)
class Member:
    """A grid, or the runs that belong to none.

    ``given``: what names it in a command. ``cells``: records by cell, newest first. ``labels``: axis=label by cell.
    ``known``: whether it was launched here. ``definition``: what its results need to be found by its name, where only its file
    has it.
    """

    name: str
    given: str
    cells: dict[str, list[RunRecord]]
    labels: dict[str, str]
    known: bool = True
    definition: bytes = b""

    def predictions(self, fingerprint: str) -> Path | None:
        """Those in the record of a complete run; None where it is not at hand."""
        from grid.tracking.rows import PREDICTIONS_FILE

        name = fingerprint[:FINGERPRINT_DIGITS]
        found = next((record for records in self.cells.values() for record in records if record.path.name == name), None)
        try:
            return found.file(PREDICTIONS_FILE) if found else None
        except EchoLMError:
            return None


def members(workspace: Workspace, grids: Sequence[str]) -> list[Member]:
    """The grids that are asked for; all launched grids and the single runs when none is named."""
    from grid.tables.launched import launched_grids
    from grid.tracking.rows import SINGLE_RUNS

    launched = launched_grids(workspace.grids)
    found = [_member(workspace, name) for name in dict.fromkeys(grids or launched) if name != SINGLE_RUNS]
    if not grids or SINGLE_RUNS in grids:
        single = _single_runs(workspace, launched)
        found += [Member(SINGLE_RUNS, SINGLE_RUNS, single, dict.fromkeys(single, ""))] if single else []
    return found


def nothing(workspace: Workspace) -> EchoLMError:
    """The error of a workspace without any grid or run."""
    return EchoLMError(f"{workspace.root}: nothing to collect; type: {typed('launch', 'GRID', '--on', 'local')}")


def export_all(workspace: Workspace, found: Sequence[Member], uri: str, quiet: bool, between: Callable[[], None] = lambda: None) -> ExportReport:
    """Records -> MLflow, with a progress bar where somebody sees it. ``between`` is called after each run."""
    from grid.tracking.export import export

    pairs = [(record, member.name) for member in found for records in member.cells.values() for record in records]
    hidden = quiet or not sys.stderr.isatty()
    with click.progressbar(length=len(pairs), label="exporting", file=sys.stderr, hidden=hidden) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(1)
            between()

        return export(pairs, uri, progress, workspace.root / "mlflow" / "artifacts")


def collect_one(workspace: Workspace, uri: str, member: Member) -> CollectReport:
    """MLflow -> Parquet. EchoLMError for a grid that was never launched here and has no run there."""
    from grid.tables.launched import CELLS_FILE
    from grid.tracking.collect import collect
    from grid.tracking.rows import SINGLE_RUNS
    from grid.tracking.store import shown

    cells = None if member.name == SINGLE_RUNS else set(member.cells)
    report = collect(uri, member.name, cells, workspace.results(member.name), empty=member.known, own=member.predictions)
    if not report.runs and not member.known:
        raise EchoLMError(
            f"grid {member.name} was never launched in {workspace.root}, and {shown(uri)} has no finished run of it; "
            f"type: {typed('launch', member.given, '--on', 'local')}"
        )
    if member.definition:
        write_atomic(workspace.results(member.name) / CELLS_FILE, member.definition)
    return report


def _member(workspace: Workspace, given: str) -> Member:
    """A launched grid; else one by its definition: its runs may have been made elsewhere."""
    from grid.definition import Grid
    from grid.plan import cells_text
    from grid.tables.launched import open_grid

    grid, known = open_grid(workspace, given)
    cells = {cell.id: find_records(workspace.runs, cell.id) for cell in grid.cells}
    definition = cells_text(grid) if isinstance(grid, Grid) and grid.typed != grid.name else b""
    return Member(grid.name, given, cells, {cell.id: labels(cell) for cell in grid.cells}, known, definition)


def _single_runs(workspace: Workspace, launched: Sequence[str]) -> dict[str, list[RunRecord]]:
    """Records by cell, of cells that belong to no launched grid."""
    from grid.tables.launched import read_launched

    known = {cell.id for name in launched for cell in read_launched(workspace.grids, name).cells}
    folders = sorted(path.name for path in workspace.runs.iterdir()) if workspace.runs.is_dir() else []
    return {cell: records for cell in folders if cell not in known and (records := find_records(workspace.runs, cell))}
