"""From the blocks of a grid file to cells, each with its configuration."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from echolm.config import (
    COMPONENTS,
    FinetuneConfig,
    PretrainConfig,
    parse_config,
    whole_batch_reason,
)
from echolm.errors import EchoLMError
from echolm.identity import cell_id
from echolm.kept_weights import Keep
from echolm.text import suggest
from grid.definition.labels import label_text
from grid.definition.schema import (
    AxisValue,
    BlockResources,
    GridBlock,
    GridDefinition,
    axis_value,
    axis_values,
    with_ranges,
)
from grid.definition.stages import StageWeights, check_begins_from
from grid.definition.tables import SEED, coordinates_text


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Args:
        id: the cell id, which its configuration gives.
        coordinates: axis -> label.
        config: the run's configuration.
        tables: the tables it belongs to.
        subgrids: the named blocks it belongs to.
        resources: what its blocks ask for.
        upstream: the cell of the grid whose weights it begins with.
    """

    id: str
    coordinates: dict[str, str]
    config: FinetuneConfig | PretrainConfig
    tables: tuple[str, ...] = ()
    subgrids: tuple[str, ...] = ()
    resources: BlockResources = BlockResources()
    upstream: Cell | None = None

    @property
    def places(self) -> dict[str, str]:
        """Where it lies: its labels, with those of its setting where the seed is the only axis."""
        return located(self.coordinates, self.config)


def located(
    coordinates: Mapping[str, str], config: FinetuneConfig | PretrainConfig
) -> dict[str, str]:
    """Return labels of a cell by axis. Where the seed is the only axis, its setting has labels too.

    These are its encoder, and of fine-tuning what trains in it, and the head.
    """
    if coordinates.keys() - {SEED}:
        return dict(coordinates)
    setting = {"encoder": config.encoder.name}
    if isinstance(config, FinetuneConfig):
        setting["trainable"] = str(config.trainable)
        setting["head"] = config.head.name
    return {**setting, **coordinates}


def expand(definition: GridDefinition, path: Path) -> list[Cell]:
    """Return the cells of all blocks, each once, in the order of the definition.

    Args:
        definition: the grid's file.
        path: names the file in errors.

    Raises:
        EchoLMError: a block names what does not exist, two cells have the same labels, or there is
            no cell.
    """
    blocks = _Blocks(definition, path)
    cells: dict[str, Cell] = {}
    for name in blocks.names:
        for cell in blocks.cells(name):
            if cell.id in cells:
                cells[cell.id] = _merge(cells[cell.id], cell)
            else:
                cells[cell.id] = cell
    if not cells:
        raise EchoLMError(f"{path}: no cells; every combination of the axes is excluded")
    return _with_upstreams(cells, path)


class _Blocks:
    """The blocks of a grid file, each made into cells once.

    One whose weights are those of another block is made after that one, wherever it is written.
    """

    def __init__(self, definition: GridDefinition, path: Path) -> None:
        self._definition = definition
        self._path = path
        self._blocks = _blocks(definition)
        self._cells: dict[str, list[Cell]] = {}
        self._begun: list[str] = []
        """Blocks that are being made, each for the one before it."""

    @property
    def names(self) -> list[str]:
        """The names of the blocks, in the file's order."""
        return list(self._blocks)

    def cells(self, name: str) -> list[Cell]:
        """Return the cells of a block.

        Raises:
            EchoLMError: it is not valid, or begins from itself.
        """
        if name in self._begun:
            circle = [*self._begun[self._begun.index(name) :], name]
            raise EchoLMError(
                f"{self._path}: subgrids {' -> '.join(circle)}: their weights are those of each "
                "other in a circle, so none could be trained first"
            )
        if name not in self._cells:
            self._begun.append(name)
            self._cells[name] = self._make(name)
            self._begun.pop()
        return self._cells[name]

    def _make(self, name: str) -> list[Cell]:
        block = self._blocks[name]
        where = f"{self._path}: subgrids.{name}" if name else str(self._path)
        _check_tables_exist(block, self._definition, where)
        stages = StageWeights(self.cells, self.names, where)
        base = {**self._definition.base, **block.base}
        build = Builder(base, where, typed=True, stages=stages)
        resources = block.resources.over(self._definition.resources)
        ids: dict[tuple[tuple[str, str], ...], str] = {}
        seen: dict[str, Cell] = {}
        cells = []
        for cell in _block_cells(block, name, build, where):
            labels = tuple(sorted(cell.coordinates.items()))
            if ids.setdefault(labels, cell.id) != cell.id:
                raise EchoLMError(
                    f"{where}: two different cells have the labels "
                    f"{coordinates_text(cell)}; give one {{label: ..., set: {{...}}}}"
                )
            _refuse_one_cell_twice(seen.setdefault(cell.id, cell), cell, where)
            _refuse_split_batch(cell, resources, where)
            cells.append(replace(cell, resources=resources))
        return cells


