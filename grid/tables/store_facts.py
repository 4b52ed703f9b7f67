"""All that tables keep of stores beside the results, so that they can be made without them."""

from __future__ import annotations

from pathlib import Path

from echolm.workspace import Workspace
from grid.tables.constants import fit_constants
from grid.tables.store_values import keep_store_values


def keep_store_facts(workspace: Workspace, name: str, results: Path) -> None:
    """Fit constant predictions, and keep values of samples, as far as stores are there.

    Args:
        workspace: where the stores are.
        name: of the grid whose runs were collected.
        results: the folder that was collected.
    """
    fit_constants(workspace, name, results)
    keep_store_values(workspace, results)
