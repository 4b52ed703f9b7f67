"""A run that diverged in one table of a grid is diverged in all that have its cell: it is one network.

A table of Dice alone would not tell of a training that failed at the contours' points, nor one of ED of a failure at ES.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from echolm.errors import EchoLMError
from grid.statistics import RESAMPLES, resample
from grid.tables.definition import ColumnDefinition, TableGrid
from grid.tables.group import CellsBySeed, group
from grid.tables.judge import failures
from grid.tables.select import Predictions
from grid.tables.stored import Stored

Shown = tuple[str, frozenset[str]]
"""What a place shows of which cells; places that share it tell the same."""


def diverged_elsewhere(grid: TableGrid, name: str, stored: Stored) -> dict[str, str]:
    """Cell of the table ``name`` -> in which other table its run diverged, and why.

    A table that cannot be made tells nothing here; why not is said where it is printed.
    """
    own = list(_places(grid, name))
    seen = {_shown(*place) for place in own}
    wanted = {cell.id for _, cells in own for cell in cells.values()}
    found: dict[str, str] = {}
    for other in grid.tables:
        if other != name:
            try:
                found = {**_diverged(grid, other, stored, wanted, seen), **found}
            except EchoLMError:
                continue
    return found


def _diverged(grid: TableGrid, name: str, stored: Stored, wanted: Collection[str], seen: set[Shown]) -> dict[str, str]:
    predictions = Predictions(grid.tables[name].columns)
    found: dict[str, str] = {}
    for column, cells in _places(grid, name):
        ids = {seed: cell.id for seed, cell in cells.items()}
        if (shown := _shown(column, cells)) in seen or not set(ids.values()) & set(wanted):
            continue
        runs, _ = stored.aligned(name, column, stored.newest(cells), predictions)
        seen.add(shown)
        if runs is not None:
            made = column.made()
            [value] = resample([runs], made, RESAMPLES if made.per_patient(runs) is None else 1)  # draws stand in for patients
            for cell, reason in failures(column, ids, value).items():
                found.setdefault(cell, f"in {column.heading} of table {name}: {reason}")
    return found


def _places(grid: TableGrid, name: str) -> Iterator[tuple[ColumnDefinition, CellsBySeed]]:
    columns = grid.tables[name].columns
    for cells in group(grid, name).values():
        yield from ((column, own) for column, own in zip(columns, cells, strict=True) if own)


def _shown(column: ColumnDefinition, cells: CellsBySeed) -> Shown:
    plain = column.model_copy(update={"where": {}, "label": "", "digits": 0})
    return plain.model_dump_json(), frozenset(cell.id for cell in cells.values())