def _refuse_split_batch(cell: Cell, resources: BlockResources, where: str) -> None:
    """Refuse several ranks for a cell that trains on statistics over its whole batch."""
    ranks = resources.gpus or resources.ranks or 1
    reason = whole_batch_reason(cell.config)
    if ranks > 1 and reason:
        raise EchoLMError(
            f"{where}: cell {coordinates_text(cell) or cell.id}: {reason} needs its whole batch on "
            f"one device, and its resources are {ranks} ranks; valid: gpus: 1, in a subgrid of its "
            "own where others want more"
        )


def _with_upstreams(cells: Mapping[str, Cell], path: Path) -> list[Cell]:
    """Return the cells, each with the cell of the grid whose weights it begins with.

    Raises:
        EchoLMError: such weights could not be loaded.
    """
    finished: dict[str, Cell] = {}

    def finish(cell: Cell) -> Cell:
        if cell.id not in finished:
            weights = cell.config.weights
            upstream = cells.get(weights.value) if weights.source == "run" else None
            if upstream is not None:
                check_begins_from(cell.config, upstream.config, f"{path}: cell {cell.id}")
                _check_is_kept(cell, upstream, path)
                upstream = finish(upstream)
            finished[cell.id] = replace(cell, upstream=upstream)
        return finished[cell.id]

    return [finish(cell) for cell in cells.values()]


def _check_is_kept(cell: Cell, upstream: Cell, path: Path) -> None:
    """Refuse weights that a block of this file says are not kept."""
    if upstream.resources.keep != Keep.NONE:
        return
    raise EchoLMError(
        f"{path}: cell {cell.id} ({coordinates_text(cell)}) begins with the weights of cell "
        f"{upstream.id} ({coordinates_text(upstream)}), whose block says keep: none; write "
        "resources: {keep: best} in that block"
    )


def _refuse_one_cell_twice(first: Cell, second: Cell, where: str) -> None:
    """Refuse two values of an axis that give one cell: the second would be lost without a word.

    Equal cells with other axes are no mistake: an entry of ``include`` may name a field that is not
    an axis.
    """
    if first.coordinates == second.coordinates or first.coordinates.keys() != (
        second.coordinates.keys()
    ):
        return
    differing = []
    for axis, label in second.coordinates.items():
        if first.coordinates[axis] != label:
            differing.append(f"axes.{axis}: {first.coordinates[axis]} and {label}")
    raise EchoLMError(
        f"{where}: {'; '.join(differing)} give one and the same cell, {second.id}: their runs have "
        "the same configuration; leave one out"
    )


def _blocks(definition: GridDefinition) -> dict[str, GridBlock]:
    """Return the blocks by name. The grid's own block, if it is one, has the name ''."""
    blocks: dict[str, GridBlock] = {}
    says_cells = definition.axes or definition.include or definition.exclude
    if says_cells or not definition.subgrids:
        # Its fields `base` and `tables` are for all blocks.
        blocks[""] = GridBlock(
            axes=definition.axes,
            exclude=definition.exclude,
            include=definition.include,
            tables=list(definition.tables),
        )
    blocks.update(definition.subgrids)
    return blocks


