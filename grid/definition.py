"""Grid definitions: YAML in, cells out. A cell is one run's configuration with its place on the axes.

::

    title: what the grid is for
    base: {...}                      # fields of a run that all cells share
    axes: {head: [mlp, gcn], ...}    # the product of all axes; order gives the order of cells
    exclude: [{encoder: none, head: gcn}, ...]
    include: [{head: mean, ...}]     # further cells: axis labels, and fields of the run
    subgrids: {NAME: {base, axes, exclude, include, tables}}   # named parts; the grid is their union
    tables: {NAME: {title, rows, columns, published}}          # see grid/tables/definition.py

An axis is a field of the run (dotted for a nested one) with a list of values, or any name with values of the form
``{label: ..., set: {field: value, ...}}``. Each cell appears once, tagged with the tables of all subgrids that hold it.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from echolm.config import FinetuneConfig, PretrainConfig, explain_validation, load_yaml, parse_config
from echolm.errors import EchoLMError
from echolm.identity import cell_id
from echolm.registry import Frozen, suggest
from grid.tables.definition import TableDefinition

FIELDS = tuple(dict.fromkeys([*FinetuneConfig.model_fields, *PretrainConfig.model_fields]))


RESERVED = "single-runs"
"""Where runs that belong to no grid are collected."""
TAGS = ("subgrid", "table")
"""Of ``--where``: no axes, but what a cell belongs to."""
RANGE = re.compile(r"(\d{1,9})-(\d{1,9})")
"""In ``--where``, of labels that are integers."""


class AxisValue(Frozen):
    """One value of an axis: its label in ``--where`` and tables, and the fields of the run that it sets."""

    label: str
    set: dict[str, Any]

    @field_validator("label")
    @classmethod
    def _can_be_typed(cls, label: str) -> str:
        if not label or "," in label or not label.isprintable():
            raise ValueError(f"{label!r} cannot be typed after --where: empty, or with a comma or a control character")
        return label


def _values(value: Any) -> Any:
    if isinstance(value, list) and not value:
        raise ValueError("an axis needs at least one value")
    return value


class Block(Frozen):
    """Axes with what is shared, left out and added."""

    base: dict[str, Any] = {}
    axes: dict[str, Annotated[list[Any], BeforeValidator(_values)]] = {}
    exclude: list[dict[str, Any]] = []
    include: list[dict[str, Any]] = []
    tables: list[str] = []


class GridDefinition(Block):
    """The content of a grid file. Without ``subgrids`` the grid itself is the only block, and feeds all tables."""

    title: str = ""
    subgrids: dict[str, Block] = {}
    tables: dict[str, TableDefinition] = Field(default={})  # type: ignore[assignment]


@dataclass(frozen=True)
class Cell:
    """One run of a grid: its cell id, axis -> label, configuration, the tables and subgrids it belongs to."""

    id: str
    coordinates: dict[str, str]
    config: FinetuneConfig | PretrainConfig
    tables: tuple[str, ...] = ()
    subgrids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A definition with its cells, in the order of the definition, each once."""

    name: str
    title: str
    cells: list[Cell]
    tables: dict[str, TableDefinition]
    path: Path

    @property
    def typed(self) -> str:
        """The grid as commands name it: a shipped one by its name, any other by the path that was given."""
        return self.name if shipped_grids().get(self.name) == self.path else str(self.path)

    def where(self, conditions: Iterable[str]) -> list[Cell]:
        """Cells that meet all conditions ``axis=label[,label...]`` (``subgrid=`` and ``table=`` too).

        ``3-8`` stands for the labels 3 to 8, all of which must be there, unless it is a label itself.
        """
        axes = {axis for cell in self.cells for axis in cell.coordinates} | {*TAGS}
        wanted: list[tuple[str, set[str]]] = []
        for axis, labels in map(_condition, conditions):
            if axis not in axes:
                raise EchoLMError(f"--where {axis}=...: grid {self.name} has no such axis; {suggest(axis, axes)}")
            known = {label for cell in self.cells for label in _labels(cell, axis)}
            wanted.append((axis, {own for label in labels for own in _known(axis, label, known)}))
        return [cell for cell in self.cells if all(labels & _labels(cell, axis) for axis, labels in wanted)]


