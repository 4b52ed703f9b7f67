"""Grids, runs, tables and comparisons as pandas DataFrames, for notebooks.

::

    from grid.api import Results

    here = Results("echolm-workspace")       # a workspace that was launched and collected in
    here.grids()                             # one line a grid
    here.runs("demo")                        # one line a run: configuration and latest metrics
    here.tables("demo")                      # one line a number: estimate, ±, runs, published, verdict
    here.comparisons("demo", "demo")         # one line a pair of rows and a column: difference, interval, p

``examples/notebook.py`` runs all of it.
"""

from __future__ import annotations

import itertools
import shlex
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.registry import suggest
from echolm.workspace import Workspace
from grid.definition import shipped_grids
from grid.statistics import compare, holm
from grid.tables.data import arrow
from grid.tables.definition import TableGrid
from grid.tables.further import with_tables
from grid.tables.launched import launched_grids, open_grid
from grid.tables.results import RUNS_FILE, read_history
from grid.tables.table import Table
from grid.tables.workspace import built_tables

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """What a workspace holds. ``workspace``: its folder; left out: ``$ECHOLM_WORKSPACE``, else ``./echolm-workspace``."""

    def __init__(self, workspace: str | PathLike[str] | None = None) -> None:
        self.workspace = Workspace(Path(workspace).absolute()) if workspace else Workspace.default()

    def grids(self) -> pd.DataFrame:
        """One line a grid that came with EchoLM, or was launched here or collected by its file: cells, tables, whether it was launched, runs collected."""
        import pandas as pd

        launched, collected = (launched_grids(self.workspace.root / folder) for folder in ("grids", "results"))
        lines = []
        for name in dict.fromkeys([*launched, *collected, *shipped_grids()]):
            grid = self.grid(name)
            runs = len(self.runs(name)) if (self.workspace.results(name) / RUNS_FILE).exists() else 0
            counts = {"cells": len(grid.cells), "tables": list(grid.tables), "launched": name in launched, "runs": runs}
            lines.append({"grid": name, "title": grid.title, **counts})
        return pd.DataFrame(lines)

    def grid(self, name: str) -> TableGrid:
        """A grid as it was launched here, else as the file of that name or path defines it, or did when it was collected."""
        return open_grid(self.workspace, name)[0]

    def runs(self, grid: str) -> pd.DataFrame:
        """The collected runs of a grid, one line each, with their labels on the grid's axes (``axis.NAME``), ``params.NAME`` and
        ``metrics.NAME`` (see ``grid.tables.schema``). EchoLMError when nothing was collected."""
        import pyarrow.parquet as pq

        frame = pq.read_table(self._collected(grid) / RUNS_FILE).to_pandas()
        places = {cell.id: cell.coordinates for cell in self.grid(grid).cells}
        for axis in dict.fromkeys(axis for coordinates in places.values() for axis in coordinates):
            frame.insert(len(frame.columns), f"axis.{axis}", [places.get(cell, {}).get(axis) for cell in frame["cell"]])
        return frame

    def history(self, grid: str, keys: list[str] | None = None) -> pd.DataFrame:
        """The logged values of all runs, one line each: run_id, key, step, time, value. ``keys``: only these metrics."""
        return read_history(self._collected(grid), keys=keys).to_pandas()

    def tables(self, grid: str, table: str = "", spread: str = "", definition: str | PathLike[str] | None = None) -> pd.DataFrame:
        """One line a number of the tables of a grid (see ``grid.tables.data.FIELDS``).

        ``table``: only this one. ``spread``: the kind of ±, by name. ``definition``: a file with further tables.
        """
        return arrow(self.built(grid, table, spread, definition)).to_pandas()

    def built(self, grid: str, table: str = "", spread: str = "", definition: str | PathLike[str] | None = None) -> list[Table]:
        """The tables themselves, for ``grid.tables.html.html``, ``grid.tables.figure.figure`` and the like. Commands in them name the workspace."""
        found = self.grid(grid)
        found = with_tables(found, Path(definition)) if definition else found
        if table and table not in found.tables:
            raise EchoLMError(f"grid {found.name} has no table {table!r}; {suggest(table, found.tables)}")
        results = self._collected(grid)
        return built_tables(self.workspace, found, results, [table] if table else list(found.tables), self._program, spread)

    def comparisons(self, grid: str, table: str, margin: float | None = None) -> pd.DataFrame:
        """One line for each two rows of a table and each column: difference (``first`` - ``second``) with its interval, p
        of the bootstrap and of Wilcoxon's test, both also adjusted by Holm over all lines, and whether seeds are counted;
        ``first_diverged`` and ``second_diverged`` are the seeds that failed to train, ``synthetic`` says that a phantom is in it.

        With ``margin``: also whether they are equivalent within it. Rows of other patients are not compared.
        """
        import pandas as pd

        [built] = self.built(grid, table)
        lines: list[dict[str, Any]] = []
        for at, column in enumerate(built.columns):
            values = [row.values[at] for row in built.rows if row.values[at].resampled is not None]
            for one, other in itertools.combinations(values, 2):
                first, second = one.resampled, other.resampled
                if first and second and np.array_equal(first.runs.patients, second.runs.patients):
                    found = compare(first, second, margin)
                    failed = [[run.seed for run in value.diverged] for value in (one, other)]
                    flags = {"first_diverged": failed[0], "second_diverged": failed[1], "synthetic": one.synthetic or other.synthetic}
                    names = ("first", "second", "difference", "low", "high", "p", "wilcoxon", "crossed", "equivalent", "patients", "seeds")
                    lines.append({"column": column.heading, **{name: getattr(found, name) for name in names}, **flags})
        frame = pd.DataFrame(lines)
        if lines:
            frame["adjusted_p"] = holm([line["p"] for line in lines])
            frame["adjusted_wilcoxon"] = holm([np.nan if line["wilcoxon"] is None else line["wilcoxon"] for line in lines])
        return frame

    @property
    def _program(self) -> tuple[str, ...]:
        """The words that a command about this workspace begins with."""
        return "echolm", "--workspace", str(self.workspace.root)

    def _collected(self, grid: str) -> Path:
        found, root = self.grid(grid), self.workspace.root
        folder = self.workspace.results(found.name)
        if not (folder / RUNS_FILE).exists():
            if not (launched := launched_grids(self.workspace.grids)):
                raise EchoLMError(f"{root}: is no workspace in which a grid was launched; name another folder, or type: {shlex.join([*self._program, 'launch', found.typed])}")
            words = ["collect", grid] if found.name in launched else ["launch", found.typed]
            raise EchoLMError(f"{folder / RUNS_FILE}: is not there; type: {shlex.join([*self._program, *words])}")
        return folder
