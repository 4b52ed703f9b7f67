"""A table from the collected Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echolm.arithmetic import PLAIN
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.text import suggest
from grid.definition.subgroups import ALL, group_name
from grid.definition.table_cells import (
    baseline_cells,
    cells_of_table,
    table_members,
    telling_axes,
)
from grid.definition.tables import (
    SEED,
    ColumnDefinition,
    TableCell,
    TableDefinition,
    TableGrid,
)
from grid.results.files import RUNS_FILE, TASK_PREFIX
from grid.statistics import Runs, kind
from grid.tables.assess import assess
from grid.tables.blocks import PendingValue
from grid.tables.constants import NOT_FITTED, Constants
from grid.tables.diverged import diverged_elsewhere
from grid.tables.missing import axis_conditions, missing
from grid.tables.origins import NONE_COUNTS, TodaysOrigins, same_data
from grid.tables.predictions import FileWatch, Predictions, data_names
from grid.tables.published import PublishedNumber, find, paper_rows, published_numbers
from grid.tables.row_interactions import row_interactions
from grid.tables.run_words import constant_of, definite, has_random_weights, unit_of
from grid.tables.runs import CollectedRuns, target_words
from grid.tables.seen_data import seen_notes
from grid.tables.table import LOCAL, Missing, Table, TableRow, Value, ValueSource

State = Callable[[str], str]
"""Cell id -> its state, as ``echolm.record.cell_state_or_diverged`` has it."""
Logs = Callable[[str, str], Sequence[str]]
"""(cell id, fingerprint) -> paths of logs in the workspace."""
UNLIKE = "has other test samples, so nothing is told of which is better"
"""Follows what the constant prediction is called."""
UNLIKE_DATA = "is of other data, so nothing is told of which is better"
WITHOUT_COST = "an earlier EchoLM collected its runs without what they cost"
TARGET = f"{TASK_PREFIX}target"
"""The parameter that names the value which a task predicts."""


def build(
    grid: TableGrid,
    name: str,
    results: Path | None,
    spread: str = "",
    state: State | None = None,
    logs: Logs | None = None,
    place: str = LOCAL,
    today: TodaysOrigins | None = None,
    hold: bool = False,
    watch: FileWatch | None = None,
) -> Table:
    """Build the table ``name`` of a grid.

    Seeds without a run are missing, not an error. So are those whose run no longer counts: its
    data, weights or protocols are not those of today. Runs that cannot be averaged (of different
    test samples, or not made from the same) make no number, and the value says why.

    Args:
        grid: the grid.
        name: of the table.
        results: the folder that was collected. None: nothing was run yet.
        spread: the kind of ±, by name. Empty for the table's own.
        state: tells why runs are missing, where the records are at hand.
        logs: tells where the logs are.
        place: where the grid is run.
        today: what cells are made from today. None: runs need only agree among themselves.
        hold: whether values keep their draws, for whoever compares them, in a large table too.
        watch: sees each file of predictions that is read.

    Raises:
        EchoLMError: nothing was collected, the table is unknown, its axes do not tell its cells
            apart, the predictions lack one of its columns, or the kind of ± does not exist for one
            of its statistics.
    """
    if name not in grid.tables:
        raise EchoLMError(f"grid {grid.name} has no table {name!r}; {suggest(name, grid.tables)}")
    if results is not None and not (results / RUNS_FILE).exists():
        raise EchoLMError(
            f"{results / RUNS_FILE}: is not there; type", Command("collect", grid.typed)
        )
    definition = grid.tables[name]
    cells = cells_of_table(grid, name)
    spread_kind = kind(spread or definition.spread)
    where = _where(grid, name)
    collected = CollectedRuns(results, today)
    reader = _ValueReader(
        definition=definition,
        results=results,
        collected=collected,
        published=_published(grid, name),
        baseline=baseline_cells(grid, name),
        state=state,
        logs=logs,
        reference=grid.typed,
        place=place,
        where=where,
        watch=watch,
    )
    pending = []
    row_labels = []
    for labels, row in cells.items():
        for group in definition.groups:
            pairs = zip(definition.columns, row, strict=True)
            pending.append([reader.read(labels, column, own, group) for column, own in pairs])
            row_labels.append(labels)
            if definition.subgroups:
                row_labels[-1] = (*labels, group_name(group) or ALL)
    try:
        reader.check()
        elsewhere = diverged_elsewhere(grid, name, collected)
        values = assess(definition, row_labels, pending, spread_kind, elsewhere, hold)
        interactions = row_interactions(definition, row_labels, pending)
    except EchoLMError as error:
        raise EchoLMError(f"table {name} of grid {grid.name}: {error}") from None
    return Table(
        grid=grid.name,
        name=name,
        title=definition.title,
        axes=definition.axes,
        columns=definition.columns,
        rows=tuple(TableRow(*row) for row in zip(row_labels, values, strict=True)),
        kind=spread_kind.name,
        published=definition.published,
        figure=definition.figure,
        figures=definition.figures,
        where=where,
        reference=grid.typed,
        place=place,
        paper_rows=_paper_rows(definition, reader.published),
        missing_baselines=reader.missing_baselines(),
        units=reader.units(),
        interaction=definition.interaction,
        interactions=interactions,
    )


def _where(grid: TableGrid, name: str) -> tuple[str, ...]:
    """Return the conditions by which a command selects the table's cells.

    None for all cells of the grid.
    """
    conditions = []
    for axis, labels in grid.tables[name].cells.items():
        conditions.append(f"{axis}={','.join(labels)}")
    if conditions or len(table_members(grid, name)) == len(grid.cells):
        return tuple(conditions)
    return (f"table={name}",)


def _published(grid: TableGrid, name: str) -> list[PublishedNumber]:
    source = grid.tables[name].published
    if source is None:
        return []
    try:
        return published_numbers(source)
    except EchoLMError as error:
        raise EchoLMError(f"table {name} of grid {grid.name}: {error}") from None


def _paper_rows(
    definition: TableDefinition, numbers: list[PublishedNumber]
) -> tuple[TableRow, ...]:
    """Return the rows of the paper that the grid has no cells for."""
    if definition.published is None:
        return ()
    rows = []
    for row in paper_rows(numbers, definition.published, definition.rows, definition.columns):
        values = tuple(Value(None, published=number) for number in row.numbers)
        rows.append(TableRow(row.labels, values))
    return tuple(rows)


@dataclass(frozen=True)
class _HeldAgainst:
    """What a value is held against.

    Attributes:
        baseline: what a constant prediction reaches on its test set. None where nothing can be
            said.
        note: why nothing can be said, where a reader must know it.
    """

    baseline: float | None = None
    note: str = ""


@dataclass
class _ValueReader:
    """Reads the values of a table, one by one.

    Attributes:
        definition: of the table.
        results: the folder that was collected.
        collected: the runs in it.
        published: the paper's numbers.
        baseline: the cells of a constant prediction.
        state: tells why runs are missing.
        logs: tells where the logs are.
        reference: how a command names the grid.
        place: where the grid is run.
        where: what selects the table's cells.
        watch: sees each file of predictions that is read.
    """

    definition: TableDefinition
    results: Path | None
    collected: CollectedRuns
    published: list[PublishedNumber]
    baseline: list[TableCell]
    state: State | None
    logs: Logs | None
    reference: str
    place: str
    where: tuple[str, ...]
    watch: FileWatch | None = None

    def __post_init__(self) -> None:
        self._data: Mapping[str, str] = {}
        if self.results:
            self._data = data_names(self.results / RUNS_FILE)
        self._stores = self.collected.stores
        self._predictions = Predictions(self.definition.columns, self._stores, self.watch)
        self._constants = Constants(self.results, self.definition.columns, self._stores)
        self._targets: dict[str, set[str]] = {}
        """Heading of a column -> the values that its runs predict."""
        self._telling_axes = telling_axes(self.baseline)
        self._baseline_rows: dict[tuple[str, tuple[str, ...]], Runs | None] = {}
        self._missing_baselines: dict[str, dict[str, None]] = {}

    def read(
        self,
        labels: Sequence[str],
        column: ColumnDefinition,
        cells: Mapping[str, TableCell],
        group: Mapping[str, str],
    ) -> PendingValue:
        """Read a value: what was collected, and what is missing.

        Args:
            labels: of its row.
            column: its column.
            cells: its cells by seed.
            group: value of the store -> group, where its row is of a subgroup.
        """
        runs = self.collected.newest(cells)
        notes = self._notes(cells, runs)
        for run in runs.values():
            self._targets.setdefault(column.heading, set()).add(run.get(TARGET) or "")
        if group and not column.cost:
            column = column.of_group(group)
        subgroup = group_name(column.subgroup)
        name = ", ".join([*labels, *column.where.values()])
        if subgroup:
            name += f", {subgroup}"
        rows: Runs | None = None
        refused, cost = "", None
        if column.cost:
            cost = self._cost(column, runs)
            if runs and cost is None:
                refused = WITHOUT_COST
        else:
            rows, refused = self.collected.aligned(name, column, runs, self._predictions)
        if not runs and any(self.collected.why_none_counts(cell.id) for cell in cells.values()):
            refused = NONE_COUNTS
        held_against = _HeldAgainst()
        if rows is not None:
            held_against = self._held_against(column, cells, rows, runs)
        if held_against.note:
            notes.append(held_against.note)
        datasets_of = {seed: self._dataset(run) for seed, run in runs.items()}
        seen = seen_notes(runs, datasets_of, self.collected)
        notes += seen
        datasets = {self._stores.dataset(run["data"] or "") for run in runs.values()}
        targets = {target_words(run) for run in runs.values()}
        test_set = (*sorted(datasets), *sorted(targets), subgroup)
        return PendingValue(
            runs=rows,
            refused=refused,
            sources=tuple(self._source(seed, run) for seed, run in runs.items()),
            missing=self._missing(labels, column, cells, runs),
            synthetic=any(run["synthetic"] for run in runs.values()),
            random_weights=any(has_random_weights(run) for run in runs.values()),
            seen=bool(seen),
            data=frozenset(datasets_of.values()),
            notes=tuple(notes),
            published=self._find_published(column, cells),
            baseline=held_against.baseline,
            constant=constant_of(runs),
            test_set=", ".join(part for part in test_set if part),
            cost=cost,
        )

    def _cost(self, column: ColumnDefinition, runs: Mapping[str, Any]) -> float | None:
        """Return what runs cost, the mean over seeds. None where one does not say it."""
        costs = [self.collected.cost(run, column.cost) for run in runs.values()]
        known = [cost for cost in costs if cost is not None]
        if not known or len(known) < len(costs):
            return None
        return column.scale * float(np.mean(known))

    def check(self) -> None:
        """Check that some run has what the columns ask for, else raise EchoLMError."""
        self._predictions.check(self.definition.columns)
        self._stores.check([column.subgroup for column in self.definition.columns])
        self._stores.check(self.definition.groups)

    def units(self) -> tuple[str, ...]:
        """Return the unit of each column, empty where its runs predict values of several units."""
        units = []
        for column in self.definition.columns:
            targets = self._targets.get(column.heading, set()) or {""}
            found = {unit_of(column, target) for target in targets}
            units.append(found.pop() if len(found) == 1 else "")
        return tuple(units)

    def _dataset(self, run: Mapping[str, Any]) -> str:
        """Return the dataset of a run as its store says it, else the name of the store."""
        return self._stores.dataset(run["data"] or "") or self._data.get(run["run_id"], "")

    def missing_baselines(self) -> dict[str, tuple[str, ...]]:
        """Return axis -> labels of the baselines that values lack."""
        return {axis: tuple(labels) for axis, labels in self._missing_baselines.items()}

    def _notes(self, cells: Mapping[str, TableCell], runs: Mapping[str, Any]) -> list[str]:
        """Return notes on the runs of a value: seeds of several runs, then problems."""
        notes = []
        for seed in runs:
            count = self.collected.count(cells[seed].id)
            if count > 1:
                which = "the newest"
                if len(self.collected.runs(cells[seed].id)) == 1:
                    which = "the one of today's data, weights and protocols"
                runs_text = f"{count} runs with different fingerprints"
                notes.append(f"seed {seed}: {runs_text}; {which} is used")
        for seed, run in runs.items():
            if run["problem"]:
                notes.append(f"seed {seed}: {run['problem']}")
        return notes

    def _missing(
        self,
        labels: Sequence[str],
        column: ColumnDefinition,
        cells: Mapping[str, TableCell],
        runs: Mapping[str, Any],
    ) -> tuple[Missing, ...]:
        """Return the seeds that have no run with predictions."""
        coordinates = {**dict(zip(self.definition.rows, labels, strict=True)), **column.where}
        places = {axis: (label,) for axis, label in coordinates.items()}
        where = (*self.where, *axis_conditions(places))
        missing_seeds = []
        for seed, cell in cells.items():
            if seed in runs:
                continue
            without_predictions = self.collected.runs(cell.id)
            problem = ""
            if without_predictions:
                problem = without_predictions[0]["problem"] or ""
            missing_seeds.append(
                missing(
                    seed,
                    cell.id,
                    state=self.state(cell.id) if self.state else "",
                    collected=bool(without_predictions),
                    problem=problem,
                    reference=self.reference,
                    place=self.place,
                    where=where,
                    outdated=self.collected.why_none_counts(cell.id),
                    waits=self.collected.why_waiting(cell.id),
                )
            )
        return tuple(missing_seeds)

    def _held_against(
        self,
        column: ColumnDefinition,
        cells: Mapping[str, TableCell],
        rows: Runs,
        runs: Mapping[str, Any],
    ) -> _HeldAgainst:
        """Return what a constant prediction reaches on the test set of ``rows``.

        That is what the table names as its baseline, else the one that is fitted for every data
        set. Nothing for that prediction itself, without any run of it, and for one of other samples
        or other data.
        """
        ids = {cell.id for cell in cells.values()}
        if any(cell.id in ids for cell in self.baseline):
            return _HeldAgainst()
        labels = {}
        baseline_rows: Runs | None = None
        if self.baseline:
            for axis in self._telling_axes:
                labels[axis] = {cell.coordinates.get(axis, "") for cell in cells.values()}
            baseline_rows, baseline_runs = self._read_baseline(column, self._baseline_like(labels))
            if baseline_rows is not None and not same_data(runs.values(), baseline_runs.values()):
                return _HeldAgainst(note=f"{definite(runs)} {UNLIKE_DATA}")
        if baseline_rows is None:
            baseline_rows = self._constants.rows(column, runs)
        if baseline_rows is None:
            return self._without_baseline(labels, runs)
        if not np.array_equal(baseline_rows.samples, rows.samples):
            return _HeldAgainst(note=f"{definite(runs)} {UNLIKE}")
        baseline = float(column.made().full(baseline_rows).mean())
        # Some statistics of a constant do not exist, such as a correlation.
        return _HeldAgainst(baseline if np.isfinite(baseline) else None)

    def _without_baseline(
        self, labels: Mapping[str, set[str]], runs: Mapping[str, Any]
    ) -> _HeldAgainst:
        """Return why a value is not held against anything. ``labels``: of its baseline's cells."""
        if self.baseline:
            self._note_missing_baseline(labels)
            return _HeldAgainst()
        return _HeldAgainst(note=NOT_FITTED if self._constants.lacks(runs) else "")

    def _baseline_like(self, labels: Mapping[str, set[str]]) -> list[TableCell]:
        """Return the baseline's cells that share all labels of a value. ``labels``: by axis."""
        cells = []
        for cell in self.baseline:
            if all(labels[axis] == {cell.coordinates.get(axis, "")} for axis in labels):
                cells.append(cell)
        return cells

    def _read_baseline(
        self, column: ColumnDefinition, cells: Sequence[TableCell]
    ) -> tuple[Runs | None, Mapping[str, Any]]:
        """Return the rows of a baseline, None without any run, and its runs by seed."""
        runs = self.collected.newest({cell.coordinates.get(SEED, ""): cell for cell in cells})
        key = column.shown, tuple(cell.id for cell in cells)
        if key not in self._baseline_rows:
            rows, _ = self.collected.aligned("baseline", column, runs, self._predictions)
            self._baseline_rows[key] = rows
        return self._baseline_rows[key], runs

    def _note_missing_baseline(self, labels: Mapping[str, set[str]]) -> None:
        """Note the labels of a baseline without a run."""
        needed = {axis: {label} for axis, label in self.definition.baseline.items()}
        needed.update(labels)
        for axis, labels_of_axis in needed.items():
            known = self._missing_baselines.setdefault(axis, {})
            known.update(dict.fromkeys(sorted(labels_of_axis)))

    def _source(self, seed: str, run: Mapping[str, Any]) -> ValueSource:
        logs: Sequence[str] = ()
        if self.logs:
            logs = self.logs(run["cell"], run["fingerprint"])
        return ValueSource(
            seed=seed,
            cell=run["cell"],
            run=run["run_id"],
            fingerprint=run["fingerprint"],
            commit=run["commit"] or "",
            logs=tuple(logs),
            arithmetic=run["arithmetic"] or PLAIN,
        )

    def _find_published(
        self, column: ColumnDefinition, cells: Mapping[str, TableCell]
    ) -> PublishedNumber | None:
        """Find the published number for the coordinates that all cells of a value share."""
        if self.definition.published is None or not cells:
            return None
        shared = set.intersection(*(set(cell.coordinates.items()) for cell in cells.values()))
        return find(self.published, self.definition.published, column, dict(shared))
