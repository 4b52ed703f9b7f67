"""Grids, runs, tables and comparisons as pandas DataFrames, for notebooks.

::

    from grid.api import Results

    here = Results("echolm-workspace")       # a workspace
    here.launch("demo")                      # run what is missing, as ``echolm launch`` does
    here.status("demo")                      # one line a cell: state, epoch, loss, what is wrong
    here.collect("demo")                     # records -> MLflow -> Parquet
    here.grids()                             # one line a grid
    here.runs("demo")                        # one line a run: configuration and latest metrics
    here.predictions("demo")                 # one line a run, sample and slot
    here.tables("demo")                      # one line a number: estimate, ±, runs, verdict
    here.comparisons("demo", "demo")         # one line a pair of rows and a column

``examples/notebook.py`` runs all of it; ``examples/results.ipynb`` and ``examples/own_grid.ipynb``
are notebooks.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.tasks import TASKS
from echolm.text import suggest
from echolm.workspace import Workspace
from grid.definition.extra_tables import with_tables
from grid.definition.files import load_in
from grid.definition.grid import shipped_grids
from grid.definition.launched import launched_grids, open_tables
from grid.definition.tables import TableGrid
from grid.operations import installed_operations
from grid.results.files import (
    RUNS_FILE,
    altered,
    opened,
    predictions_path,
    read_columns,
    read_history,
)
from grid.results.soundness import CheckedPredictions
from grid.statistics import Comparison, compare, holm, why_not_paired
from grid.tables.render.data import arrow
from grid.tables.table import Table, Value
from grid.tables.workspace_tables import built_tables

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SAMPLE_COLUMNS = (
    "sample",
    "patient",
    "study",
    "split",
    "target",
    "slot",
    "truth",
    "prediction",
)
"""The columns of the sample that the predictions of every task have (``echolm.tasks``)."""
COMPARED = (
    "first",
    "second",
    "difference",
    "low",
    "high",
    "p",
    "wilcoxon",
    "crossed",
    "equivalent",
    "patients",
    "seeds",
)
"""What a line of ``Results.comparisons`` takes from a ``Comparison``."""


class Results:
    """What a workspace holds, and what can be done there.

    Args:
        workspace: its folder. None for ``$ECHOLM_WORKSPACE``, else ``./echolm-workspace``.
    """

    def __init__(self, workspace: str | PathLike[str] | None = None) -> None:
        if workspace:
            self.workspace = Workspace(Path(workspace).absolute())
        else:
            self.workspace = Workspace.default()

    def launch(self, grid: str, where: Sequence[str] = (), **options: Any) -> pd.DataFrame:
        """Run what is missing of a grid, and return where its cells stand then.

        Args:
            grid: its name or the path of its file.
            where: selections of cells, as after ``--where``.
            options: those of ``echolm launch`` by name: ``on="slurm"``, ``slots=2``.

        Returns:
            One line a cell, as ``status``.
        """
        loaded = load_in(self.workspace, grid)
        cells = loaded.where(tuple(where))
        installed_operations().launch(self.workspace, loaded, cells, options)
        return self.status(grid, where)

    def status(self, grid: str, where: Sequence[str] = ()) -> pd.DataFrame:
        """Return where the cells of a grid stand, one line each, as ``echolm status --json``.

        Args:
            grid: its name or the path of its file.
            where: selections of cells, as after ``--where``.
        """
        import pandas as pd

        loaded = load_in(self.workspace, grid)
        cells = loaded.where(tuple(where))
        lines = installed_operations().status(self.workspace, loaded, cells)
        frame = pd.DataFrame(lines)
        axes = dict.fromkeys(axis for cell in cells for axis in cell.coordinates)
        for axis in axes:
            frame[f"axis.{axis}"] = [cell.coordinates.get(axis) for cell in cells]
        return frame.drop(columns="coordinates", errors="ignore")

    def cancel(self, grid: str, where: Sequence[str] = ()) -> list[str]:
        """Stop cells that have not ended, as ``echolm cancel`` does, and return their ids."""
        loaded = load_in(self.workspace, grid)
        cells = loaded.where(tuple(where))
        return installed_operations().cancel(self.workspace, loaded, cells)

    def collect(self, *grids: str, tracking_uri: str = "") -> pd.DataFrame:
        """Bring complete runs into MLflow, and from there into Parquet.

        Args:
            grids: names or files of grids. None for every launched grid.
            tracking_uri: the MLflow store. '' for that of the workspace.

        Returns:
            One line a grid: its runs, new or changed runs, new predictions, problems.
        """
        import pandas as pd

        from grid.tracking.sources import collect

        uri = tracking_uri or self.workspace.tracking_uri
        collection = collect(self.workspace, grids, uri)
        lines = []
        for name, report in collection.collected.items():
            lines.append(
                {
                    "grid": name,
                    "runs": report.runs,
                    "read": report.read,
                    "predictions": report.predictions,
                    "problems": len(report.problems),
                }
            )
        return pd.DataFrame(lines)

    def grids(self) -> pd.DataFrame:
        """Return one line a grid that came with EchoLM, was launched here, or was collected.

        Columns: title, cells, tables, whether it was launched, runs collected.
        """
        import pandas as pd

        launched = launched_grids(self.workspace.root / "grids")
        collected = launched_grids(self.workspace.root / "results")
        lines = []
        for name in dict.fromkeys([*launched, *collected, *shipped_grids()]):
            grid = self.grid(name)
            runs = 0
            if (self.workspace.results(name) / RUNS_FILE).exists():
                runs = len(self.runs(name))
            lines.append(
                {
                    "grid": name,
                    "title": grid.title,
                    "cells": len(grid.cells),
                    "tables": list(grid.tables),
                    "launched": name in launched,
                    "runs": runs,
                }
            )
        return pd.DataFrame(lines)

    def grid(self, name: str) -> TableGrid:
        """Open a grid as it was launched here.

        Otherwise as the file of that name or path defines it, or did when it was collected.
        """
        return open_tables(self.workspace, name)[0]

    def runs(self, grid: str) -> pd.DataFrame:
        """Return the collected runs of a grid, one line each.

        Columns: their labels on the grid's axes (``axis.NAME``), ``params.NAME`` and
        ``metrics.NAME`` (see ``grid.results.schema``).

        Raises:
            EchoLMError: nothing was collected.
        """
        import pyarrow.parquet as pq

        frame = pq.read_table(self._collected(grid) / RUNS_FILE).to_pandas()
        coordinates = {cell.id: cell.coordinates for cell in self.grid(grid).cells}
        axes = dict.fromkeys(axis for labels in coordinates.values() for axis in labels)
        for axis in axes:
            column = [coordinates.get(cell, {}).get(axis) for cell in frame["cell"]]
            frame.insert(len(frame.columns), f"axis.{axis}", column)
        return frame

    def predictions(self, grid: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return every collected prediction of a grid, one line a run, sample, target and slot.

        Columns of the run: ``run_id``, ``fingerprint``, ``cell``, ``seed`` and its labels on the
        grid's axes (``axis.NAME``). A cell that was run again, with other data or weights, has
        several fingerprints. ``runs`` has the facts of each.

        Columns of the sample, as its task writes them: ``sample``, ``patient``, ``study``,
        ``split`` (val or test), ``target``, ``slot``, ``truth``, ``prediction``, ``score``, and the
        values of the task's metrics. ``truth`` and ``prediction`` are arrays. Of the task
        ``landmarks`` they hold x and y of 40 points in turn, in pixels of the 112 grid, and there
        are two lines a sample, with slots ED and ES. ``frame.attrs["units"]`` has the unit of each
        metric: ``{"dice": "%", "mke": "px"}``.

        Args:
            grid: the grid.
            columns: the columns of the sample that are wanted. None for all. ``truth`` and
                ``prediction`` take most of the memory.

        Returns:
            No lines where runs were collected that have no predictions, as of pretraining.

        Raises:
            EchoLMError: nothing was collected, a file of predictions is not there or damaged, or
                one lacks a column.
        """
        import pandas as pd
        import pyarrow as pa

        runs = self.runs(grid)
        if "predictions" in runs:
            runs = runs[runs["predictions"].notna()]
        runs = runs.drop_duplicates("fingerprint")
        self._check_predictions(grid, runs)
        labels = [name for name in runs if name.startswith("axis.")]
        parts = []
        for run in runs.to_dict("records"):
            path = predictions_path(self._collected(grid), run["fingerprint"])
            part = _read_predictions(path, columns)
            facts: dict[str, Any] = {name: run[name] for name in ("run_id", "fingerprint", "cell")}
            facts["seed"] = _seed(run)
            for name in labels:
                facts[name] = None if pd.isna(run[name]) else run[name]
            for position, (name, value) in enumerate(facts.items()):
                part = part.add_column(position, name, pa.array([value] * len(part)))
            parts.append(part)
        if parts:
            frame = pa.concat_tables(parts, promote_options="permissive").to_pandas()
        else:
            names = ["run_id", "fingerprint", "cell", "seed", *labels, *(columns or SAMPLE_COLUMNS)]
            frame = pd.DataFrame(columns=names)
        frame.attrs["units"] = _units(list(frame.columns))
        return frame

    def history(self, grid: str, keys: list[str] | None = None) -> pd.DataFrame:
        """Return the logged values of all runs, one line each: run_id, key, step, time, value.

        Args:
            grid: the grid.
            keys: only these metrics.
        """
        return read_history(self._collected(grid), keys=keys).to_pandas()

    def tables(
        self,
        grid: str,
        table: str = "",
        spread: str = "",
        definition: str | PathLike[str] | None = None,
    ) -> pd.DataFrame:
        """Return one line a number of a grid's tables (see ``grid.tables.render.data.FIELDS``).

        Args:
            grid: the grid.
            table: only this one.
            spread: the kind of ±, by name.
            definition: a file with further tables.
        """
        return arrow(self.built(grid, table, spread, definition)).to_pandas()

    def built(
        self,
        grid: str,
        table: str = "",
        spread: str = "",
        definition: str | PathLike[str] | None = None,
        hold: bool = False,
    ) -> list[Table]:
        """Build the tables themselves, to render them: HTML, a figure and the like.

        The arguments are those of ``tables``. Commands in them name the workspace. With ``hold``,
        values of a large table keep their draws too, for comparisons.
        """
        opened = self.grid(grid)
        if definition:
            opened = with_tables(opened, Path(definition))
        if table and table not in opened.tables:
            hint = suggest(table, opened.tables)
            raise EchoLMError(f"grid {opened.name} has no table {table!r}; {hint}")
        names = [table] if table else list(opened.tables)
        results = self._collected(grid)
        return built_tables(
            self.workspace, opened, results, names, self._program, spread, hold=hold
        )

    def comparisons(self, grid: str, table: str, margin: float | None = None) -> pd.DataFrame:
        """Compare each two rows of a table in each column, one line each.

        A line has the difference (``first`` - ``second``) with its interval, the p of the bootstrap
        and of Wilcoxon's test, both also adjusted by Holm over all lines, and whether seeds are
        counted. ``first_diverged`` and ``second_diverged`` are the seeds that diverged, and
        ``first_far_behind`` and ``second_far_behind`` those far behind their best seed.
        ``synthetic`` says that a phantom is in it. Rows of other patients, or of the same patients
        with other true values, are not compared.

        Args:
            grid: the grid.
            table: the table's name.
            margin: also say whether two rows are equivalent within it.
        """
        import pandas as pd

        [built] = self.built(grid, table, hold=True)
        lines: list[dict[str, Any]] = []
        for number, column in enumerate(built.columns):
            values = [row.values[number] for row in built.rows]
            for one, other in itertools.combinations(values, 2):
                comparison = _compare(one, other, margin)
                if comparison is None:
                    continue
                line: dict[str, Any] = {"column": column.heading}
                for name in COMPARED:
                    line[name] = getattr(comparison, name)
                line["first_diverged"] = [run.seed for run in one.diverged]
                line["second_diverged"] = [run.seed for run in other.diverged]
                line["first_far_behind"] = [run.seed for run in one.far_behind]
                line["second_far_behind"] = [run.seed for run in other.far_behind]
                line["synthetic"] = one.synthetic or other.synthetic
                lines.append(line)
        frame = pd.DataFrame(lines)
        if lines:
            frame["adjusted_p"] = holm([line["p"] for line in lines])
            wilcoxon = [np.nan if line["wilcoxon"] is None else line["wilcoxon"] for line in lines]
            frame["adjusted_wilcoxon"] = holm(wilcoxon)
        return frame

    def _check_predictions(self, grid: str, runs: pd.DataFrame) -> None:
        """Check that the predictions of runs are there, and are what was collected.

        Raises:
            EchoLMError: some are not. The message says how many, and what brings them.
        """
        folder = self._collected(grid)
        paths = [predictions_path(folder, fingerprint) for fingerprint in runs["fingerprint"]]
        missing = [path for path in paths if not path.exists()]
        if missing:
            command = Command("collect", grid)
            raise EchoLMError(
                f"{missing[0]}: is not there ({len(missing)} of {len(paths)} files of predictions "
                f"are missing); type: {command.text(self._program)}"
            )
        if "predictions" not in runs:
            return  # the first EchoLM kept no SHA-256
        checked = CheckedPredictions(folder)
        for path, sha256 in zip(paths, runs["predictions"], strict=True):
            if not checked.is_sound(path, sha256):
                raise EchoLMError(altered(path, grid))
        checked.save()

    @property
    def _program(self) -> tuple[str, ...]:
        """The words that a command about this workspace begins with."""
        return "echolm", "--workspace", str(self.workspace.root)

    def _collected(self, grid: str) -> Path:
        """Return the folder of a grid's Parquet files, which must be there."""
        opened = self.grid(grid)
        folder = self.workspace.results(opened.name)
        if (folder / RUNS_FILE).exists():
            return folder
        launched = launched_grids(self.workspace.grids)
        launch = Command("launch", opened.typed)
        if not launched:
            raise EchoLMError(
                f"{self.workspace.root}: is no workspace in which a grid was launched; name another"
                f" folder, or type: {launch.text(self._program)}"
            )
        command = Command("collect", grid) if opened.name in launched else launch
        path = folder / RUNS_FILE
        raise EchoLMError(f"{path}: is not there; type: {command.text(self._program)}")


def _read_predictions(path: Path, columns: Sequence[str] | None) -> pa.Table:
    """Read a file of predictions, or some of its columns."""
    if columns is not None:
        return read_columns(path, columns)
    with opened(path) as file:
        return file.read()


def _seed(run: Mapping[str, Any]) -> int | None:
    """Return the seed of a run by its configuration, else by its label. None: neither says it."""
    for name in ("params.seed", "axis.seed"):
        text = str(run.get(name))
        if text.isdecimal():
            return int(text)
    return None


def _units(columns: Sequence[str]) -> dict[str, str]:
    """Return the units of those columns that are metrics of a task."""
    units = {}
    for name in TASKS.names():
        try:
            described = TASKS.parse(name).describe()
        except EchoLMError:
            continue  # a plugin's task that is no task without more than its name
        for metric, facts in described.items():
            if metric in columns and "unit" in facts:
                units[metric] = str(facts["unit"])
    return units


def _compare(one: Value, other: Value, margin: float | None) -> Comparison | None:
    """Compare two values of a column, where both have numbers of the same patients and truth."""
    first, second = one.resampled, other.resampled
    if first is None or second is None:
        return None
    if why_not_paired(first.runs, second.runs):
        return None
    return compare(first, second, margin)
