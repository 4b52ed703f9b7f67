"""What a workspace has to collect, and collecting it: run records -> MLflow -> Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import list_names, read_json, write_atomic
from echolm.record import FINGERPRINT_DIGITS, RunRecord, find_records, is_key
from echolm.workspace import Workspace
from grid.definition.grid import Grid
from grid.definition.launched import CELLS_FILE, launched_grids, open_grid, read_launched
from grid.definition.tables import coordinates_text
from grid.plan import cells_text
from grid.tables.store_facts import keep_store_facts
from grid.tracking.address import shown
from grid.tracking.collect import CollectReport
from grid.tracking.collect import collect as collect_from_store
from grid.tracking.export import ExportReport, Progress, export
from grid.tracking.pages import runs_pages
from grid.tracking.reader import PREDICTIONS_FILE, SINGLE_RUNS


@dataclass(frozen=True)
class CollectSource:
    """A grid, or the runs that belong to none.

    Attributes:
        name: the grid's name, or ``single-runs``.
        reference: what names it in a command.
        cells: records by cell, newest first.
        labels: ``axis=label axis=label`` by cell.
        known: whether it was launched here.
        definition: what its results need to be found by its name, where only its file has it.
        configs: returns the configurations of its cells. They are read when they are asked for.
    """

    name: str
    reference: str
    cells: dict[str, list[RunRecord]]
    labels: dict[str, str]
    known: bool = True
    definition: bytes = b""
    configs: Callable[[], Mapping[str, Mapping[str, Any]]] = dict

    def predictions(self, fingerprint: str) -> Path | None:
        """Return those in the record of a complete run. None where it is not at hand."""
        name = fingerprint[:FINGERPRINT_DIGITS]
        for records in self.cells.values():
            for record in records:
                if record.path.name == name:
                    return _predictions_of(record)
        return None


def _predictions_of(record: RunRecord) -> Path | None:
    try:
        return record.file(PREDICTIONS_FILE)
    except EchoLMError:
        return None


@dataclass(frozen=True)
class Collection:
    """What a collection of a workspace did.

    Attributes:
        uri: the tracking store.
        exported: records -> MLflow.
        collected: MLflow -> Parquet, by the name of the grid.
        pages: the address of MLflow's page with a grid's runs, by the name of the grid.
    """

    uri: str
    exported: ExportReport
    collected: dict[str, CollectReport] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """A sentence for each run that has a problem."""
        problems = list(self.exported.problems)
        for report in self.collected.values():
            problems += report.problems
        return problems

    def complaints(self) -> list[str]:
        """Return lines about what is not as it should be."""
        lines = [f"warning: {text}" for text in self.exported.warnings]
        lines += [f"closed: {text}" for text in self.exported.closed]
        lines += [f"problem: {text}" for text in self.problems]
        for report in self.collected.values():
            lines += [f"left out: {text}" for text in report.unfinished]
        return lines


def _no_progress(done: int, total: int) -> None:
    """Tell nobody."""


def collect(
    workspace: Workspace,
    grids: Sequence[str] = (),
    uri: str = "",
    progress: Progress = _no_progress,
) -> Collection:
    """Bring complete runs into MLflow, and from there into ``results/GRID``.

    Args:
        workspace: where the runs are.
        grids: names or files of grids. Without any: all launched grids, and runs of no grid.
        uri: the tracking store. Without it: the workspace's.
        progress: called after each exported record with the records done and their number.

    Raises:
        EchoLMError: there is nothing to collect, or the store cannot be used.
    """
    sources = collect_sources(workspace, grids)
    if not sources:
        raise nothing_to_collect(workspace)
    return collect_all(workspace, sources, uri or workspace.tracking_uri, progress)


def collect_all(
    workspace: Workspace,
    sources: Sequence[CollectSource],
    uri: str,
    progress: Progress = _no_progress,
) -> Collection:
    """Export the records of all sources, then collect each."""
    exported = export_sources(workspace, sources, uri, progress)
    collected: dict[str, CollectReport] = {}
    for source in sources:
        collected[source.name] = collect_source(workspace, source, uri)
    return Collection(uri, exported, collected, runs_pages(uri, list(collected)))


def collect_sources(workspace: Workspace, grids: Sequence[str]) -> list[CollectSource]:
    """Return the grids that are asked for.

    When none is named, these are all launched grids and the single runs.
    """
    launched = launched_grids(workspace.grids)
    sources = []
    for name in dict.fromkeys(grids or launched):
        if name != SINGLE_RUNS:
            sources.append(_grid_source(workspace, name))
    if not grids or SINGLE_RUNS in grids:
        cells = _single_runs(workspace, launched)
        if cells:
            labels = dict.fromkeys(cells, "")
            sources.append(
                CollectSource(
                    SINGLE_RUNS, SINGLE_RUNS, cells, labels, configs=lambda: _of_records(cells)
                )
            )
    return sources


def nothing_to_collect(workspace: Workspace) -> EchoLMError:
    """Return the error of a workspace without any grid or run."""
    return EchoLMError(
        f"{workspace.root}: nothing to collect; type", Command("launch", "GRID", on="local")
    )


def export_sources(
    workspace: Workspace,
    sources: Sequence[CollectSource],
    uri: str,
    progress: Progress = _no_progress,
) -> ExportReport:
    """Bring the records of sources into the tracking store."""
    pairs: list[tuple[RunRecord, str | None]] = []
    for source in sources:
        for records in source.cells.values():
            pairs += [(record, source.name) for record in records]
    return export(pairs, uri, progress, workspace.root / "mlflow" / "artifacts")


def collect_source(workspace: Workspace, source: CollectSource, uri: str) -> CollectReport:
    """Bring one source from the tracking store into its folder of Parquet files.

    Raises:
        EchoLMError: a grid was never launched here and has no run in the store.
    """
    results = workspace.results(source.name)
    cells = None if source.name == SINGLE_RUNS else set(source.cells)
    report = collect_from_store(
        uri,
        source.name,
        cells,
        results,
        empty=source.known,
        recorded=source.predictions,
        configs=source.configs,
    )
    if not report.runs and not source.known:
        raise EchoLMError(
            f"grid {source.name} was never launched in {workspace.root}, and {shown(uri)} has no "
            "finished run of it; type",
            Command("launch", source.reference, on="local"),
        )
    if source.definition:
        write_atomic(results / CELLS_FILE, source.definition)
    keep_store_facts(workspace, source.name, results)
    return report


def _grid_source(workspace: Workspace, reference: str) -> CollectSource:
    """Return a launched grid, else one by its definition: its runs may have been made elsewhere."""
    grid, known = open_grid(workspace, reference)
    cells: dict[str, list[RunRecord]] = {}
    labels: dict[str, str] = {}
    for cell in grid.cells:
        cells[cell.id] = find_records(workspace.runs, cell.id)
        labels[cell.id] = coordinates_text(cell)
    definition = b""
    if isinstance(grid, Grid) and not known and not grid.shipped:
        definition = cells_text(grid, workspace)

    def configs() -> Mapping[str, Mapping[str, Any]]:
        if isinstance(grid, Grid):
            return {cell.id: cell.config.model_dump(mode="json") for cell in grid.cells}
        folder = workspace.grids if known else workspace.root / "results"
        return _of_launched(folder / grid.name / CELLS_FILE)

    return CollectSource(grid.name, reference, cells, labels, known, definition, configs)


def _of_launched(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the configurations in a ``cells.json``. An early one has none."""
    configs = {}
    for cell, entry in read_json(path, "cells")["cells"].items():
        if isinstance(entry.get("config"), dict):
            configs[cell] = entry["config"]
    return configs


def _of_records(cells: Mapping[str, Sequence[RunRecord]]) -> dict[str, Mapping[str, Any]]:
    """Return the configurations of cells as their records have them."""
    configs = {}
    for cell, records in cells.items():
        for record in records:
            with suppress(EchoLMError, OSError):
                identity = record.identity()
                if identity.get("cell") == cell and isinstance(identity.get("config"), dict):
                    configs[cell] = identity["config"]
    return configs


def _single_runs(workspace: Workspace, launched: Sequence[str]) -> dict[str, list[RunRecord]]:
    """Return records by cell, of cells that belong to no launched grid."""
    if not workspace.runs.is_dir():
        return {}
    of_grids: set[str] = set()
    for name in launched:
        of_grids.update(cell.id for cell in read_launched(workspace.grids, name).cells)
    single: dict[str, list[RunRecord]] = {}
    for cell in sorted(filter(is_key, list_names(workspace.runs))):
        records = [] if cell in of_grids else find_records(workspace.runs, cell)
        if records:
            single[cell] = records
    return single
