"""Find a cell, its configuration or its run by its id, or the start of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from echolm.commands import Command
from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.files import read_json
from echolm.record import RunRecord, find_records, is_key
from echolm.text import suggest
from echolm.training.prepare import Inputs
from echolm.workspace import Workspace
from grid.definition.grid import load_grid, shipped_grids
from grid.stored_configs import read_configs


def inputs_of(config: FinetuneConfig | PretrainConfig, workspace: Workspace) -> Inputs:
    """Return what a run is prepared with, as a launch of its grid would prepare it.

    The cells that it begins from are looked for in the grids that were launched here, and in those
    that came with EchoLM.
    """
    if config.weights.source != "run":
        return Inputs(workspace)

    def find(cell: str) -> FinetuneConfig | PretrainConfig | None:
        for known, stored in _configs_of_grids(workspace):
            if known == cell:
                return _parsed(cell, stored)
        return None

    return Inputs(workspace, find)


def find_cell(text: str, workspace: Workspace) -> tuple[str, FinetuneConfig | PretrainConfig]:
    """Find a cell by its id, or the start of it.

    Launched grids, run records and shipped grids are looked through. A whole id is found without
    the shipped grids where it was launched or run: to read all of those takes seconds.

    Raises:
        EchoLMError: there is no such cell, or more than one.
    """
    configs = _configs_of_this_workspace(text, workspace)
    if text not in configs:
        for cell, config in _configs_of_shipped_grids():
            if cell.startswith(text):
                configs[cell] = config
    if text in configs:  # an id is itself, whatever begins with it
        configs = {text: configs[text]}
    if not configs:
        raise EchoLMError(f"{text!r} is not a cell; echolm grid show GRID lists cells")
    if len(configs) > 1:
        hint = suggest(text, list(configs)[:5])
        raise EchoLMError(f"{text!r} is the start of {len(configs)} cells; {hint}")
    [(cell, config)] = configs.items()
    return cell, _parsed(cell, config)


def _parsed(cell: str, config: Any) -> FinetuneConfig | PretrainConfig:
    """Return a cell's configuration, which may be as a file holds it."""
    if isinstance(config, FinetuneConfig | PretrainConfig):
        return config
    return parse_config(config, f"cell {cell}")


def _configs_of_this_workspace(start: str, workspace: Workspace) -> dict[str, Any]:
    """Return the configurations of launched cells and of records whose cell starts so."""
    configs: dict[str, Any] = {}
    for cell, config in _configs_of_launched_grids(workspace):
        if cell.startswith(start):
            configs[cell] = config
    if start.isalnum():  # else it would be a pattern, or a path
        for path in workspace.runs.glob(f"{start}*/*/config.json"):
            cell, record = path.parts[-3:-1]
            if is_key(cell) and is_key(record):
                configs.setdefault(cell, read_json(path, "config")["config"])
    return configs


def _configs_of_grids(workspace: Workspace) -> Iterator[tuple[str, Any]]:
    """Yield each cell of launched and shipped grids with its configuration, parsed or plain."""
    yield from _configs_of_launched_grids(workspace)
    yield from _configs_of_shipped_grids()


def _configs_of_launched_grids(workspace: Workspace) -> Iterator[tuple[str, Any]]:
    for path in sorted(workspace.grids.glob("*/cells.json")):
        yield from read_configs(path).items()


@cache
def _configs_of_shipped_grids() -> tuple[tuple[str, Any], ...]:
    """Return the cells of the grids that come with EchoLM. It takes seconds, once a process."""
    configs: list[tuple[str, Any]] = []
    for name in shipped_grids():
        configs += [(shipped.id, shipped.config) for shipped in load_grid(name).cells]
    return tuple(configs)


def find_run(text: str, workspace: Workspace) -> RunRecord:
    """Find a complete run.

    ``text`` is a record folder, or the id of a cell or the start of it. Of a cell it is the newest.

    Raises:
        EchoLMError: there is none, or it is of more than one cell.
    """
    folder = Path(text)
    if (folder / "config.json").is_file():
        return RunRecord(folder)
    cells = _complete_cells(workspace, text) if text.isalnum() else []
    if len(cells) != 1:
        known = _complete_cells(workspace)
        message = f"{text!r} names {len(cells)} complete runs in {workspace.runs}"
        if known:
            raise EchoLMError(f"{message}; {suggest(text, known[:10])}")
        raise EchoLMError(f"{message}; there are none yet, make some", Command("launch", "GRID"))
    records = find_records(workspace.runs, cells[0])
    return next(record for record in records if record.summary() is not None)


def _complete_cells(workspace: Workspace, start: str = "") -> list[str]:
    """Return the ids of cells with a complete run that start so, in order."""
    cells = set()
    for path in workspace.runs.glob(f"{start}*/*/summary.json"):
        cell, record = path.parts[-3:-1]
        if is_key(cell) and is_key(record):
            cells.add(cell)
    return sorted(cells)
