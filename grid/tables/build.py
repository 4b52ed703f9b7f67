"""A table from the collected Parquet files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.statistics import Runs, kind
from grid.tables.definition import SEED, ColumnDefinition, TableCell, TableDefinition, TableGrid
from grid.tables.elsewhere import diverged_elsewhere
from grid.tables.group import baseline_cells, group, members, telling_axes
from grid.tables.judge import Draft, judged
from grid.tables.missing import missing
from grid.tables.published import Published, alone, find, published_numbers
from grid.tables.results import RUNS_FILE
from grid.tables.select import Predictions, data_names
from grid.tables.stored import Stored
from grid.tables.table import Missing, Row, Source, Table, Value

State = Callable[[str], str]
"""Cell id -> its state, as ``echolm.record.cell_standing`` has it."""
Logs = Callable[[str, str], Sequence[str]]
UNLIKE = "the mean contour has other test samples, so nothing is told of which is better"


def build(
    grid: TableGrid, name: str, results: Path | None, spread: str = "", state: State | None = None, logs: Logs | None = None
) -> Table:
    """The table ``name`` of a grid from ``results``, the folder that was collected (None: nothing was run yet).

    ``spread``: the kind of ±, by name; "": the table's own. Seeds without a run are missing, not an error; ``state`` tells why
    where the records are at hand, and ``logs``, (cell id, fingerprint) -> paths in the workspace, where the
    logs are. Runs that cannot be averaged (of different test samples) make no number, and the value says why.
    EchoLMError when nothing was collected, the table is unknown, its axes do not tell its cells apart, the predictions lack
    one of its columns, or the kind of ± does not exist for one of its statistics.
    """
    if name not in grid.tables:
        raise EchoLMError(f"grid {grid.name} has no table {name!r}; {suggest(name, grid.tables)}")
    if results is not None and not (results / RUNS_FILE).exists():
        raise EchoLMError(f"{results / RUNS_FILE}: is not there; type: echolm collect {shlex.quote(grid.typed)}")
    definition, rows = grid.tables[name], group(grid, name)
    used = kind(spread or definition.spread)
    numbers = _published(grid, name)
    stored = Stored(results)
    drafts = _Drafts(definition, results, stored, numbers, baseline_cells(grid, name), state, logs)
    pending = [[drafts.draft(labels, *pair) for pair in zip(definition.columns, cells, strict=True)] for labels, cells in rows.items()]
    try:
        drafts.check()
        values = judged(definition, list(rows), pending, used, diverged_elsewhere(grid, name, stored))
    except EchoLMError as error:
        raise EchoLMError(f"table {name} of grid {grid.name}: {error}") from None
    return Table(
        grid=grid.name,
        name=name,
        title=definition.title,
        axes=definition.rows,
        columns=definition.columns,
        rows=tuple(Row(*pair) for pair in zip(rows, values, strict=True)),
        kind=used.name,
        published=definition.published,
        figure=definition.figure,
        where=_where(grid, name),
        typed=grid.typed,
        quoted=_quoted(definition, numbers),
        unheld={axis: tuple(labels) for axis, labels in drafts.unheld.items()},
    )


def _where(grid: TableGrid, name: str) -> tuple[str, ...]:
    """The conditions by which a command selects the table's cells; none for all cells of the grid."""
    conditions = tuple(f"{axis}={','.join(labels)}" for axis, labels in grid.tables[name].cells.items())
    if conditions or len(members(grid, name)) == len(grid.cells):
        return conditions
    return (f"table={name}",)


def _published(grid: TableGrid, name: str) -> list[Published]:
    source = grid.tables[name].published
    try:
        return published_numbers(source) if source else []
    except EchoLMError as error:
        raise EchoLMError(f"table {name} of grid {grid.name}: {error}") from None


def _quoted(definition: TableDefinition, numbers: list[Published]) -> tuple[Row, ...]:
    """The rows of the paper that the grid has no cells for."""
    rows = alone(numbers, definition.published, definition.rows, definition.columns) if definition.published else []
    return tuple(Row(labels, tuple(Value(None, published=number) for number in own)) for labels, own in rows)