def load_grid(name: str) -> Grid:
    """A grid by the name of a shipped definition or the path of a YAML file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        shipped = shipped_grids()
        if name not in shipped:
            raise EchoLMError(f"no grid {name!r}; {suggest(name, shipped)}; or give the path of a .yaml file")
        path = shipped[name]
    check_name(path)
    return grid_of(load_yaml(path), path)


def grid_of(values: Any, path: Path) -> Grid:
    """The grid that a file's content defines; ``path`` names it, here and in errors."""
    if not isinstance(values, dict):
        raise EchoLMError(f"{path}: a grid definition is a mapping with 'axes'; this is {type(values).__name__}")
    try:
        definition = GridDefinition.model_validate(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, str(path))) from None
    grid = Grid(path.stem, definition.title, _expand(definition, path), definition.tables, path)
    _check_tables(grid)
    return grid


def _check_tables(grid: Grid) -> None:
    """EchoLMError when a table cannot be made of the grid's cells, before they are run."""
    from grid.tables.group import group

    for name in grid.tables:
        try:
            group(grid, name)
        except EchoLMError as error:
            raise EchoLMError(f"{grid.path}: {error}") from None


def check_name(path: Path, what: str = "grid") -> None:
    """Refuse a file whose name could not be tracked, or not be typed as it is. ``what``: what is named after its file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", path.stem):
        valid = "letters, digits, '.', '_' and '-', the first a letter or digit"
        raise EchoLMError(f"{path}: a {what} is named after its file, and {path.stem!r} cannot be a name; valid: {valid}; rename the file")
    if path.stem == RESERVED:
        raise EchoLMError(f"{path}: a {what} is named after its file, and {RESERVED} are the runs of no grid; rename the file")


def shipped_grids() -> dict[str, Path]:
    """Name -> file of the definitions that come with EchoLM."""
    folder = Path(str(resources.files("grid") / "grids"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _expand(definition: GridDefinition, path: Path) -> list[Cell]:
    blocks = dict(definition.subgrids)
    if definition.axes or definition.include or definition.exclude or not blocks:
        own = {name: getattr(definition, name) for name in ("axes", "exclude", "include")}
        blocks = {"": Block(tables=list(definition.tables), **own), **blocks}
    cells: dict[str, Cell] = {}
    for name, block in blocks.items():
        where = f"{path}: subgrids.{name}" if name else str(path)
        for table in block.tables:
            if table not in definition.tables:
                raise EchoLMError(f"{where}: tables: {table!r} is not defined; {suggest(table, definition.tables)}")
        labelled: dict[tuple[tuple[str, str], ...], str] = {}
        for cell in _block_cells({**definition.base, **block.base}, block, where, name):
            if labelled.setdefault(tuple(sorted(cell.coordinates.items())), cell.id) != cell.id:
                at = " ".join(f"{axis}={label}" for axis, label in cell.coordinates.items())
                raise EchoLMError(f"{where}: two different cells have the labels {at}; give one {{label: ..., set: {{...}}}}")
            known = cells.get(cell.id)
            cells[cell.id] = _merged(known, cell) if known else cell
    if not cells:
        raise EchoLMError(f"{path}: no cells; every combination of the axes is excluded")
    return list(cells.values())


def _block_cells(base: Mapping[str, Any], block: Block, where: str, name: str) -> Iterator[Cell]:
    axes = {axis: axis_values(axis, values, f"{where}: axes.{axis}") for axis, values in block.axes.items()}
    for number, rule in enumerate(block.exclude):
        _check_rule(rule, axes, f"{where}: exclude[{number}]")
    build = Builder(base, where)
    tags = (tuple(block.tables), (name,) if name else ())
    rules = [{axis: _texts(wanted) for axis, wanted in rule.items()} for rule in block.exclude]
    for combination in itertools.product(*axes.values()):
        coordinates = dict(zip(axes, (value.label for value in combination), strict=True))
        if any(all(coordinates[axis] in labels for axis, labels in rule.items()) for rule in rules):
            continue
        config = build([value.set for value in combination], coordinates)
        yield Cell(cell_id(config), coordinates, config, *tags)
    for number, extra in enumerate(block.include):
        for cell in _included(build, axes, extra, f"{where}: include[{number}]"):
            yield Cell(cell.id, cell.coordinates, cell.config, *tags)


def _included(build: Builder, axes: dict[str, list[AxisValue]], extra: dict[str, Any], where: str) -> Iterator[Cell]:
    """The cells of an ``include`` entry: a value or a list of values per field; labels of an axis stand for its values."""
    choices = []
    for field, given in extra.items():
        labelled = {value.label: value for value in axes.get(field, [])}
        values = given if isinstance(given, list) else [given]
        if not values:
            raise EchoLMError(f"{where}.{field}: needs at least one value")
        choices.append([labelled.get(_text(v)) or _axis_value(field, v, f"{where}.{field}") for v in values])
    for combination in itertools.product(*choices):
        coordinates = dict(zip(extra, (value.label for value in combination), strict=True))
        config = build([value.set for value in combination], coordinates)
        yield Cell(cell_id(config), coordinates, config)


class Builder:
    """Configurations from base and axis values; components are parsed once and shared by all cells.

    ``where`` names the file in errors.
    """

    def __init__(self, base: Mapping[str, Any], where: str) -> None:
        self._base, self._where = base, where
        self._parsed: dict[tuple[str, str], Any] = {}

    def __call__(self, settings: Iterable[Mapping[str, Any]], coordinates: Mapping[str, str]) -> FinetuneConfig | PretrainConfig:
        """The configuration of ``base`` with the dotted fields of all ``settings``; ``coordinates`` name it in errors."""
        shared = {field: self._share(field, value) for field, value in self.values(settings).items()}
        at = " ".join(f"{axis}={label}" for axis, label in coordinates.items())
        return parse_config(shared, f"{self._where}: cell {at}" if at else self._where)

    def values(self, settings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The same as plain data, as one would write it into a file."""
        values: dict[str, Any] = dict(self._base)
        for setting in settings:
            for field, value in setting.items():
                _assign(values, field.split("."), value, f"{self._where}: {field}")
        return values

    def _share(self, field: str, value: Any) -> Any:
        key = (field, repr(value))
        if key not in self._parsed:
            self._parsed[key] = _parse_field(field, value)
        return self._parsed[key]


