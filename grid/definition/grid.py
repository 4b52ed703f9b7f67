"""Grid definitions: YAML in, cells out. A cell is a run's configuration with its place on the axes.

::

    title: what the grid is for
    base: {...}                      # fields of a run that all cells share
    axes: {head: [mlp, gcn], ...}    # the product of all axes, whose order is that of the cells
    exclude: [{encoder: none, head: gcn}, ...]
    include: [{head: mean, ...}]     # further cells: axis labels, and fields of the run
    subgrids: {NAME: {base, axes, exclude, include, tables, resources}}   # parts, united
    resources: {gpus: 8, minutes: 600}   # what a unit asks for, where the command line is silent
    tables: {NAME: {title, rows, columns, published}}          # see grid/definition/tables.py
    claims: {NAME: {says, better, than, column, by, tables}}   # see grid/definition/claims.py

``weights: {of: NAME, where: {axis: label}}`` of a run begins from a cell of the part NAME, which is
trained first (see grid/definition/stages.py).

An axis is a field of the run (dotted for a nested one) with a list of values, or any name with
values of the form ``{label: ..., set: {field: value, ...}}``. Each cell appears once, tagged with
the tables of all subgrids that hold it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from echolm.errors import EchoLMError
from echolm.text import ranges, suggest
from echolm.yaml_files import explain_validation, load_yaml
from grid.definition.claimed_rows import check_claims
from grid.definition.claims import ClaimDefinition
from grid.definition.expand import Cell, expand
from grid.definition.schema import RANGE, TAGS, GridDefinition
from grid.definition.table_cells import cells_of_table
from grid.definition.tables import TableDefinition

__all__ = [
    "RESERVED",
    "Cell",
    "Grid",
    "check_name",
    "grid_of",
    "load_grid",
    "shipped_grids",
    "typed_path",
]

RESERVED = "single-runs"
"""Where runs that belong to no grid are collected."""


@dataclass(frozen=True)
class Grid:
    """A definition with its cells, in the order of the definition, each once."""

    name: str
    title: str
    cells: list[Cell]
    tables: dict[str, TableDefinition]
    path: Path
    claims: dict[str, ClaimDefinition] = field(default_factory=dict)

    @property
    def shipped(self) -> bool:
        """Whether it came with EchoLM."""
        file = shipped_grids().get(self.name)
        return file is not None and file.resolve() == self.path.resolve()

    @property
    def typed(self) -> str:
        """The grid as commands name it: a shipped one by its name, any other by its path."""
        return self.name if self.shipped else typed_path(self.path)

    def where(self, conditions: Iterable[str]) -> list[Cell]:
        """Return the cells that meet all conditions ``axis=label[,label...]``.

        ``subgrid=`` and ``table=`` are conditions too, and in a grid of one setting ``encoder=``,
        ``trainable=`` and ``head=``. ``3-8`` stands for the labels 3 to 8, all of which must be
        there, unless it is a label itself.

        Raises:
            EchoLMError: no cell has such an axis or label.
        """
        axes = set(TAGS)
        for cell in self.cells:
            axes.update(cell.places)
        cells = self.cells
        for condition in conditions:
            axis, texts = _parse_condition(condition)
            if axis not in axes:
                raise EchoLMError(
                    f"--where {axis}=...: grid {self.name} has no such axis; {suggest(axis, axes)}"
                )
            labels = self._matching_labels(axis, texts)
            cells = [cell for cell in cells if labels & _labels(cell, axis)]
        return list(cells)

    def _matching_labels(self, axis: str, texts: Iterable[str]) -> set[str]:
        """Return the labels of an axis that a condition selects."""
        known: set[str] = set()
        for cell in self.cells:
            known |= _labels(cell, axis)
        labels: set[str] = set()
        for text in texts:
            labels |= _labels_meant(axis, text, known)
        return labels


def typed_path(path: Path) -> str:
    """Return a path as commands name it: relative where that is shorter to read."""
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return str(path)


def load_grid(name: str) -> Grid:
    """Load a grid by the name of a shipped definition or the path of a YAML file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        shipped = shipped_grids()
        if name not in shipped:
            raise EchoLMError(
                f"no grid {name!r}; {suggest(name, shipped)}; or give the path of a .yaml file"
            )
        path = shipped[name]
    check_name(path)
    return grid_of(load_yaml(path), path)


def grid_of(values: Any, path: Path) -> Grid:
    """Return the grid that a file's content defines. ``path`` names it, here and in errors."""
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise EchoLMError(f"{path}: a grid definition is a mapping with 'axes'; this is {kind}")
    try:
        definition = GridDefinition.model_validate(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None
    cells = expand(definition, path)
    grid = Grid(path.stem, definition.title, cells, definition.tables, path, definition.claims)
    _check_tables(grid)
    return grid


def _check_tables(grid: Grid) -> None:
    """Check, before cells are run, that every table and claim can be made of them."""
    for name in grid.tables:
        try:
            cells_of_table(grid, name)
        except EchoLMError as error:
            raise EchoLMError(f"{grid.path}: {error}") from None
    try:
        check_claims(grid, grid.claims)
    except EchoLMError as error:
        raise EchoLMError(f"{grid.path}: {error}") from None


def check_name(path: Path, what: str = "grid") -> None:
    """Refuse a file whose name could not be tracked, or not be typed as it is.

    Args:
        path: the file.
        what: what is named after its file.

    Raises:
        EchoLMError: the name cannot be used.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", path.stem):
        valid = "letters, digits, '.', '_' and '-', the first a letter or digit"
        raise EchoLMError(
            f"{path}: a {what} is named after its file, and {path.stem!r} cannot be a name; "
            f"valid: {valid}; rename the file"
        )
    if path.stem == RESERVED:
        raise EchoLMError(
            f"{path}: a {what} is named after its file, and {RESERVED} are the runs of no grid; "
            "rename the file"
        )


def shipped_grids() -> dict[str, Path]:
    """Return the definitions that come with EchoLM: name -> file."""
    folder = Path(str(resources.files("grid") / "grids"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _parse_condition(text: str) -> tuple[str, set[str]]:
    axis, equals, labels = text.partition("=")
    if not equals or not labels:
        raise EchoLMError(f"--where {text!r}: write axis=label or axis=label,label")
    return axis.strip(), set(labels.split(","))


def _labels_meant(axis: str, text: str, known: set[str]) -> set[str]:
    """Return the labels that a text stands for: itself, or those of a range.

    Raises:
        EchoLMError: one of them is not known.
    """
    if text in known:
        return {text}
    numbers = {int(label) for label in known if _is_integer(label)}
    match = RANGE.fullmatch(text)
    if match is None or not numbers:
        raise EchoLMError(f"--where {axis}={text}: no cell has it; {suggest(text, known)}")
    first, last = int(match[1]), int(match[2])
    chosen = {number for number in numbers if first <= number <= last}
    if not chosen or len(chosen) <= last - first:
        raise EchoLMError(
            f"--where {axis}={text}: not all of them are there; valid: {ranges(numbers)}"
        )
    return {str(number) for number in chosen}


def _is_integer(label: str) -> bool:
    return label.isdecimal() and label == str(int(label))


def _labels(cell: Cell, axis: str) -> set[str]:
    """Return what a condition on ``axis`` compares: the cell's label, or its tables or subgrids."""
    if axis == "subgrid":
        return set(cell.subgrids)
    if axis == "table":
        return set(cell.tables)
    if axis in cell.places:
        return {cell.places[axis]}
    return set()
