"""What a shell is offered while a command is typed: grids, cells, ``AXIS=LABEL``, components.

What goes wrong while a name is looked up completes nothing: the command itself will say it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from echolm.errors import EchoLMError
from echolm.workspace import Workspace

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(names: Callable[[click.Context], Iterable[str]], files: bool = False) -> Completer:
    """Return what completes one of these names, or a file."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            known = sorted(set(names(context)))
        except (EchoLMError, OSError):
            known = []
        items = [CompletionItem(name) for name in known if name.startswith(incomplete)]
        if files:
            items.append(CompletionItem(incomplete, type="file"))
        return items

    return complete


def _workspace(context: click.Context) -> Workspace:
    """Return the workspace that the words so far name."""
    named = context.find_root().params.get("workspace") or context.params.get("workspace")
    return Workspace(Path(named).absolute()) if named else Workspace.default()


def _grids(context: click.Context) -> list[str]:
    from grid.definition.grid import shipped_grids

    return list(shipped_grids())


def _kinds(context: click.Context) -> list[str]:
    from grid.components import kinds

    return kinds()


def _components(context: click.Context) -> list[str]:
    from grid.components import list_components

    return [facts["name"] for facts in list_components(context.params.get("kind") or "")]


def _cells(context: click.Context) -> list[str]:
    return [folder.name for folder in _workspace(context).runs.iterdir() if folder.is_dir()]


def _cells_and_grids(context: click.Context) -> list[str]:
    try:
        cells = _cells(context)
    except OSError:  # no workspace yet
        cells = []
    return [*cells, *_grids(context)]


def _weights(context: click.Context) -> list[str]:
    from echolm.encoders import ENCODERS

    return ENCODERS.names()


def _conditions(context: click.Context) -> list[str]:
    """Return ``AXIS=LABEL`` of the grid that was typed before."""
    from grid.definition.grid import load_grid

    # While an option has no value yet, click has not read the arguments before it.
    words = [word for word in context.args if not word.startswith("-")]
    name = context.params.get("grid_name") or next(iter(words), "")
    if not name:
        return []
    conditions: dict[str, Any] = {}
    for cell in load_grid(name).cells:
        for axis, label in cell.coordinates.items():
            conditions[f"{axis}={label}"] = None
        for subgrid in cell.subgrids:
            conditions[f"subgrid={subgrid}"] = None
        for table in cell.tables:
            conditions[f"table={table}"] = None
    return list(conditions)


def _searches(context: click.Context) -> list[str]:
    from grid.search.definition import shipped_searches

    return list(shipped_searches())


def _choices(context: click.Context) -> list[str]:
    """Return the fields of the dataset that was typed before, each with its ``=``."""
    from echolm.datasets import DATASETS

    # While an option has no value yet, click has not read the arguments before it.
    words = [word for word in context.args if not word.startswith("-")]
    name = next(iter(words), "")
    typed = context.params.get("dataset")
    dataset = type(typed) if typed else DATASETS.get(name)
    return [f"{field}=" for field in dataset.model_fields if field != "name"]


def _clip_rules(context: click.Context) -> list[str]:
    """Return the names of clip rules. Those with a number are completed up to it."""
    from echolm.stores.sampling import NUMBERED, SAMPLING_RULES

    return [*SAMPLING_RULES.names(), *(f"{kind}-" for kind in NUMBERED)]


complete_grid = _completer(_grids, files=True)
complete_where = _completer(_conditions)
complete_cell = _completer(_cells)
complete_cell_or_grid = _completer(_cells_and_grids, files=True)
complete_cell_or_file = _completer(_cells, files=True)
complete_kind = _completer(_kinds)
complete_component = _completer(_components)
complete_encoder = _completer(_weights)
complete_search = _completer(_searches, files=True)
complete_choice = _completer(_choices)
complete_clip_rule = _completer(_clip_rules)
