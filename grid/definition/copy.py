"""A grid's definition under a new name, with further seeds.

The cells it had stay the same cells, and their runs count.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError
from echolm.files import write_atomic
from echolm.text import counted, ranges
from echolm.yaml_files import dump_yaml, load_yaml, without_schema
from grid.definition.grid import Grid, check_name, grid_of, load_grid
from grid.definition.schema import with_ranges
from grid.definition.tables import SEED


def copy_grid(source: Grid, target: Path, seeds: Sequence[int] | None = None) -> Grid:
    """Write ``source``'s definition to a new file and return the new grid.

    Args:
        source: the grid to copy.
        target: the new file.
        seeds: the seeds of the new grid. Without them the definition is copied word for word.

    Raises:
        EchoLMError: the file is there already or is not YAML by its name, or the grid has no axis
            of seeds.
    """
    if target.suffix not in (".yaml", ".yml"):
        raise EchoLMError(f"{target}: a grid is a YAML file; name it {target.name}.yaml")
    check_name(target)
    if target.exists():
        raise EchoLMError(f"{target}: is there already; choose another name, or edit that file")
    content = without_schema(source.path.read_bytes().decode()).encode()
    if seeds is not None:
        values = with_seeds(load_yaml(source.path), seeds, str(source.path))
        grid_of(values, target)  # a definition that is not valid is not written
        content = (_head(source.name, seeds) + dump_yaml(values)).encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)
    except OSError as error:
        raise EchoLMError(f"{target}: cannot be written: {error.strerror or error}") from error
    return grid_of(load_yaml(target), target)


def copied(given: str, seeds: Iterable[int]) -> Grid:
    """Return the grid that ``copy_grid`` with ``seeds`` makes of one. Nothing is written.

    Args:
        given: the grid as commands name it.
        seeds: the seeds of the new grid.

    Raises:
        EchoLMError: as for ``copy_grid``.
    """
    source = load_grid(given)
    values = with_seeds(load_yaml(source.path), sorted(seeds), str(source.path))
    return grid_of(values, source.path)


def seeds_of(grid: Grid, conditions: Iterable[str]) -> set[str]:
    """Return the seeds of its cells that meet all ``conditions`` (see ``Grid.where``)."""
    return {cell.coordinates.get(SEED, "") for cell in grid.where(conditions)}


def fixed(seeds: int) -> str:
    """Explain why a copied grid keeps the number of seeds of some cells."""
    return (
        f"by the grid's definition it has {counted(seeds, 'seed')}, "
        "which a copy with more seeds keeps"
    )


def copy_name(grid: str, seeds: Iterable[int]) -> str:
    """Return the file of a copy of ``grid`` with these seeds, as commands to type next name it.

    For example ``GRID-seeds-0-8.yaml``.
    """
    return f"{grid}-seeds-{ranges(seeds).replace(',', '_')}.yaml"


def is_copied(grid: str, seeds: Iterable[int]) -> bool:
    """Return whether ``copy_name`` is there already, as ``copy_grid`` writes it."""
    path = Path(copy_name(grid, seeds))
    if not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return text.startswith(_head(grid, seeds))


def _head(grid: str, seeds: Iterable[int]) -> str:
    return f"# {grid} with the seeds {ranges(seeds)}\n"


def with_seeds(values: Mapping[str, Any], seeds: Sequence[int], where: str) -> dict[str, Any]:
    """Return a grid file's content with other seeds on its axes ``seed``.

    An axis of one seed stays where others have several: a block such as a baseline, which draws
    nothing, has a reason.

    Args:
        values: the content of the file.
        seeds: the seeds of the new grid.
        where: names the file in errors.

    Raises:
        EchoLMError: there is no axis of seeds.
    """
    new = copy.deepcopy(dict(values))
    axes = []
    for block in _blocks(new):
        block_axes = block.get("axes")
        if isinstance(block_axes, dict) and SEED in block_axes:
            axes.append(block_axes)
    if not axes:
        raise EchoLMError(f"{where}: has no axis 'seed'; copy it without --seeds and add one")
    of_several_seeds = []
    for block_axes in axes:
        if len(with_ranges(SEED, block_axes[SEED])) > 1:
            of_several_seeds.append(block_axes)
    for block_axes in of_several_seeds or axes:
        block_axes[SEED] = _axis_of_seeds(block_axes[SEED], seeds, where)
    return new


def _axis_of_seeds(values: Any, seeds: Sequence[int], where: str) -> list[Any]:
    """Return the values of an axis of seeds for other seeds.

    Values with a label set further fields, such as the weights of the pretraining of that seed.
    Each new one sets the same fields, with its own number in the place of the seed's.
    """
    first, *others = with_ranges(SEED, values)
    if not any(isinstance(value, dict) for value in (first, *others)):
        return list(seeds)
    number = _seed_set(first)
    if not others and first != {"label": str(number), "set": {SEED: number}}:
        raise EchoLMError(
            f"{where}: axes.seed: its one value sets further fields, and one does not tell which "
            "of them follow the seed; copy it without --seeds and add others"
        )
    for other in others:
        if number is None or _for_seed(first, number, _seed_set(other)) != other:
            raise EchoLMError(
                f"{where}: axes.seed: what its values set differs by more than the seed's number, "
                "so further seeds cannot be made of it; copy it without --seeds and add them"
            )
    return [_for_seed(first, number, seed) for seed in seeds]


def _seed_set(value: Any) -> int | None:
    """Return the seed that a value with a label sets."""
    settings = value.get("set") if isinstance(value, dict) else None
    seed = settings.get(SEED) if isinstance(settings, dict) else None
    return seed if isinstance(seed, int) else None


def _for_seed(value: Any, seed: int | None, new: int | None) -> Any:
    """Return a value with one seed's number replaced, also where it is a text."""
    if isinstance(value, dict):
        return {name: _for_seed(part, seed, new) for name, part in value.items()}
    if isinstance(value, list):
        return [_for_seed(part, seed, new) for part in value]
    if value == seed and isinstance(value, int) and not isinstance(value, bool):
        return new
    return str(new) if value == str(seed) else value


def _blocks(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the grid itself, which is a block, and its subgrids."""
    subgrids = (values.get("subgrids") or {}).values()
    return [values, *(block for block in subgrids if isinstance(block, dict))]
