"""The tables of a grid in a workspace.

They say what its run records tell of missing runs, and where logs are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.record import RunRecord
from echolm.text import suggest
from echolm.workspace import Workspace
from grid.definition import launched
from grid.definition.tables import TableGrid
from grid.results.files import HISTORY_FOLDER, PREDICTIONS_FOLDER, RUNS_FILE
from grid.tables.build import build
from grid.tables.origins import TodaysOrigins
from grid.tables.predictions import FileWatch
from grid.tables.store_facts import keep_store_facts
from grid.tables.table import LOCAL, Table

SHORT = {"patients": "std-over-patients", "seeds": "std-over-seeds"}
"""Further names of two kinds of ±."""
COLLECTED = (RUNS_FILE, PREDICTIONS_FOLDER, HISTORY_FOLDER)
"""What collecting a grid writes into the folder of its results."""


def open_results(workspace: Workspace, reference: str) -> tuple[TableGrid, Path | None]:
    """Open a grid (see ``grid.definition.launched.open_tables``) and the folder of its results.

    Returns:
        The grid, and its results, None when there cannot be any.
    """
    grid, was_launched = launched.open_tables(workspace, reference)
    results = workspace.results(grid.name)
    # A report of a grid that was never run lies in that folder too.
    is_collected = any((results / name).exists() for name in COLLECTED)
    if was_launched or is_collected:
        return grid, results
    return grid, None


def choose_tables(grid: TableGrid, name: str | None) -> list[str]:
    """Return the names of the tables to print: one, or all of the grid.

    Raises:
        EchoLMError: there is none.
    """
    if not grid.tables:
        raise EchoLMError(
            f"grid {grid.name} defines no tables; "
            "add a section 'tables' to its file and launch it again"
        )
    if name is None:
        return list(grid.tables)
    if name not in grid.tables:
        raise EchoLMError(f"grid {grid.name} has no table {name!r}; {suggest(name, grid.tables)}")
    return [name]


def built_tables(
    workspace: Workspace,
    grid: TableGrid,
    results: Path | None,
    names: Sequence[str],
    program: tuple[str, ...],
    spread: str = "",
    with_logs: bool = True,
    place: str = LOCAL,
    hold: bool = False,
    watch: FileWatch | None = None,
    today: TodaysOrigins | None = None,
) -> list[Table]:
    """Build tables of a grid, with what this workspace knows of missing runs and logs.

    Args:
        workspace: the workspace.
        grid: the grid.
        results: the folder that was collected.
        names: of the tables.
        program: the words that printed commands begin with.
        spread: the kind of ±, by name. Empty for each table's own.
        with_logs: whether they say where logs are.
        place: where the grid is run.
        hold: as for ``build``.
        watch: as for ``build``.
        today: what the cells are made from today. None: it is found here.

    Raises:
        EchoLMError: as for ``build``.
    """
    kind = SHORT.get(spread, spread)
    today = today or TodaysOrigins(workspace, grid.name, grid.cells)
    if results is not None:
        keep_store_facts(workspace, grid.name, results)
    # Every column and table asks for the same runs.
    logs = cache(partial(_logs, workspace)) if with_logs else None
    tables = []
    for name in names:
        table = build(grid, name, results, kind, today.state, logs, place, today, hold, watch)
        tables.append(replace(table, program=program, root=workspace.root))
    return tables


def _logs(workspace: Workspace, cell: str, fingerprint: str) -> tuple[str, ...]:
    """Return the log files of a run, by attempt.

    They are relative to the workspace: tables are the same wherever it lies.
    """
    record = RunRecord.at(workspace.runs, cell, fingerprint)
    logs = [record.attempt_path(attempt) / "log.txt" for attempt in record.attempts()]
    there = [path for path in logs if path.is_file()]
    return tuple(path.relative_to(workspace.root).as_posix() for path in there)
