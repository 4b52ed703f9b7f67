"""A run that diverged in one table of a grid is diverged in all that have its cell.

It is one network. A table of Dice alone would not tell of points that are no numbers, nor one of ED
of a failure at ES.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from echolm.errors import EchoLMError
from grid.definition.table_cells import CellsBySeed, cells_of_table
from grid.definition.tables import ColumnDefinition, TableGrid
from grid.statistics import resample
from grid.tables.assess import diverged_cells
from grid.tables.predictions import Predictions
from grid.tables.runs import CollectedRuns

Shown = tuple[str, frozenset[str]]
"""What a place shows of which cells. Places that share it tell the same."""


def diverged_elsewhere(grid: TableGrid, name: str, collected: CollectedRuns) -> dict[str, str]:
    """Return cell of the table ``name`` -> in which other table its run diverged, and why.

    A table that cannot be made tells nothing here. Why not is said where it is printed.
    """
    seen: set[Shown] = set()
    cells_of_interest: set[str] = set()
    for column, cells in _places(grid, name):
        seen.add(_shown(column, cells))
        cells_of_interest.update(cell.id for cell in cells.values())
    reasons: dict[str, str] = {}
    for other in grid.tables:
        if other == name:
            continue
        try:
            in_other = _diverged_in(grid, other, collected, cells_of_interest, seen)
        except EchoLMError:
            continue
        # What an earlier table says stays.
        reasons = {**in_other, **reasons}
    return reasons


def _diverged_in(
    grid: TableGrid,
    name: str,
    collected: CollectedRuns,
    cells_of_interest: Collection[str],
    seen: set[Shown],
) -> dict[str, str]:
    """Return cell -> where in the table ``name`` its run diverged, and why.

    Args:
        grid: the grid.
        name: of the table.
        collected: its runs.
        cells_of_interest: places without any of these cells are not read.
        seen: places that were read already. This one adds its own.
    """
    predictions = Predictions(grid.tables[name].columns, collected.stores)
    reasons: dict[str, str] = {}
    for column, cells in _places(grid, name):
        ids = {seed: cell.id for seed, cell in cells.items()}
        shown = _shown(column, cells)
        if shown in seen or not set(ids.values()).intersection(cells_of_interest):
            continue
        runs, _ = collected.aligned(name, column, collected.newest(cells), predictions)
        seen.add(shown)
        if runs is None:
            continue
        # The values of seeds alone tell, so one draw is enough.
        [value] = resample([runs], column.made(), 1)
        for cell, reason in diverged_cells(ids, value).items():
            reasons.setdefault(cell, f"in {column.heading} of table {name}: {reason}")
    return reasons


def _places(grid: TableGrid, name: str) -> Iterator[tuple[ColumnDefinition, CellsBySeed]]:
    """Yield each place of a table that has cells and a statistic."""
    columns = grid.tables[name].columns
    for row in cells_of_table(grid, name).values():
        for column, cells in zip(columns, row, strict=True):
            if cells and not column.cost:
                yield column, cells


def _shown(column: ColumnDefinition, cells: CellsBySeed) -> Shown:
    return column.shown, frozenset(cell.id for cell in cells.values())
