"""A table from the collected Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.statistics import OVER_PATIENTS, OVER_SEEDS, std_over_patients, std_over_seeds
from grid.tables.definition import ColumnDefinition, TableCell, TableDefinition, TableGrid
from grid.tables.group import group
from grid.tables.missing import missing
from grid.tables.published import Published, find, published_numbers
from grid.tables.results import RUNS_FILE, newest_runs, predictions_path, read_columns
from grid.tables.table import Row, Table, Value

SpreadName = Literal["patients", "seeds"]
SPREADS = {"patients": (std_over_patients, OVER_PATIENTS), "seeds": (std_over_seeds, OVER_SEEDS)}


def build(
    grid: TableGrid, name: str, results: Path | None, spread: SpreadName = "patients", state: Callable[[str], str] | None = None
) -> Table:
    """The table ``name`` of a grid from ``results``, the folder that was collected (None: nothing was run yet).

    Seeds without a run are missing, not an error; ``state``, cell id -> state of a run, tells why where the records are
    at hand. EchoLMError when nothing was collected, the table is unknown, its
    axes do not tell its cells apart, or the predictions lack one of its columns.
    """
    if name not in grid.tables:
        raise EchoLMError(f"grid {grid.name} has no table {name!r}; {suggest(name, grid.tables)}")
    if results is not None and not (results / RUNS_FILE).exists():
        raise EchoLMError(f"{results / RUNS_FILE}: is not there; type: echolm collect {grid.name}")
    definition, rows = grid.tables[name], group(grid, name)
    runs = newest_runs(results) if results else {}
    builder = _Builder(definition, results or Path(), runs, spread, _published(grid, name), state)
    return Table(
        grid=grid.name,
        name=name,
        title=definition.title,
        axes=definition.rows,
        columns=definition.columns,
        rows=tuple(Row(labels, builder.values(cells)) for labels, cells in rows.items()),
        kind=SPREADS[spread][1],
        published=definition.published,
        typed=grid.typed,
        whole_grid=len(grid.tables) == 1 and all(name in cell.tables for cell in grid.cells),
    )


def _published(grid: TableGrid, name: str) -> list[Published]:
    source = grid.tables[name].published
    try:
        return published_numbers(source) if source else []
    except EchoLMError as error:
        raise EchoLMError(f"table {name} of grid {grid.name}: {error}") from None


@dataclass
class _Run:
    """A run with its patients and values of one column."""

    seed: str
    cell: str
    stored: dict[str, Any]
    patients: np.ndarray
    values: np.ndarray


@dataclass
class _Builder:
    definition: TableDefinition
    results: Path
    runs: Mapping[str, list[dict[str, Any]]]
    spread: SpreadName
    published: list[Published]
    state: Callable[[str], str] | None
    _tables: dict[Path, pa.Table] = field(default_factory=dict)

    def values(self, cells: Sequence[Mapping[str, TableCell]]) -> tuple[Value, ...]:
        """A row's values from the cells of each column, by seed."""
        self._tables.clear()
        return tuple(self._value(*pair) for pair in zip(self.definition.columns, cells, strict=True))

    def _value(self, column: ColumnDefinition, cells: Mapping[str, TableCell]) -> Value:
        found, absent, notes = [], [], []
        for seed, cell in cells.items():
            stored = self.runs.get(cell.id, [])
            path = predictions_path(self.results, stored[0]["fingerprint"]) if stored else None
            if path is None or not path.exists():
                found_state = self.state(cell.id) if self.state else ""
                absent.append(missing(seed, cell.id, found_state, collected=path is not None))
                continue
            found.append(_Run(seed, cell.id, stored[0], *_select(self._test_rows(path), column, path)))
            if len(stored) > 1:
                notes.append(f"seed {seed}: {len(stored)} runs with different fingerprints; the newest is used")
        by_seed = {run.seed: (run.patients, run.values) for run in found if len(run.values)}
        return Value(
            number=SPREADS[self.spread][0](by_seed) if by_seed else None,
            seeds=tuple(run.seed for run in found),
            cells=tuple(run.cell for run in found),
            runs=tuple(run.stored["run_id"] for run in found),
            missing=tuple(absent),
            synthetic=any(run.stored["synthetic"] for run in found),
            notes=(*notes, *_unusual(found)),
            published=self._find(column, cells),
        )

    def _test_rows(self, path: Path) -> pa.Table:
        """The test split's rows of a run; a row of the table reads each file once."""
        if path not in self._tables:
            metrics = dict.fromkeys(column.metric for column in self.definition.columns)
            table = read_columns(path, ["patient", "split", "target", "slot", *metrics])
            self._tables[path] = table.filter(pc.equal(table["split"], "test"))
        return self._tables[path]

    def _find(self, column: ColumnDefinition, cells: Mapping[str, TableCell]) -> Published | None:
        """The published number for the coordinates that all cells of a value share."""
        if self.definition.published is None or not cells:
            return None
        shared = set.intersection(*(set(cell.coordinates.items()) for cell in cells.values()))
        return find(self.published, self.definition.published, column, dict(shared))


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
    patients = [set(run.patients.tolist()) for run in found]
    for run, own in zip(found[1:], patients[1:], strict=True):
        if own != patients[0]:
            first = f"seed {found[0].seed} ({len(patients[0])} patients)"
            notes.append(f"seed {run.seed} ({len(own)} patients) has other patients than {first}")
    return notes
