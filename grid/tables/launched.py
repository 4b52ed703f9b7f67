"""The grids of a workspace as they were launched: ``<workspace>/grids/<grid>/cells.json``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from echolm.config import explain_validation
from echolm.errors import EchoLMError
from echolm.record import read_json
from echolm.registry import suggest
from grid.tables.definition import TableDefinition

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
    """Names of the grids that were launched, sorted. ``folder``: the workspace's ``grids``."""
    return sorted(path.parent.name for path in folder.glob(f"*/{CELLS_FILE}"))


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
