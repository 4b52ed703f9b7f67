"""Plans: where each cell of a grid stands, which cells share a unit, and the plain data that executors consume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.identity import canonical, canonical_json
from echolm.record import RunRecord, RunState, find_records, names, read_json, write_atomic
from echolm.registry import suggest
from echolm.training.prepare import Inputs, PreparedRun, prepare_run
from echolm.workspace import Workspace
from grid.definition import Cell, Grid

TO_RUN = ("pending", "interrupted")
"""States that a launch runs; the others are complete, held elsewhere, or wait for ``echolm retry``."""


@dataclass(frozen=True)
class Resources:
    """What one job needs: GPUs in all, ranks (one a GPU; without GPUs, processes), CPU threads a rank, memory a node in GB
    (None: the site's), minutes until its time limit. ``micro_batch``: samples a rank pushes at once (None: its whole share
    of the batch)."""

    gpus: int = 0
    ranks: int = 1
    threads: int = 1
    memory_gb: float | None = None
    minutes: int = 60
    micro_batch: int | None = None


@dataclass(frozen=True)
class Limits:
    """How much may run at once: ``slots`` jobs; ``restarts``: how often a unit whose process on this machine dies is started
    again (on SLURM and Ray, the budgets of ``cluster.failures`` say it)."""

    slots: int = 1
    restarts: int = 2


@dataclass(frozen=True)
class Unit:
    """One cohort: cells that one process trains together."""

    cells: tuple[str, ...]

    @property
    def id(self) -> str:
        """The first cell's id."""
        return self.cells[0]


@dataclass(frozen=True)
class Job:
    """Units of one resource shape. An executor needs only this and the workspace's files."""

    workspace: Path
    grid: str
    units: tuple[Unit, ...]
    resources: Resources = Resources()


@dataclass(frozen=True)
class Report:
    """News from a job: ``event`` is ``epoch`` (a validated epoch), ``smaller`` (a micro-batch after out-of-memory),
    ``ended`` (a cell's outcome) or ``died`` (a process)."""

    event: str
    cell: str
    facts: dict[str, Any] = field(default_factory=dict)


class Executor(Protocol):
    """Where jobs run. Launching the same job twice runs nothing twice: records decide."""

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """Start the job's units. A local executor returns when all have ended; a scheduler's after submission.
        Returns the identifiers of what was started (processes, scheduler jobs)."""
        ...


@dataclass(frozen=True)
class Standing:
    """A cell at the moment of looking. ``run`` is None when its data or weights are missing: ``problem`` says which."""

    cell: Cell
    state: RunState
    record: RunRecord | None = None
    run: PreparedRun | None = None
    problem: str = ""


def to_run(standing: Standing) -> bool:
    """Whether a launch starts this cell: nobody is known to hold it and it waits for nothing.

    A running cell whose holder cannot be seen from here is started too: it is busy, after a beat, or taken over.
    """
    state = standing.state
    return state.name in TO_RUN or (state.name == "running" and "unseen" in state.evidence)


def survey(cells: Iterable[Cell], workspace: Workspace) -> list[Standing]:
    """Judge every cell. Without its data or weights, a cell's newest record (if any) is what counts."""
    inputs, begun = Inputs(workspace), names(workspace.runs)
    return [_standing(cell, workspace, inputs, cell.id in begun) for cell in cells]


def _standing(cell: Cell, workspace: Workspace, inputs: Inputs, begun: bool) -> Standing:
    """``begun``: whether the cell has a folder."""
    try:
        run = prepare_run(cell.config, workspace, inputs)
    except EchoLMError as error:
        records = find_records(workspace.runs, cell.id) if begun else []
        marked = begun and (workspace.runs / cell.id / "cancelled").exists()
        state = records[0].state() if records else RunState("cancelled" if marked else "pending")
        return Standing(cell, state, records[0] if records else None, None, str(error))
    return Standing(cell, run.record.state() if begun else RunState("pending"), run.record, run)


def units(standings: Sequence[Standing], largest: int = 8) -> list[Unit]:
    """Group the cells to run into cohorts of at most ``largest``; a cell without a frozen trunk is alone."""
    groups: dict[str, list[str]] = {}
    for standing in standings:
        groups.setdefault(cohort_key(standing.cell.config) or standing.cell.id, []).append(standing.cell.id)
    return [Unit(tuple(ids[i : i + largest])) for ids in groups.values() for i in range(0, len(ids), largest)]