@dataclass
class _Drafts:
    """Reads the places of a table, one by one."""

    definition: TableDefinition
    results: Path | None
    stored: Stored
    published: list[Published]
    baseline: list[TableCell]
    state: State | None
    logs: Logs | None

    def __post_init__(self) -> None:
        self._data = data_names(self.results / RUNS_FILE) if self.results else {}
        self._predictions = Predictions(self.definition.columns)
        self._telling = telling_axes(self.baseline)
        self._held: dict[tuple[str, tuple[str, ...]], Runs | None] = {}
        self.unheld: dict[str, dict[str, None]] = {}
        """Axis -> labels of the baselines that values lack."""

    def draft(self, labels: Sequence[str], column: ColumnDefinition, cells: Mapping[str, TableCell]) -> Draft:
        """A place from its cells by seed: what was found, and what is missing."""
        found = self.stored.newest(cells)
        absent: list[Missing] = []
        notes: list[str] = []
        for seed, cell in cells.items():
            stored = self.stored.runs(cell.id)
            if seed in found:
                if len(stored) > 1:
                    notes.append(f"seed {seed}: {len(stored)} runs with different fingerprints; the newest is used")
            else:
                absent.append(missing(seed, cell.id, self.state(cell.id) if self.state else "", collected=bool(stored), problem=stored[0]["problem"] or "" if stored else ""))
        notes += [f"seed {seed}: {run['problem']}" for seed, run in found.items() if run["problem"]]
        name = ", ".join([*labels, *column.where.values()])
        runs, refused = self.stored.aligned(name, column, found, self._predictions)
        baseline, unlike = self._baseline(column, cells, runs) if runs else (None, "")
        return Draft(
            runs=runs,
            refused=refused,
            sources=tuple(self._source(seed, run) for seed, run in found.items()),
            missing=tuple(absent),
            synthetic=any(run["synthetic"] for run in found.values()),
            data=frozenset(self._data.get(run["run_id"], "") for run in found.values()),
            notes=tuple(filter(None, [*notes, unlike])),
            published=self._find(column, cells),
            baseline=baseline,
        )

    def check(self) -> None:
        """EchoLMError for a column that asks for what no run has."""
        self._predictions.check(self.definition.columns)

    def _baseline(self, column: ColumnDefinition, cells: Mapping[str, TableCell], runs: Runs) -> tuple[float | None, str]:
        """What the mean contour reaches on the test set of ``runs``; None for its own place, without any run of it, and for one of
        other samples, which the text says."""
        own = {cell.id for cell in cells.values()}
        if not self.baseline or own & {cell.id for cell in self.baseline}:
            return None, ""
        labels = {axis: {cell.coordinates.get(axis, "") for cell in cells.values()} for axis in self._telling}
        chosen = [cell for cell in self.baseline if all(labels[axis] == {cell.coordinates.get(axis, "")} for axis in labels)]
        found = self._baseline_runs(column, chosen)
        if found is None:
            wanted = {axis: {label} for axis, label in self.definition.baseline.items()} | labels
            for axis, own_labels in wanted.items():
                self.unheld.setdefault(axis, {}).update(dict.fromkeys(sorted(own_labels)))
            return None, ""
        if not np.array_equal(found.samples, runs.samples):
            return None, UNLIKE
        return float(column.made().full(found).mean()), ""

    def _baseline_runs(self, column: ColumnDefinition, cells: Sequence[TableCell]) -> Runs | None:
        key = column.heading, tuple(cell.id for cell in cells)
        if key not in self._held:
            found = self.stored.newest({cell.coordinates.get(SEED, ""): cell for cell in cells})
            self._held[key] = self.stored.aligned("baseline", column, found, self._predictions)[0]
        return self._held[key]

    def _source(self, seed: str, run: Mapping[str, Any]) -> Source:
        logs = self.logs(run["cell"], run["fingerprint"]) if self.logs else ()
        return Source(seed, run["cell"], run["run_id"], run["fingerprint"], run["commit"] or "", tuple(logs))

    def _find(self, column: ColumnDefinition, cells: Mapping[str, TableCell]) -> Published | None:
        """The published number for the coordinates that all cells of a value share."""
        if self.definition.published is None or not cells:
            return None
        shared = set.intersection(*(set(cell.coordinates.items()) for cell in cells.values()))
        return find(self.published, self.definition.published, column, dict(shared))
