"""Plans: where each cell of a grid stands, and which cells share a unit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.files import list_names, read_json, write_atomic
from echolm.identity import canonical, canonical_json
from echolm.record import RunRecord, RunStatus, find_records
from echolm.states import RunState, Standing
from echolm.training.prepare import Inputs, PreparedRun, prepare_run
from echolm.workspace import Workspace
from grid.definition.files import path_fields, refuse_other_file
from grid.definition.grid import Cell, Grid
from grid.stored_configs import CELLS_FILE
from grid.units import STOPPED, TO_RUN, Unit, is_held_out_of_sight

SMALLEST_PART = 8
"""Members of a part of a cohort that is divided among slots. Parts pay for the trunk each."""


@dataclass(frozen=True)
class CellStatus:
    """A cell at the moment of looking.

    Attributes:
        cell: the cell.
        state: what its record says. Of a cell whose first weights are not there yet it is a
            ``Standing``. Its evidence is then ``upstream`` (the other cell), the ``state`` of that
            one, and the ``reason`` in words.
        record: its record. None where there is none and its data or weights are missing.
        run: what a launch needs of it. None when its data or weights are missing.
        problem: what is missing, in words.
    """

    cell: Cell
    state: RunStatus
    record: RunRecord | None = None
    run: PreparedRun | None = None
    problem: str = ""

    @property
    def waits_for(self) -> str:
        """The cell whose weights it waits for, or ''. A cell that is blocked waits for none."""
        is_waiting = self.state.name == Standing.WAITING
        return str(self.state.evidence["upstream"]) if is_waiting else ""

    @property
    def upstream(self) -> str:
        """The cell whose weights it begins with, or ''."""
        weights = self.cell.config.weights
        return weights.value if weights.source == "run" else ""


def needs_run(status: CellStatus) -> bool:
    """Return whether a launch starts this cell.

    Nobody is known to hold it, and it waits for nothing. A running cell whose holder cannot be
    seen from here is started too: it is busy, after a beat, or taken over.
    """
    return status.state.name in TO_RUN or is_held_out_of_sight(status.state)


def cell_statuses(cells: Iterable[Cell], workspace: Workspace) -> list[CellStatus]:
    """Judge every cell.

    Without its data or weights, a cell's newest record (if any) is what counts.
    """
    cells = list(cells)
    judge = _Judge(cells, workspace)
    return [judge.status(cell) for cell in cells]


class _Judge:
    """Judges cells at one moment, and those that they begin from, each once."""

    def __init__(self, cells: Iterable[Cell], workspace: Workspace) -> None:
        self._workspace = workspace
        self._cells: dict[str, Cell] = {}
        for cell in cells:
            one: Cell | None = cell
            while one is not None and one.id not in self._cells:
                self._cells[one.id] = one
                one = one.upstream
        self._inputs = Inputs(workspace, self._config)
        self._begun = list_names(workspace.runs)
        self._statuses: dict[str, CellStatus] = {}

    def status(self, cell: Cell) -> CellStatus:
        """Judge a cell."""
        if cell.id not in self._statuses:
            self._statuses[cell.id] = self._judge(cell)
        return self._statuses[cell.id]

    def _config(self, cell: str) -> FinetuneConfig | PretrainConfig | None:
        return self._cells[cell].config if cell in self._cells else None

    def _judge(self, cell: Cell) -> CellStatus:
        begun = cell.id in self._begun
        try:
            run = prepare_run(cell.config, self._workspace, self._inputs, may_wait=True)
        except EchoLMError as error:
            return _status_without_inputs(cell, self._workspace, begun, str(error))
        state = run.record.state() if begun else RunStatus(RunState.PENDING)
        if run.waits_for and state.name in TO_RUN:
            state = self._standing(state, self.status(self._cells[run.waits_for]))
        return CellStatus(cell, state, run.record, run)

    def _standing(self, state: RunStatus, upstream: CellStatus) -> RunStatus:
        """Say how a cell stands that begins with weights which are not there yet."""
        cell, of = upstream.cell, str(upstream.state.name)
        labels = " ".join(f"{axis}={label}" for axis, label in cell.coordinates.items())
        reason = f"cell {cell.id[:8]} ({labels}), whose weights it begins with, is {of}"
        standing = Standing.WAITING
        if of in STOPPED or of == Standing.BLOCKED:
            standing = Standing.BLOCKED
        evidence = {"upstream": cell.id, "state": of, "reason": reason}
        return RunStatus(standing, state.attempt, evidence)


def _status_without_inputs(
    cell: Cell, workspace: Workspace, begun: bool, problem: str
) -> CellStatus:
    """Judge a cell whose data or weights are missing by its newest record."""
    records = find_records(workspace.runs, cell.id) if begun else []
    if records:
        return CellStatus(cell, records[0].state(), records[0], problem=problem)
    if begun and (workspace.runs / cell.id / "cancelled").exists():
        return CellStatus(cell, RunStatus(RunState.CANCELLED), problem=problem)
    return CellStatus(cell, RunStatus(RunState.PENDING), problem=problem)


def units(statuses: Sequence[CellStatus], slots: int | None = None) -> list[Unit]:
    """Group the cells to run into cohorts.

    A cell without a frozen trunk is alone. How many members fit into memory together is found out
    where they run (``echolm.training.cohorts``). A cohort is divided only so that all slots have
    something to do, and into no smaller parts than ``SMALLEST_PART``.

    Args:
        statuses: the cells.
        slots: how many units run at once. None: not known.
    """
    largest = SMALLEST_PART
    if slots:
        largest = max(SMALLEST_PART, math.ceil(len(statuses) / slots))
    cohorts: dict[str, list[Cell]] = {}
    for status in statuses:
        key = cohort_key(status.cell.config) or status.cell.id
        cohorts.setdefault(key, []).append(status.cell)
    groups = []
    for cells in cohorts.values():
        for first in range(0, len(cells), largest):
            groups.append(unit_of(cells[first : first + largest]))
    return groups


def unit_of(cells: Sequence[Cell]) -> Unit:
    """Return the unit of these cells, with the configurations that they need."""
    configs: dict[str, str] = {}
    for cell in cells:
        one: Cell | None = cell
        while one is not None and one.id not in configs:
            configs[one.id] = json.dumps(one.config.model_dump(mode="json"))
            one = one.upstream
    return Unit(tuple(cell.id for cell in cells), configs)


def cohort_key(config: FinetuneConfig | PretrainConfig) -> str | None:
    """Return what is equal for cells that may share batches and trunk.

    None when there is no frozen trunk to share.
    """
    if not isinstance(config, FinetuneConfig):
        return None
    if config.trainable.cut(config.encoder.blocks) == 0:
        return None
    plain = canonical(config)
    names = ("data", "task", "encoder", "weights", "augmentation", "clip", "batch_size", "views")
    shared = {name: plain.get(name) for name in names}  # a neutral clip is left out
    seed = config.seed if config.weights.source == "random" else None
    return canonical_json([shared, config.order, config.view, seed])


def save_cells(grid: Grid, workspace: Workspace) -> Path:
    """Write ``grids/<grid>/cells.json``, and return its path.

    It holds the resolved cells that were launched, the tables they feed, and the path of the grid's
    file unless the grid came with EchoLM.

    Raises:
        EchoLMError: the grid's name belongs to another file in this workspace.
    """
    refuse_other_file(workspace, grid)
    path = workspace.grids / grid.name / CELLS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, cells_text(grid, workspace))
    return path


def cells_text(grid: Grid, workspace: Workspace) -> bytes:
    """Return the content of ``cells.json`` in a workspace."""
    cells: dict[str, dict[str, Any]] = {}
    for cell in grid.cells:
        cells[cell.id] = {
            "coordinates": cell.coordinates,
            "tables": list(cell.tables),
            "subgrids": list(cell.subgrids),
            "config": cell.config.model_dump(mode="json"),
        }
        if cell.resources.stated:
            cells[cell.id]["resources"] = cell.resources.stated
    tables = {name: table.model_dump(mode="json") for name, table in grid.tables.items()}
    content = {"grid": grid.name, "title": grid.title, "cells": cells, "tables": tables}
    if grid.claims:
        content["claims"] = {
            name: claim.model_dump(mode="json") for name, claim in grid.claims.items()
        }
    content.update(path_fields(grid, workspace))
    return json.dumps(content, indent=1).encode()


def cells_with_own(workspace: Workspace, grid: str, *names: str) -> set[str]:
    """Return the cells of a launched grid whose block states one of these resources."""
    path = workspace.grids / grid / CELLS_FILE
    if not path.exists():
        return set()
    cells = set()
    for cell, entry in read_json(path, "cells")["cells"].items():
        if set(names) & set(entry.get("resources", {})):
            cells.add(cell)
    return cells
