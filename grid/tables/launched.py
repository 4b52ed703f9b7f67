"""The grids of a workspace as they were launched: ``<workspace>/grids/<grid>/cells.json``; and those that were never launched
there and collected by their file, in the same form: ``<workspace>/results/<grid>/cells.json``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from echolm.config import explain_validation
from echolm.errors import EchoLMError
from echolm.record import read_json
from echolm.registry import suggest
from echolm.workspace import Workspace
from grid.tables.definition import TableDefinition, TableGrid
from grid.tables.further import with_current

CELLS_FILE = "cells.json"


class LaunchedCell(BaseModel):
    """A cell: its id, where it lies on the axes, the tables it belongs to."""

    model_config = ConfigDict(frozen=True)

    id: str
    coordinates: dict[str, str]
    tables: tuple[str, ...] = ()


class LaunchedGrid(BaseModel):
    """What tables need of ``cells.json``, as a ``TableGrid``."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str = ""
    cells: tuple[LaunchedCell, ...]
    tables: dict[str, TableDefinition] = {}
    path: str = ""
    """Of the file that was launched; empty for a grid that came with EchoLM."""

    @property
    def typed(self) -> str:
        """The grid as commands name it: its name, or the path of its file, relative where that is shorter to read."""
        path = Path(self.path)
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path) if self.path else self.name

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, value: Any) -> Any:
        cells = value.get("cells") if isinstance(value, dict) else None
        if not isinstance(cells, dict) or not all(isinstance(cell, dict) for cell in cells.values()):
            raise ValueError("'cells' is not a mapping of cell ids to cells; launch the grid again")
        return {**value, "name": value.get("grid"), "cells": [{"id": name, **cell} for name, cell in cells.items()]}


def launched_grids(folder: Path) -> list[str]:
    """Names of the grids that were launched, sorted. ``folder``: the workspace's ``grids``; its ``results`` for those that were
    collected by their file."""
    return sorted(path.parent.name for path in folder.glob(f"*/{CELLS_FILE}"))


def open_grid(workspace: Workspace, given: str) -> tuple[TableGrid, bool]:
    """A grid by its name or the path of its file, and whether it was launched here.

    It is as it was launched, else as its file says; by its name alone also as its file said when it was collected. The tables of
    a grid that came with EchoLM are those of this EchoLM, whenever it was launched.
    """
    from grid.definition import load_grid, shipped_grids

    name = Path(given).stem if given.endswith((".yaml", ".yml")) else given
    if name in launched_grids(workspace.grids):
        grid = read_launched(workspace.grids, name)
        shipped = None if grid.path else shipped_grids().get(name)
        return with_current(grid, shipped) if shipped else grid, True
    if name != given or name in shipped_grids():
        return load_grid(given), False
    if name in launched_grids(workspace.root / "results"):
        return read_launched(workspace.root / "results", name), False
    return read_launched(workspace.grids, name), True


def _instead(folder: Path, name: str, known: list[str]) -> str:
    """What to type instead of the name of a grid that was not launched."""
    from grid.definition import shipped_grids

    if name in shipped_grids():
        return f" in {folder.parent}; type: {shlex.join(['echolm', 'launch', name, '--on', 'local'])}"
    return f", nor did it come with EchoLM; {suggest(name, {*known, *shipped_grids()})}; or give the path of a .yaml file"


def read_launched(folder: Path, name: str) -> LaunchedGrid:
    """A launched grid; EchoLMError when it was never launched or its file is damaged."""
    path = folder / name / CELLS_FILE
    if name not in (known := launched_grids(folder)):
        raise EchoLMError(f"grid {name!r} was never launched{_instead(folder, name, known)}")
    try:
        return LaunchedGrid.model_validate(read_json(path))
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None
