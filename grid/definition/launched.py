"""The grids of a workspace as they were launched: ``<workspace>/grids/<grid>/cells.json``.

Those that were never launched there and were collected by their file lie in the same form in
``<workspace>/results/<grid>/cells.json``. Which file a name belongs to: ``grid.definition.files``.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from echolm.commands import Command
from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.files import read_json
from echolm.text import suggest
from echolm.workspace import Workspace
from echolm.yaml_files import explain_validation
from grid.definition.claims import ClaimDefinition
from grid.definition.default_table import goal_key, with_default_table
from grid.definition.extra_tables import with_current
from grid.definition.files import is_same_file, load_in, refuse_other_file, stored_path
from grid.definition.grid import Grid, load_grid, shipped_grids, typed_path
from grid.definition.tables import TableDefinition, TableGrid
from grid.stored_configs import CELLS_FILE

__all__ = [
    "CELLS_FILE",
    "LaunchedCell",
    "LaunchedGrid",
    "launched_grids",
    "open_grid",
    "open_tables",
    "read_launched",
]


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
    claims: dict[str, ClaimDefinition] = {}
    path: str = ""
    """Of the file that was launched. Empty for a grid that came with EchoLM."""
    examples: tuple[dict[str, Any], ...] = ()
    """A configuration of each task, where no table is defined."""

    @property
    def typed(self) -> str:
        """The grid as commands name it: its name, or the path of its file."""
        return typed_path(Path(self.path)) if self.path else self.name

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, value: Any) -> Any:
        entries = value.get("cells") if isinstance(value, dict) else None
        if not isinstance(entries, dict) or not _are_dicts(entries.values()):
            raise ValueError("'cells' is not a mapping of cell ids to cells; launch the grid again")
        cells = [{"id": id, **entry} for id, entry in entries.items()]
        content = {**value, "name": value.get("grid"), "cells": cells}
        if not value.get("tables"):
            content["examples"] = _examples(entries.values())
        return content


def _examples(entries: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the first configuration of each task and objective among the entries of cells."""
    examples: dict[str, dict[str, Any]] = {}
    for entry in entries:
        config = entry.get("config")
        if isinstance(config, dict):
            examples.setdefault(repr((config.get("task"), config.get("objective"))), config)
    return tuple(examples.values())


def _are_dicts(values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def launched_grids(folder: Path) -> list[str]:
    """Return the names of the grids that were launched, sorted.

    Args:
        folder: the workspace's ``grids``, or its ``results`` for those that were collected by their
            file.
    """
    return sorted(path.parent.name for path in folder.glob(f"*/{CELLS_FILE}"))


def open_tables(workspace: Workspace, given: str) -> tuple[TableGrid, bool]:
    """Open a grid as ``open_grid`` does. One that defines no table has its default table."""
    grid, was_launched = open_grid(workspace, given)
    examples: list[FinetuneConfig | PretrainConfig] = []
    if isinstance(grid, Grid):
        examples = list({goal_key(cell.config): cell.config for cell in grid.cells}.values())
    elif isinstance(grid, LaunchedGrid):
        with suppress(EchoLMError):  # of a plugin that is not there
            examples = [parse_config(config) for config in grid.examples]
    return with_default_table(grid, examples), was_launched


def open_grid(workspace: Workspace, given: str) -> tuple[TableGrid, bool]:
    """Open a grid, and return it with whether it was launched here.

    By the path of its file it is as the file says now. By its name it is as it was launched, else
    as its file said when it was collected. The tables of a grid that came with EchoLM are those of
    this EchoLM, whenever it was launched.

    Args:
        workspace: where grids were launched.
        given: the grid's name, or the path of its file.

    Raises:
        EchoLMError: there is no such grid, or the name belongs to another file in this workspace.
    """
    if given.endswith((".yaml", ".yml")):
        return _open_file(workspace, Path(given))
    if given in launched_grids(workspace.grids):
        grid = read_launched(workspace.grids, given)
        shipped = shipped_grids().get(given)
        if shipped is None:
            return grid, True
        if grid.path:  # somebody's own file has that name here
            refuse_other_file(workspace, load_grid(given))
        return with_current(grid, shipped), True
    if given in shipped_grids():
        return load_in(workspace, given), False
    if given in launched_grids(workspace.root / "results"):
        return read_launched(workspace.root / "results", given), False
    return read_launched(workspace.grids, given), True


def _open_file(workspace: Workspace, path: Path) -> tuple[TableGrid, bool]:
    """Open a grid by the path of its file. What was launched counts where the file is gone.

    An early version did not store the path.
    """
    was_launched = path.stem in launched_grids(workspace.grids)
    if was_launched and not path.exists():
        grid = read_launched(workspace.grids, path.stem)
        if not grid.path or is_same_file(Path(grid.path), path):
            return grid, True
    return load_in(workspace, str(path)), was_launched


def read_launched(folder: Path, name: str) -> LaunchedGrid:
    """Read a launched grid.

    Args:
        folder: as for ``launched_grids``.
        name: the grid's name.

    Raises:
        EchoLMError: it was never launched, or its file is damaged.
    """
    path = folder / name / CELLS_FILE
    launched = launched_grids(folder)
    if name not in launched:
        raise _never_launched(folder, name, launched)
    try:
        content = read_json(path)
        file = stored_path(content, Workspace(folder.parent))
        return LaunchedGrid.model_validate({**content, "path": file})
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None


def _never_launched(folder: Path, name: str, launched: list[str]) -> EchoLMError:
    """Return the error of a grid that was not launched. It says what to type instead."""
    shipped = shipped_grids()
    if name in shipped:
        return EchoLMError(
            f"grid {name!r} was never launched in {folder.parent}; type",
            command=Command("launch", name, on="local"),
        )
    valid = suggest(name, {*launched, *shipped})
    return EchoLMError(
        f"grid {name!r} was never launched, nor did it come with EchoLM; {valid}; "
        "or give the path of a .yaml file"
    )
