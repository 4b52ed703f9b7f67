"""Smoke runs: cells of a grid with other values of some fields, to see whether all of it runs.

They are a grid of their own, ``NAME-smoke``, whose file lies in the workspace. Its cells have other
ids than those of the grid, its title says what they are, and its only table is the default one. So
nothing of them stands where numbers of the grid do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from echolm.identity import cell_id
from echolm.workspace import Workspace
from echolm.yaml_files import dump_yaml, load_yaml
from grid.definition.expand import Cell
from grid.definition.grid import Grid, grid_of
from grid.definition.settings import changed_run, settings_text

AXIS = "set"
"""The axis of a smoke grid whose label says which fields were set."""


def smoke_grid(
    workspace: Workspace, grid: Grid, cells: Sequence[Cell], settings: Mapping[str, Any]
) -> tuple[Grid, list[Cell]]:
    """Return the smoke grid of a grid, and those of its cells that these settings make.

    Cells of earlier smoke runs of the grid stay in it. A cell that begins with the weights of
    another one begins with those of its smoke run, which is tried too. Nothing is written.

    Args:
        workspace: where they are run.
        grid: the grid.
        cells: those of its cells to try.
        settings: dotted field -> value.

    Raises:
        EchoLMError: there is no such run, or it is one of the grid itself.
    """
    name = f"{grid.name}-smoke"
    path = workspace.grids / name / f"{name}.yaml"
    typed = settings_text(settings)
    own = {cell.id for cell in grid.cells}
    blocks: dict[str, Any] = {}
    smoke_ids: dict[str, str] = {}
    for cell in _with_upstreams(cells):
        changes = dict(settings)
        if cell.upstream is not None:
            changes.setdefault("weights", f"run:{smoke_ids[cell.upstream.id]}")
        config = changed_run(cell.config, changes, f"{grid.path}: cell {cell.id} with {typed}")
        id = cell_id(config)
        if id in own:
            raise EchoLMError(
                f"--set {typed}: cell {id} is one of {grid.name} itself, and a smoke run must not "
                "count there; set another value"
            )
        labels = {AXIS: typed.replace(",", ";"), **cell.coordinates}
        axes = {axis: [{"label": label, "set": {}}] for axis, label in labels.items()}
        blocks[id] = _block(config, axes, cell)
        smoke_ids[cell.id] = id
    blocks = {**_earlier_blocks(path), **blocks}
    labels_set = {str(block["axes"][AXIS][0]["label"]) for block in blocks.values()}
    title = f"smoke run of {grid.name} with {' and '.join(sorted(labels_set))}: no results"
    smoke = grid_of({"title": title, "subgrids": blocks}, path)
    chosen = set(smoke_ids.values())
    return smoke, [cell for cell in smoke.cells if cell.id in chosen]


def _with_upstreams(cells: Sequence[Cell]) -> list[Cell]:
    """Return cells and those that they begin from, which come first. Each is there once."""
    found: dict[str, Cell] = {}
    for cell in cells:
        chain = [cell]
        while chain[-1].upstream is not None:
            chain.append(chain[-1].upstream)
        for one in reversed(chain):
            found.setdefault(one.id, one)
    return list(found.values())


def _block(
    config: FinetuneConfig | PretrainConfig, axes: Mapping[str, Any], cell: Cell
) -> dict[str, Any]:
    """Return the block of one smoke run, which asks for what its cell asks for."""
    block: dict[str, Any] = {"base": config.model_dump(mode="json"), "axes": dict(axes)}
    if cell.resources.stated:
        block["resources"] = cell.resources.stated
    return block


def _earlier_blocks(path: Path) -> dict[str, Any]:
    """Return the blocks of earlier smoke runs, each of one cell."""
    if not path.is_file():
        return {}
    content = load_yaml(path)
    try:
        blocks: dict[str, Any] = dict(content["subgrids"])
        for block in blocks.values():
            str(block["axes"][AXIS][0]["label"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise EchoLMError(f"{path}: is not a file that EchoLM wrote; move it away") from None
    return blocks


def write_smoke_grid(grid: Grid) -> None:
    """Write the file of a smoke grid, so that its path names it in commands."""
    subgrids = {}
    for cell in grid.cells:
        axes = {axis: [{"label": label, "set": {}}] for axis, label in cell.coordinates.items()}
        subgrids[cell.id] = _block(cell.config, axes, cell)
    text = dump_yaml({"title": grid.title, "subgrids": subgrids})
    with writing(grid.path.parent):
        grid.path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(grid.path, text.encode())
