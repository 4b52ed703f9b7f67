"""Further tables of a grid, from a file of their own: a new table is a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from echolm.errors import EchoLMError
from echolm.registry import Frozen
from echolm.yaml_files import explain_validation, load_yaml
from grid.definition.claimed_rows import fitting_claims
from grid.definition.claims import ClaimDefinition
from grid.definition.table_cells import cells_of_table
from grid.definition.tables import TableCell, TableDefinition, TableGrid


class TablesFile(Frozen):
    """The sections ``tables`` and ``claims`` of a YAML file."""

    tables: dict[str, TableDefinition]
    claims: dict[str, ClaimDefinition] = {}


@dataclass(frozen=True)
class TaggedCell:
    """A cell that is in further tables."""

    id: str
    coordinates: Mapping[str, str]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class GridWithTables:
    """A grid with further tables.

    ``added_axes`` are those of its cells that no axis of the grid is: a table needs them alone.
    """

    name: str
    title: str
    cells: Sequence[TableCell]
    tables: Mapping[str, TableDefinition]
    typed: str
    added_axes: frozenset[str] = frozenset()
    claims: Mapping[str, ClaimDefinition] = field(default_factory=dict)


def read_tables(path: Path) -> dict[str, TableDefinition]:
    """Read the tables that a file defines.

    A whole grid file will do: its other sections are not read.

    Raises:
        EchoLMError: it does not define any. The message names the field.
    """
    return _read_sections(path).tables


def _read_sections(path: Path) -> TablesFile:
    """Read the tables and claims that a file defines.

    Raises:
        EchoLMError: as for ``read_tables``.
    """
    values = load_yaml(path)
    if not isinstance(values, dict) or not values.get("tables"):
        raise EchoLMError(f"{path}: has no section 'tables': {{NAME: {{title, rows, columns}}}}")
    try:
        sections = {name: values[name] for name in TablesFile.model_fields if name in values}
        return TablesFile.model_validate(sections)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None


def with_tables(grid: TableGrid, path: Path) -> GridWithTables:
    """Return the grid with the tables of a file.

    One of the same name stands in the place of the grid's own. A table that says by ``cells`` which
    cells it has takes those. Else one that the grid knows by name has the cells that the grid gives
    it, and a new one has all cells.
    """
    tables = read_tables(path)
    known = {name for cell in grid.cells for name in cell.tables}
    of_all_cells = []
    for name, table in tables.items():
        if not table.cells and name not in known:
            of_all_cells.append(name)
    cells = []
    for cell in grid.cells:
        cells.append(TaggedCell(cell.id, cell.coordinates, (*cell.tables, *of_all_cells)))
    return GridWithTables(grid.name, grid.title, cells, {**grid.tables, **tables}, grid.typed)


def with_current(grid: TableGrid, path: Path) -> GridWithTables:
    """Return a launched grid with the tables and claims that its file defines now.

    A table that does not fit the launched cells stays as launched. A claim that does not is left
    out.
    """
    sections = _read_sections(path)
    tables = dict(grid.tables)
    for name, table in sections.tables.items():
        if name in tables and _fits(grid, name, table):
            tables[name] = table
    current = GridWithTables(grid.name, grid.title, grid.cells, tables, grid.typed)
    return replace(current, claims=fitting_claims(current, sections.claims))


def _fits(grid: TableGrid, name: str, table: TableDefinition) -> bool:
    """Return whether a table can be made of the cells that the grid gives it."""
    tables = {**grid.tables, name: table}
    candidate = GridWithTables(grid.name, grid.title, grid.cells, tables, grid.typed)
    try:
        cells_of_table(candidate, name)
    except EchoLMError:
        return False
    return True