def _check_tables_exist(block: GridBlock, definition: GridDefinition, where: str) -> None:
    for table in block.tables:
        if table not in definition.tables:
            raise EchoLMError(
                f"{where}: tables: {table!r} is not defined; {suggest(table, definition.tables)}"
            )


def _block_cells(block: GridBlock, name: str, build: Builder, where: str) -> Iterator[Cell]:
    axes: dict[str, list[AxisValue]] = {}
    for axis, values in block.axes.items():
        axes[axis] = axis_values(axis, values, f"{where}: axes.{axis}")
    exclusions: list[dict[str, set[str]]] = []
    for number, rule in enumerate(block.exclude):
        exclusions.append(_exclusion(rule, axes, f"{where}: exclude[{number}]"))
    tables = tuple(block.tables)
    subgrids = (name,) if name else ()

    def cell(values: Mapping[str, AxisValue]) -> Cell:
        coordinates = {axis: value.label for axis, value in values.items()}
        config = build([value.set for value in values.values()], coordinates)
        return Cell(cell_id(config), coordinates, config, tables, subgrids)

    for combination in _combinations(axes):
        if not any(_is_excluded(combination, exclusion) for exclusion in exclusions):
            yield cell(combination)
    for number, entry in enumerate(block.include):
        choices = _include_choices(entry, axes, f"{where}: include[{number}]")
        for combination in _combinations(choices):
            yield cell(combination)


def _combinations(choices: Mapping[str, Sequence[AxisValue]]) -> Iterator[dict[str, AxisValue]]:
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _exclusion(
    rule: Mapping[str, Any], axes: Mapping[str, Sequence[AxisValue]], where: str
) -> dict[str, set[str]]:
    """Return the labels that a rule of ``exclude`` names, by axis."""
    if not rule:
        raise EchoLMError(
            f"{where}: an empty rule would leave every cell out; valid: axis: label, "
            "or axis: [labels]"
        )
    exclusion: dict[str, set[str]] = {}
    for axis, values in rule.items():
        if axis not in axes:
            raise EchoLMError(f"{where}: {axis!r} is not an axis; {suggest(axis, axes)}")
        known_labels = {value.label for value in axes[axis]}
        labels = [label_text(value) for value in _listed(axis, values, where)]
        for label in labels:
            if label not in known_labels:
                raise EchoLMError(
                    f"{where}: axis {axis} has no value {label!r}; {suggest(label, known_labels)}"
                )
        exclusion[axis] = set(labels)
    return exclusion


def _is_excluded(values: Mapping[str, AxisValue], exclusion: Mapping[str, set[str]]) -> bool:
    return all(values[axis].label in labels for axis, labels in exclusion.items())


def _include_choices(
    entry: Mapping[str, Any], axes: Mapping[str, Sequence[AxisValue]], where: str
) -> dict[str, list[AxisValue]]:
    """Return the values of each field that an entry of ``include`` names.

    A field has one value or a list of them. A label of an axis stands for the axis's value.
    """
    choices: dict[str, list[AxisValue]] = {}
    for field, content in entry.items():
        values = _listed(field, content, where)
        if not values:
            raise EchoLMError(f"{where}.{field}: needs at least one value")
        by_label = {value.label: value for value in axes.get(field, ())}
        choices[field] = []
        for value in values:
            labelled = by_label.get(label_text(value))
            choices[field].append(labelled or axis_value(field, value, f"{where}.{field}"))
    return choices


def _listed(axis: str, values: Any, where: str) -> list[Any]:
    """Return one value or a list of them as a list, with ranges of seeds spelled out."""
    try:
        values = with_ranges(axis, values)
    except ValueError as error:
        raise EchoLMError(f"{where}: {error}") from None
    return values if isinstance(values, list) else [values]


