"""What is done with a grid's cells, for ``grid.api``: found by entry points, not imported.

``grid`` knows no scheduler, and imports run from ``cluster`` to ``grid``. So the package that runs
cells says what it can do: an entry point of the group ``echolm.operations`` names an object with
the methods of ``Operations``. ``cluster.operations`` is the one that EchoLM installs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any, Protocol

from echolm.errors import EchoLMError
from echolm.workspace import Workspace
from grid.definition.grid import Cell, Grid
from grid.plan import CellStatus

GROUP = "echolm.operations"


class Operations(Protocol):
    """What a notebook can do with the cells of a grid, as the command line does it."""

    def launch(
        self, workspace: Workspace, grid: Grid, cells: Sequence[Cell], options: dict[str, Any]
    ) -> list[CellStatus]:
        """Run what is missing, and return where the cells stand then.

        Args:
            workspace: where they run.
            grid: the grid.
            cells: some or all of its cells.
            options: the options of ``echolm launch`` by name, such as ``on`` and ``slots``.

        Raises:
            EchoLMError: an option that the place does not have, or cannot satisfy.
        """
        ...

    def status(
        self, workspace: Workspace, grid: Grid, cells: Sequence[Cell]
    ) -> list[dict[str, Any]]:
        """Describe each cell as ``echolm status --json`` does."""
        ...

    def cancel(self, workspace: Workspace, grid: Grid, cells: Sequence[Cell]) -> list[str]:
        """Stop cells that have not ended, and return their ids."""
        ...


def installed_operations() -> Operations:
    """Load the operations that are installed.

    Raises:
        EchoLMError: none is, as where only a folder of EchoLM is on the path.
    """
    for entry in metadata.entry_points(group=GROUP):
        operations: Operations = entry.load()
        return operations
    raise EchoLMError(
        "nothing that runs cells is installed: install EchoLM with pip, not only its folder"
    )
