"""Which file a grid's name belongs to in a workspace, and how it differs from what was launched.

A grid is known by the name of its file. What is stored under that name (``cells.json``, results,
jobs, the experiment in MLflow) must be of one file. So another file of the same name is refused,
and so is a file that is named like a grid that came with EchoLM. A file that was moved and whose
cells are the same is the same grid. One that was moved and edited is made known by
``echolm grid moved FILE``. A file that was moved together with its workspace is found by its path
from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echolm.commands import Command, Hint
from echolm.errors import EchoLMError
from echolm.files import read_json, write_atomic
from echolm.text import counted
from echolm.workspace import Workspace
from grid.definition.grid import Grid, load_grid, shipped_grids
from grid.definition.tables import TableGrid
from grid.stored_configs import CELLS_FILE


@dataclass(frozen=True)
class KnownGrid:
    """What a workspace holds under a grid's name.

    Attributes:
        path: the file that was launched or collected. Empty for a grid that came with EchoLM, and
            where an early version launched it.
        cells: cell id -> its labels by axis.
    """

    path: str
    cells: dict[str, dict[str, str]]


def known_grid(workspace: Workspace, name: str) -> KnownGrid | None:
    """Return what a workspace holds under a name: what was launched, else what was collected."""
    for folder in _folders(workspace):
        content = _read(folder / name / CELLS_FILE)
        if content:
            return KnownGrid(stored_path(content, workspace), _labels_by_cell(content))
    return None


def load_in(workspace: Workspace, given: str) -> Grid:
    """Load a grid to work with in a workspace.

    Args:
        workspace: where its cells are run.
        given: the name of a grid that came with EchoLM, or the path of a file.

    Raises:
        EchoLMError: it is not valid, or its name belongs to another file in this workspace.
    """
    grid = load_grid(given)
    refuse_other_file(workspace, grid)
    return grid


def refuse_other_file(workspace: Workspace, grid: Grid) -> None:
    """Refuse a grid whose name belongs to another file in a workspace.

    Raises:
        EchoLMError: names both files and what to do.
    """
    known = known_grid(workspace, grid.name)
    if known is not None and known.path and is_same_file(Path(known.path), grid.path):
        return
    if grid.shipped:
        if known is not None and known.path:
            raise EchoLMError(
                f"grid {grid.name} that came with EchoLM: in {workspace.root}, that name belongs "
                f"to {known.path}, and a grid is known by its file's name; give the path of that "
                "file, or use another --workspace"
            )
        return
    if grid.name in shipped_grids():
        raise _named_like_shipped(grid.path)
    if known is None or not known.path or known.cells == _labels_of(grid):
        return
    same = len(known.cells.keys() & {cell.id for cell in grid.cells})
    raise EchoLMError(
        f"{grid.path}: in {workspace.root}, the name {grid.name} belongs to {known.path}, whose "
        f"cells are others ({same:,} of {counted(len(grid.cells), 'cell')} are the same), and a "
        "grid is known by its file's name; rename one of the files, or use another --workspace. "
        "If that file has moved here, type",
        Command("grid moved", str(grid.path)),
    )


def refuse_taken_name(workspace: Workspace, path: Path) -> None:
    """Refuse to write a grid to a file whose name belongs to another one in a workspace.

    Raises:
        EchoLMError: names the other file.
    """
    known = known_grid(workspace, path.stem)
    if known is not None and known.path:
        if is_same_file(Path(known.path), path):
            return
        raise EchoLMError(
            f"{path}: in {workspace.root}, the name {path.stem} belongs to {known.path}, and a "
            "grid is known by its file's name; choose another name"
        )
    if path.stem in shipped_grids():
        raise _named_like_shipped(path)


def note_move(workspace: Workspace, given: str) -> str:
    """Note that the file of a launched grid lies at another path now, and return the earlier path.

    Args:
        workspace: where the grid was launched.
        given: where its file is now.

    Raises:
        EchoLMError: no grid of that name was launched or collected from a file.
    """
    grid = load_grid(given)
    known = known_grid(workspace, grid.name)
    if known is None or not known.path or grid.shipped:
        raise EchoLMError(
            f"{given}: no file of that name was launched or collected in {workspace.root}"
        )
    for folder in _folders(workspace):
        stored = folder / grid.name / CELLS_FILE
        content = _read(stored)
        if content:
            content.update(path_fields(grid, workspace))
            write_atomic(stored, json.dumps(content, indent=1).encode())
    return known.path


def launch_differences(workspace: Workspace, grid: TableGrid, on: str = "") -> list[Hint]:
    """Say in one line how the cells of a grid's file differ from those that were launched.

    Args:
        workspace: where it was launched.
        grid: the grid as it was opened. One that is as it was launched has no difference.
        on: where it is run, as a command to type says it.

    Returns:
        No line, or one.
    """
    launched = _labels_by_cell(_read(workspace.grids / grid.name / CELLS_FILE))
    if not launched:
        return []
    added_axes: frozenset[str] = getattr(grid, "added_axes", frozenset())
    today: dict[str, dict[str, str]] = {}
    for cell in grid.cells:
        labels = cell.coordinates.items()
        today[cell.id] = {axis: label for axis, label in labels if axis not in added_axes}
    places_then = {_place(labels) for labels in launched.values()}
    places_now = {_place(labels) for labels in today.values()}
    more = changed = fewer = relabelled = 0
    for id, where in today.items():
        if id in launched:
            relabelled += launched[id] != where
        elif _place(where) in places_then:
            changed += 1
        else:
            more += 1
    for id, where in launched.items():
        fewer += id not in today and _place(where) not in places_now
    parts = []
    if more:
        parts.append(f"{counted(more, 'cell')} more")
    if fewer:
        parts.append(f"{counted(fewer, 'cell')} fewer")
    if changed:
        parts.append(f"{counted(changed, 'cell')} with another configuration")
    if relabelled:
        parts.append(f"{counted(relabelled, 'cell')} with other labels")
    if not parts:
        return []
    text = f"{grid.typed}: since it was launched, it has {', '.join(parts)}; to run what is missing"
    return [Hint(text, Command("launch", grid.typed, on=on))]


def path_fields(grid: Grid, workspace: Workspace) -> dict[str, str]:
    """Return what ``cells.json`` says of a grid's file: nothing of one that came with EchoLM.

    ``path`` is absolute. ``relative`` leads from the workspace to the file.
    """
    if grid.shipped:
        return {}
    relative = os.path.relpath(grid.path.resolve(), workspace.root.resolve())
    return {"path": str(grid.path.absolute()), "relative": relative}


def stored_path(content: Mapping[str, Any], workspace: Workspace) -> str:
    """Return the path of the file that a ``cells.json`` was made of.

    Where workspace and file were moved together, it is where the file is now.
    """
    path, relative = content.get("path"), content.get("relative")
    if not isinstance(path, str):
        return ""
    if isinstance(relative, str):
        here = Path(os.path.normpath(workspace.root.resolve() / relative))
        if here.is_file() and not is_same_file(here, Path(path)):
            return str(here)
    return path


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, which need not be there."""
    return one.resolve() == other.resolve()


def _folders(workspace: Workspace) -> tuple[Path, Path]:
    return workspace.grids, workspace.root / "results"


def _read(stored: Path) -> dict[str, Any]:
    """Return the content of a ``cells.json``. It is empty where a launch would write the file anew.

    That is where it is not there, or damaged.
    """
    try:
        return read_json(stored)
    except (FileNotFoundError, EchoLMError):
        return {}


def _named_like_shipped(path: Path) -> EchoLMError:
    return EchoLMError(
        f"{path}: is named like {shipped_grids()[path.stem]}, which came with EchoLM, and a grid "
        "is known by its file's name; rename the file"
    )


def _labels_by_cell(content: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the labels of each cell of a ``cells.json``. What is damaged is no cell."""
    cells = content.get("cells")
    labels = {}
    for cell, entry in cells.items() if isinstance(cells, dict) else ():
        if isinstance(entry, dict) and isinstance(entry.get("coordinates"), dict):
            labels[cell] = entry["coordinates"]
    return labels


def _labels_of(grid: Grid) -> dict[str, dict[str, str]]:
    return {cell.id: cell.coordinates for cell in grid.cells}


def _place(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
