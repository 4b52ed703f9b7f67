"""What ``grid.api`` does with cells, by the functions behind the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from cluster.actions import cancel_cells
from cluster.launch import choose_place
from cluster.place import LaunchNews, LaunchOptions
from cluster.status import cell_facts, look_at_grid
from echolm.errors import EchoLMError
from echolm.text import suggest
from echolm.workspace import Workspace
from grid.definition.grid import Cell, Grid
from grid.plan import CellStatus


class ClusterOperations:
    """The operations of this machine, SLURM and Ray (see ``grid.operations.Operations``)."""

    def launch(
        self, workspace: Workspace, grid: Grid, cells: Sequence[Cell], options: dict[str, Any]
    ) -> list[CellStatus]:
        """Run what is missing of ``cells``. ``options`` are the fields of ``LaunchOptions``."""
        known = [field.name for field in fields(LaunchOptions)]
        for name in options:
            if name not in known:
                raise EchoLMError(f"no option {name!r} of a launch; {suggest(name, known)}")
        place = choose_place(workspace, LaunchOptions(**options))
        place.check()
        return place.launch(grid, cells, LaunchNews()).statuses

    def status(
        self, workspace: Workspace, grid: Grid, cells: Sequence[Cell]
    ) -> list[dict[str, Any]]:
        """Describe each cell as ``echolm status --json`` does."""
        look = look_at_grid(workspace, grid.name, cells)
        return [cell_facts(status, look.jobs) for status in look.cells]

    def cancel(self, workspace: Workspace, grid: Grid, cells: Sequence[Cell]) -> list[str]:
        """Stop cells that have not ended, and return their ids."""
        return cancel_cells(workspace, grid.name, cells).cells


operations = ClusterOperations()
