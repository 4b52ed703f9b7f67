"""Further tables of a grid, from a file of their own: a new table is a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from echolm.config import explain_validation, load_yaml
from echolm.errors import EchoLMError
from echolm.registry import Frozen
from grid.tables.definition import TableCell, TableDefinition, TableGrid
from grid.tables.group import group


class TablesFile(Frozen):
    """The section ``tables`` of a YAML file."""

    tables: dict[str, TableDefinition]


@dataclass(frozen=True)
class FurtherCell:
    """A cell that is in further tables."""

    id: str
    coordinates: Mapping[str, str]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class FurtherGrid:
    """A grid with further tables."""

    name: str
    title: str
    cells: Sequence[TableCell]
    tables: Mapping[str, TableDefinition]
    typed: str


def read_tables(path: Path) -> dict[str, TableDefinition]:
    """The tables that a file defines; EchoLMError, naming the field, when it does not define any. A whole grid file
    will do: its other sections are not read."""
    values = load_yaml(path)
    if not isinstance(values, dict) or not values.get("tables"):
        raise EchoLMError(f"{path}: has no section 'tables': {{NAME: {{title, rows, columns}}}}")
    try:
        return TablesFile.model_validate({"tables": values["tables"]}).tables
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None


def with_tables(grid: TableGrid, path: Path) -> FurtherGrid:
    """The grid with the tables of a file; one of the same name stands in the place of the grid's own.

    A table that says by ``cells`` which cells it has takes those; else one that the grid knows by name has the cells that
    the grid gives it, and a new one has all cells.
    """
    tables = read_tables(path)
    new = tuple(name for name, table in tables.items() if not table.cells and not any(name in cell.tables for cell in grid.cells))
    cells = [FurtherCell(cell.id, cell.coordinates, (*cell.tables, *new)) for cell in grid.cells]
    return FurtherGrid(grid.name, grid.title, cells, {**grid.tables, **tables}, grid.typed)


def with_current(grid: TableGrid, path: Path) -> FurtherGrid:
    """A launched grid with the tables that its file defines now, as far as they fit its cells; the others as launched."""
    tables = dict(grid.tables)
    for name, table in read_tables(path).items():
        current = FurtherGrid(grid.name, grid.title, grid.cells, {**tables, name: table}, grid.typed)
        try:
            group(current, name)
        except EchoLMError:
            continue
        if name in tables:
            tables[name] = table
    return FurtherGrid(grid.name, grid.title, grid.cells, tables, grid.typed)
