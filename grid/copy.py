"""A grid's definition under a new name, with further seeds: the cells it had stay the same cells, and their runs count."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from echolm.config import load_yaml
from echolm.errors import EchoLMError
from echolm.record import write_atomic
from grid.definition import Grid, check_name, grid_of, load_grid

SEED = "seed"


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def copy_grid(source: Grid, target: Path, seeds: Sequence[int] | None = None) -> Grid:
    """Write ``source``'s definition to the new file ``target``, word for word or with ``seeds``; the new grid.

    EchoLMError when the file is there already, is not YAML by its name, or the grid has no axis of seeds.
    """
    if target.suffix not in (".yaml", ".yml"):
        raise EchoLMError(f"{target}: a grid is a YAML file; name it {target.name}.yaml")
    check_name(target)
    if target.exists():
        raise EchoLMError(f"{target}: is there already; choose another name, or edit that file")
    content = source.path.read_bytes()
    if seeds is not None:
        values = with_seeds(load_yaml(source.path), seeds, str(source.path))
        text = yaml.dump(values, Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=120)
        content = (_head(source.name, seeds) + text).encode()
        grid_of(values, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)
    except OSError as error:
        raise EchoLMError(f"{target}: cannot be written: {error.strerror or error}") from error
    return grid_of(load_yaml(target), target)


def copied(given: str, seeds: Iterable[int]) -> Grid:
    """The grid that ``copy_grid`` with ``seeds`` makes of one, as commands name it; nothing is written. EchoLMError as there."""
    source = load_grid(given)
    return grid_of(with_seeds(load_yaml(source.path), sorted(seeds), str(source.path)), source.path)


def seeds_of(grid: Grid, conditions: Iterable[str]) -> set[str]:
    """The seeds of its cells that meet all ``conditions`` (see ``Grid.where``)."""
    return {cell.coordinates.get(SEED, "") for cell in grid.where(conditions)}


def fixed(seeds: int) -> str:
    """Of cells of which a copy has no more seeds than the grid."""
    return f"by the grid's definition it has {seeds} {'seed' if seeds == 1 else 'seeds'}, which a copy with more seeds keeps"


def ranges(numbers: Iterable[int]) -> str:
    """``0-3,7`` of 0, 1, 2, 3, 7."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def copy_name(grid: str, seeds: Iterable[int]) -> str:
    """The file of a copy of ``grid`` with these seeds, as commands to type next name it: ``GRID-seeds-0-8.yaml``."""
    return f"{grid}-seeds-{ranges(seeds).replace(',', '_')}.yaml"


def is_copied(grid: str, seeds: Iterable[int]) -> bool:
    """Whether ``copy_name`` is there already, as ``copy_grid`` writes it."""
    path = Path(copy_name(grid, seeds))
    return path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(_head(grid, seeds))


def _head(grid: str, seeds: Iterable[int]) -> str:
    return f"# {grid} with the seeds {ranges(seeds)}\n"


def with_seeds(values: Mapping[str, Any], seeds: Sequence[int], where: str) -> dict[str, Any]:
    """A grid file's content with other seeds on its axes ``seed``.

    An axis of one seed stays where others have several: a block such as a baseline, which draws nothing, has a reason.
    """
    new = copy.deepcopy(dict(values))
    axes = [block["axes"] for block in _blocks(new) if isinstance(block.get("axes"), dict) and SEED in block["axes"]]
    if not axes:
        raise EchoLMError(f"{where}: has no axis 'seed'; copy it without --seeds and add one")
    for one in [one for one in axes if len(one[SEED]) > 1] or axes:
        one[SEED] = list(seeds)
    return new


def _blocks(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield values
    yield from (block for block in (values.get("subgrids") or {}).values() if isinstance(block, dict))
