"""A table from the collected Parquet files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.statistics import OVER_PATIENTS, OVER_SEEDS, Spread, std_over_patients, std_over_seeds
from grid.tables.definition import SEED, ColumnDefinition, TableCell, TableDefinition, TableGrid
from grid.tables.results import RUNS_FILE, newest_runs, predictions_path, read_columns
from grid.tables.table import Missing, Row, Table

SpreadName = Literal["patients", "seeds"]
SPREADS = {"patients": (std_over_patients, OVER_PATIENTS), "seeds": (std_over_seeds, OVER_SEEDS)}
ABSENT = "-"
"""The label of a cell on an axis that it does not have."""


def build(grid: TableGrid, name: str, results: Path, spread: SpreadName = "patients") -> Table:
    """The table ``name`` of a grid from ``results``, the folder that was collected.

    Seeds without a run are missing, not an error. EchoLMError when nothing was collected, the table is unknown, its
    rows leave out an axis that tells cells apart, or the predictions lack one of its columns.
    """
    if name not in grid.tables:
        raise EchoLMError(f"grid {grid.name} has no table {name!r}; {suggest(name, grid.tables)}")
    if not (results / RUNS_FILE).exists():
        raise EchoLMError(f"{results / RUNS_FILE}: is not there; type: echolm collect {grid.name}")
    definition = grid.tables[name]
    builder = _Builder(grid.name, definition, results, newest_runs(results), spread)
    rows = tuple(builder.row(labels, cells) for labels, cells in group(grid, name).items())
    return Table(grid.name, name, definition.title, definition.rows, definition.columns, rows, SPREADS[spread][1])


def group(grid: TableGrid, name: str) -> dict[tuple[str, ...], dict[str, TableCell]]:
    """The cells of a table by row labels and seed, in the grid's order."""
    axes = grid.tables[name].rows
    members = [cell for cell in grid.cells if name in cell.tables]
    known = {axis for cell in members for axis in cell.coordinates}
    if unknown := [axis for axis in axes if members and axis not in known]:
        hint = suggest(unknown[0], known)
        raise EchoLMError(f"table {name} of grid {grid.name}: rows: no cell has an axis {unknown[0]!r}; {hint}")
    found: dict[tuple[str, ...], dict[str, TableCell]] = {}
    for cell in members:
        labels = tuple(cell.coordinates.get(axis, ABSENT) for axis in axes)
        other = found.setdefault(labels, {}).setdefault(cell.coordinates.get(SEED, ABSENT), cell)
        if other is not cell:
            _refuse(grid.name, name, other, cell)
    return found


def _refuse(grid: str, name: str, one: TableCell, other: TableCell) -> None:
    axes = sorted(set(one.coordinates) | set(other.coordinates))
    differing = [axis for axis in axes if one.coordinates.get(axis) != other.coordinates.get(axis)]
    raise EchoLMError(
        f"table {name} of grid {grid}: cells {one.id} and {other.id} fall into the same row with the same seed; "
        f"add to rows: {', '.join(differing) or '(they differ in no axis)'}"
    )


@dataclass
class _Run:
    """A run whose predictions are there."""

    seed: str
    cell: str
    stored: dict[str, Any]
    values: list[tuple[np.ndarray, np.ndarray]]
    """(patients, values) of each column."""

    @property
    def patients(self) -> frozenset[str]:
        return frozenset(patient for patients, _ in self.values for patient in patients.tolist())


@dataclass
class _Builder:
    grid: str
    definition: TableDefinition
    results: Path
    runs: Mapping[str, list[dict[str, Any]]]
    spread: SpreadName

    def row(self, labels: tuple[str, ...], cells: dict[str, TableCell]) -> Row:
        found, missing, notes = [], [], []
        for seed, cell in cells.items():
            stored = self.runs.get(cell.id, [])
            path = predictions_path(self.results, stored[0]["fingerprint"]) if stored else None
            if path is None or not path.exists():
                missing.append(Missing(seed, cell.id, self._reason(path)))
                continue
            found.append(_Run(seed, cell.id, stored[0], self._values(path)))
            if len(stored) > 1:
                notes.append(f"seed {seed}: {len(stored)} runs with different fingerprints; the newest is used")
        return Row(
            labels=labels,
            values=tuple(self._value(found, index) for index in range(len(self.definition.columns))),
            seeds=tuple(run.seed for run in found),
            cells=tuple(run.cell for run in found),
            runs=tuple(run.stored["run_id"] for run in found),
            synthetic=any(run.stored["synthetic"] for run in found),
            missing=tuple(missing),
            notes=(*notes, *_unusual(found)),
            command=self._command(labels),
        )

    def _reason(self, path: Path | None) -> str:
        return "no complete run was collected" if path is None else f"its predictions were not collected ({path.name})"

    def _value(self, found: list[_Run], index: int) -> Spread | None:
        by_seed = {run.seed: run.values[index] for run in found if len(run.values[index][0])}
        return SPREADS[self.spread][0](by_seed) if by_seed else None

    def _values(self, path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
        columns = self.definition.columns
        names = ["patient", "split", "target", "slot", *dict.fromkeys(column.metric for column in columns)]
        table = read_columns(path, names)
        test = table.filter(pc.equal(table["split"], "test"))
        return [_select(test, column, path) for column in columns]

    def _command(self, labels: tuple[str, ...]) -> str:
        pairs = zip(self.definition.rows, labels, strict=True)
        where = [f"--where {shlex.quote(f'{axis}={label}')}" for axis, label in pairs if label != ABSENT]
        return " ".join([f"echolm launch {self.grid} --on local", *where])


def _select(test: pa.Table, column: ColumnDefinition, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Patients and values of one column; a value that is not there is NaN."""
    for name in ("target", "slot"):
        if wanted := getattr(column, name):
            test = test.filter(pc.equal(test[name], wanted))
        elif len(there := sorted(filter(None, pc.unique(test[name]).to_pylist()))) > 1:
            raise EchoLMError(f"column {column.heading!r}: name its {name}; {path} holds {', '.join(there)}")
    values = test[column.metric].to_numpy(zero_copy_only=False).astype(np.float64)
    return np.array(test["patient"].to_pylist(), dtype=str), values


def _unusual(found: list[_Run]) -> list[str]:
    """Runs that were collected with a problem, and seeds whose patients differ."""
    notes = [f"seed {run.seed}: {run.stored['problem']}" for run in found if run.stored["problem"]]
    for run in found[1:]:
        if run.patients != found[0].patients:
            first = f"seed {found[0].seed} ({len(found[0].patients)} patients)"
            notes.append(f"seed {run.seed} ({len(run.patients)} patients) has other patients than {first}")
    return notes