def _parse_field(field: str, value: Any) -> Any:
    """A field's value parsed on its own, so that cells share the object; left as it is when that fails, for the
    whole configuration's validation to name the mistake."""
    adapter = _adapters().get(field)
    if adapter is None or field == "kind":
        return value
    try:
        return adapter.validate_python({"name": value} if field == "data" and isinstance(value, str) else value)
    except ValidationError:
        return value


@lru_cache(maxsize=1)
def _adapters() -> dict[str, Any]:
    from pydantic import TypeAdapter

    def form(field: FieldInfo) -> Any:
        return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation

    fields = {**PretrainConfig.model_fields, **FinetuneConfig.model_fields}
    return {name: TypeAdapter(form(field)) for name, field in fields.items()}


def axis_values(axis: str, values: list[Any], where: str) -> list[AxisValue]:
    """The values of an axis, each with its own label. EchoLMError: a field that no run has, a label given twice."""
    if axis in TAGS:
        raise EchoLMError(f"{where}: --where {axis}=... chooses by {axis}; give the axis another name")
    parsed = [_axis_value(axis, value, where) for value in values]
    for label, times in Counter(value.label for value in parsed).items():
        if times > 1:
            raise EchoLMError(f"{where}: two values are labelled {label!r}; give each its own: {{label: ..., set: {{{axis}: ...}}}}")
    return parsed


