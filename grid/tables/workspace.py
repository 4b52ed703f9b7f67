"""The tables of a grid in a workspace: with what its run records tell of missing runs, and where logs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from echolm.record import RunRecord, cell_standing
from echolm.workspace import Workspace
from grid.tables.build import build
from grid.tables.definition import TableGrid
from grid.tables.table import LOCAL, Table

SHORT = {"patients": "std-over-patients", "seeds": "std-over-seeds"}
"""Further names of two kinds of ±."""


def built_tables(
    workspace: Workspace, grid: TableGrid, results: Path | None, wanted: Sequence[str], program: tuple[str, ...], spread: str = "", with_logs: bool = True,
    on: str = LOCAL,
) -> list[Table]:
    """Tables of a grid, with why runs are missing and (``with_logs``) where logs are, as far as this workspace knows.

    ``program``: the words that commands begin with; ``on``: where the grid is run. The rest, and EchoLMErrors, as for ``build``.
    """
    kind = SHORT.get(spread, spread)
    state, logs = partial(cell_standing, workspace.runs), partial(_logs, workspace) if with_logs else None
    return [replace(build(grid, table, results, kind, state, logs), program=program, on=on, root=workspace.root) for table in wanted]


def _logs(workspace: Workspace, cell: str, fingerprint: str) -> list[str]:
    """The log files of a run, by attempt, relative to the workspace: tables are the same wherever it lies."""
    record = RunRecord.at(workspace.runs, cell, fingerprint)
    found = [record.attempt_path(attempt) / "log.txt" for attempt in record.attempts()]
    return [path.relative_to(workspace.root).as_posix() for path in found if path.is_file()]
