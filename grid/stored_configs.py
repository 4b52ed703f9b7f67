"""The configurations of a launched grid: those in its units, and those in its ``cells.json``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from echolm.commands import Command
from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.files import read_json
from echolm.workspace import Workspace
from grid.units import Unit

CELLS_FILE = "cells.json"


def unit_config(
    unit: Unit, cell: str, workspace: Workspace, grid: str
) -> FinetuneConfig | PretrainConfig:
    """Return the configuration of a unit's cell.

    Raises:
        EchoLMError: it is not valid, or is neither in the unit nor in ``cells.json``.
    """
    config = unit.config_of(cell)
    if config is not None:
        return config
    return launched_config(workspace, grid, cell)


def launched_config(workspace: Workspace, grid: str, cell: str) -> FinetuneConfig | PretrainConfig:
    """Return the stored configuration of a launched cell.

    Raises:
        EchoLMError: the cell was not launched.
    """
    path = workspace.grids / grid / CELLS_FILE
    configs = launched_configs(workspace, grid)
    if cell not in configs:
        raise EchoLMError(
            f"{path}: holds no cell {cell}; launch it", Command("launch", grid, on="local")
        )
    return parse_config(configs[cell], f"{path}: {cell}")


def launched_configs(workspace: Workspace, grid: str) -> dict[str, Any]:
    """Return the stored configurations of a launched grid, cell id -> configuration.

    There are none of a grid that was not launched.
    """
    path = workspace.grids / grid / CELLS_FILE
    return _launched_configs(path, path.stat().st_mtime_ns) if path.exists() else {}


@lru_cache(maxsize=1)
def _launched_configs(path: Path, modified_ns: int) -> dict[str, Any]:
    """Read a ``cells.json`` once a process, unless it has changed since.

    10,000 cells take 0.2 s, too much for each cell of a worker.
    """
    return read_configs(path)


def read_configs(path: Path) -> dict[str, Any]:
    """Read the configurations of a ``cells.json``, cell id -> configuration.

    Raises:
        EchoLMError: it is not such a file.
    """
    cells = read_json(path, "cells")["cells"]
    entries = cells.items() if isinstance(cells, dict) else [("", None)]
    configs = {}
    for cell, entry in entries:
        config = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(config, dict):
            raise EchoLMError(
                f"{path}: 'cells' is not a mapping of cell ids to cells with a 'config';"
                " launch the grid again"
            )
        configs[cell] = config
    return configs