def _axis_value(axis: str, value: Any, where: str) -> AxisValue:
    if isinstance(value, dict) and set(value) == {"label", "set"}:
        try:
            parsed = AxisValue.model_validate(value)
        except ValidationError as error:
            raise EchoLMError(explain_validation(error, where)) from None
        for field in parsed.set:
            check_field(field, f"{where}: set.{field}")
        return parsed
    check_field(axis, where)
    label = value.get("name") if isinstance(value, dict) and isinstance(value.get("name"), str) else value
    try:
        return AxisValue(label=_text(label), set={axis: value})
    except ValidationError as error:
        raise EchoLMError(f"{explain_validation(error, where)}; give it a label: {{label: ..., set: {{{axis}: ...}}}}") from None


def check_field(field: str, where: str) -> None:
    """EchoLMError for a dotted name that does not begin with a field of a run."""
    if field.split(".")[0] not in FIELDS:
        raise EchoLMError(f"{where}: a run has no field {field!r}; {suggest(field, FIELDS)}, or values of the form {{label: ..., set: {{...}}}}")


def _check_rule(rule: dict[str, Any], axes: dict[str, list[AxisValue]], where: str) -> None:
    if not rule:
        raise EchoLMError(f"{where}: an empty rule would leave every cell out; valid: axis: label, or axis: [labels]")
    for axis, wanted in rule.items():
        if axis not in axes:
            raise EchoLMError(f"{where}: {axis!r} is not an axis; {suggest(axis, axes)}")
        labels = {value.label for value in axes[axis]}
        for text in _texts(wanted) - labels:
            raise EchoLMError(f"{where}: axis {axis} has no value {text!r}; {suggest(text, labels)}")


def _assign(values: dict[str, Any], path: list[str], value: Any, where: str) -> None:
    """Set a dotted field; a component given by its name becomes a mapping first."""
    head, *rest = path
    if not rest:
        values[head] = value
        return
    inner = values.get(head, {})
    inner = {"name": inner} if isinstance(inner, str) else inner
    if not isinstance(inner, dict):
        raise EchoLMError(f"{where}: {head} is {inner!r}, which has no fields of its own")
    inner = dict(inner)
    _assign(inner, rest, value, where)
    values[head] = inner


def _merged(a: Cell, b: Cell) -> Cell:
    tables = tuple(dict.fromkeys(a.tables + b.tables))
    return Cell(a.id, {**b.coordinates, **a.coordinates}, a.config, tables, tuple(dict.fromkeys(a.subgrids + b.subgrids)))


def _condition(text: str) -> tuple[str, set[str]]:
    axis, equals, labels = text.partition("=")
    if not equals or not labels:
        raise EchoLMError(f"--where {text!r}: write axis=label or axis=label,label")
    return axis.strip(), set(labels.split(","))


def _known(axis: str, label: str, known: set[str]) -> set[str]:
    """The labels that ``label`` stands for: itself, or those of a range; EchoLMError when one is not known."""
    if label in known:
        return {label}
    numbers = {own for own in known if own.isdecimal() and own == str(int(own))}
    match = RANGE.fullmatch(label)
    if match is None or not numbers:
        raise EchoLMError(f"--where {axis}={label}: no cell has it; {suggest(label, known)}")
    first, last = int(match[1]), int(match[2])
    found = {own for own in numbers if first <= int(own) <= last}
    if not found or len(found) <= last - first:
        from grid.copy import ranges

        raise EchoLMError(f"--where {axis}={label}: not all of them are there; valid: {ranges(map(int, numbers))}")
    return found


def _labels(cell: Cell, axis: str) -> set[str]:
    if axis == "subgrid":
        return set(cell.subgrids)
    if axis == "table":
        return set(cell.tables)
    return {cell.coordinates[axis]} if axis in cell.coordinates else set()


def _texts(value: Any) -> set[str]:
    return {_text(item) for item in (value if isinstance(value, list) else [value])}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