def cohort_key(config: FinetuneConfig | PretrainConfig) -> str | None:
    """Equal for cells that may share batches and trunk; None when there is no frozen trunk to share."""
    if not isinstance(config, FinetuneConfig) or config.trainable.cut(config.encoder.blocks) == 0:
        return None
    plain = canonical(config)
    shared = {name: plain[name] for name in ("data", "task", "encoder", "weights", "augmentation", "batch_size", "views")}
    seed = config.seed if config.weights.source == "random" else None
    return canonical_json([shared, config.order, config.view, seed])


def save_cells(grid: Grid, workspace: Workspace) -> Path:
    """Write ``grids/<grid>/cells.json``: the resolved cells that were launched, the tables they feed, and the path of the
    grid's file unless the grid came with EchoLM."""
    path = workspace.grids / grid.name / "cells.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, cells_text(grid))
    return path


def cells_text(grid: Grid) -> bytes:
    """The content of ``cells.json``."""
    cells = {
        cell.id: {
            "coordinates": cell.coordinates,
            "tables": list(cell.tables),
            "subgrids": list(cell.subgrids),
            "config": cell.config.model_dump(mode="json"),
        }
        for cell in grid.cells
    }
    tables = {name: table.model_dump(mode="json") for name, table in grid.tables.items()}
    content = {"grid": grid.name, "title": grid.title, "cells": cells, "tables": tables}
    if grid.typed != grid.name:
        content["path"] = str(grid.path.absolute())
    return json.dumps(content, indent=1).encode()


def launched_config(workspace: Workspace, grid: str, cell: str) -> FinetuneConfig | PretrainConfig:
    """The stored configuration of a launched cell; EchoLMError when it was not launched."""
    path = workspace.grids / grid / "cells.json"
    configs = _launched_configs(path) if path.exists() else {}
    if cell not in configs:
        raise EchoLMError(f"{path}: holds no cell {cell}; launch it: echolm launch {grid} --on local")
    return parse_config(configs[cell], f"{path}: {cell}")


def _launched_configs(path: Path) -> dict[str, Any]:
    """Cell id -> configuration of a ``cells.json``; EchoLMError when it is not one."""
    cells = read_json(path, "cells")["cells"]
    entries = cells.values() if isinstance(cells, dict) else [None]
    if not all(isinstance(entry, dict) and isinstance(entry.get("config"), dict) for entry in entries):
        raise EchoLMError(f"{path}: 'cells' is not a mapping of cell ids to cells with a 'config'; launch the grid again")
    return {id: entry["config"] for id, entry in cells.items()}


def find_cell(text: str, workspace: Workspace) -> tuple[str, FinetuneConfig | PretrainConfig]:
    """A cell by its id or the start of it: among shipped grids, launched grids and run records."""
    from grid.definition import load_grid, shipped_grids

    found: dict[str, Any] = {}
    for path in sorted(workspace.grids.glob("*/cells.json")) if workspace.grids.is_dir() else []:
        found.update({id: config for id, config in _launched_configs(path).items() if id.startswith(text)})
    for name in shipped_grids():
        found.update({cell.id: cell.config for cell in load_grid(name).cells if cell.id.startswith(text)})
    for path in workspace.runs.glob(f"{text}*/*/config.json") if text.isalnum() else []:
        found.setdefault(path.parent.parent.name, read_json(path, "config")["config"])
    if len(found) != 1:
        shown = suggest(text, list(found)[:5]) if found else "echolm grid show GRID lists cells"
        raise EchoLMError(f"{text!r} is {'not a cell' if not found else f'the start of {len(found)} cells'}; {shown}")
    id, config = next(iter(found.items()))
    return id, config if isinstance(config, FinetuneConfig | PretrainConfig) else parse_config(config, f"cell {id}")


def find_run(text: str, workspace: Workspace) -> RunRecord:
    """A complete run: a record folder, or the newest complete run of the one cell whose id starts with ``text``."""
    folder = Path(text)
    if (folder / "config.json").is_file():
        return RunRecord(folder)
    cells = sorted({path.parent.parent.name for path in workspace.runs.glob(f"{text}*/*/summary.json")}) if text.isalnum() else []
    if len(cells) != 1:
        known = sorted({path.parent.parent.name for path in workspace.runs.glob("*/*/summary.json")})
        hint = suggest(text, known[:10]) if known else "there are none yet: echolm launch GRID makes them"
        raise EchoLMError(f"{text!r} names {len(cells)} complete runs in {workspace.runs}; {hint}")
    return next(record for record in find_records(workspace.runs, cells[0]) if record.summary() is not None)