def _merge(first: Cell, second: Cell) -> Cell:
    """Return one cell of two blocks' equal cells. Where both name an axis, the first one counts."""
    return Cell(
        id=first.id,
        coordinates={**second.coordinates, **first.coordinates},
        config=first.config,
        tables=tuple(dict.fromkeys(first.tables + second.tables)),
        subgrids=tuple(dict.fromkeys(first.subgrids + second.subgrids)),
        resources=first.resources.joined(second.resources),
    )


class Builder:
    """Make configurations from base and axis values.

    Components are parsed once and shared by all cells.

    Args:
        base: the fields that all cells share.
        where: names the file in errors.
        typed: a person wrote them (see ``parse_config``).
        stages: of a grid, what its weights may refer to.
    """

    def __init__(
        self,
        base: Mapping[str, Any],
        where: str,
        typed: bool = False,
        stages: StageWeights | None = None,
    ) -> None:
        self._base = base
        self._stages = stages
        self._where = where
        self._typed = typed
        self._parsed: dict[tuple[str, str], Any] = {}

    def __call__(
        self, settings: Iterable[Mapping[str, Any]], coordinates: Mapping[str, str]
    ) -> FinetuneConfig | PretrainConfig:
        """Return the configuration of ``base`` with the dotted fields of all ``settings``.

        Args:
            settings: dotted field -> value. A later one wins.
            coordinates: name the cell in errors.
        """
        shared: dict[str, Any] = {}
        values = self.values(settings)
        if self._stages:
            values = self._stages.resolved(values)
        for field, value in values.items():
            shared[field] = self._share(field, value)
        labels = " ".join(f"{axis}={label}" for axis, label in coordinates.items())
        where = f"{self._where}: cell {labels}" if labels else self._where
        return parse_config(shared, where, self._typed)

    def values(self, settings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the same as plain data, as one would write it into a file."""
        values: dict[str, Any] = dict(self._base)
        for setting in settings:
            for field, value in setting.items():
                path = field.split(".")
                if len(path) > 1 and path[0] in _default_components():
                    values.setdefault(path[0], _default_components()[path[0]])
                _assign(values, path, value, f"{self._where}: {field}")
        return values

    def _share(self, field: str, value: Any) -> Any:
        key = (field, repr(value))
        if key not in self._parsed:
            self._parsed[key] = _parse_field(field, value)
        return self._parsed[key]


def _parse_field(field: str, value: Any) -> Any:
    """Parse a field's value on its own, so that cells share the object.

    A value that cannot be parsed stays as it is: the validation of the whole configuration names
    the mistake.
    """
    adapter = _adapters().get(field)
    if adapter is None or field == "kind":
        return value
    content = value
    if field == "data" and isinstance(value, str):
        content = {"name": value}
    try:
        return adapter.validate_python(content)
    except ValidationError:
        return value


@lru_cache(maxsize=1)
def _adapters() -> dict[str, TypeAdapter[Any]]:
    """Return what parses each field of a run."""
    adapters: dict[str, TypeAdapter[Any]] = {}
    fields = {**PretrainConfig.model_fields, **FinetuneConfig.model_fields}
    for name, field in fields.items():
        form: Any = field.annotation
        if field.metadata:
            form = Annotated[(field.annotation, *field.metadata)]
        adapters[name] = TypeAdapter(form)
    return adapters


@lru_cache(maxsize=1)
def _default_components() -> dict[str, str]:
    """Return the component that each field of a run has where it is not written, by name."""
    return {
        name: field.default
        for name, field in FinetuneConfig.model_fields.items()
        if name in COMPONENTS and isinstance(field.default, str)
    }


def _assign(values: dict[str, Any], path: Sequence[str], value: Any, where: str) -> None:
    """Set a dotted field. A component given by its name becomes a mapping first."""
    head, *rest = path
    if not rest:
        values[head] = value
        return
    inner = values.get(head, {})
    if isinstance(inner, str):
        inner = {"name": inner}
    if not isinstance(inner, dict):
        raise EchoLMError(f"{where}: {head} is {inner!r}, which has no fields of its own")
    inner = dict(inner)  # the base is shared by all cells
    _assign(inner, rest, value, where)
    values[head] = inner
