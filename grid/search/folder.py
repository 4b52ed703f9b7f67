"""The folder of a search: ``<workspace>/searches/<name>``.

::

    search.json      the definition as it was started
    study.journal    the trials (Optuna's journal file, see grid/search/study.py)
    ask, ask.lock    held while a trial is added
    runs/            the records of the trials, as in a workspace's own ``runs``
    workers/         a log of each worker process

Trials have records of their own, apart from the workspace's: theirs hold no result of the test
split, and no grid may take them for its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import read_json, write_atomic, writing
from echolm.text import suggest
from echolm.workspace import Workspace
from grid.search.definition import Search, parse_search

FILE = "search.json"


def folder_of(name: str, workspace: Workspace) -> Path:
    """Return the folder of the search called ``name``. It need not exist."""
    return workspace.searches / name


def workspace_of(folder: Path) -> Workspace:
    """Return the workspace that a search's folder lies in."""
    return Workspace(folder.parent.parent)


def start_search(search: Search, workspace: Workspace) -> Path:
    """Make the folder of a search, or continue in it, and return it.

    Raises:
        EchoLMError: the search was started with another definition.
    """
    folder = folder_of(search.name, workspace)
    path = folder / FILE
    if path.exists():
        if changed := changed_parts(search, folder):
            raise EchoLMError(
                f"{search.where}: {', '.join(changed)}: not what search {search.name} was started "
                f"with ({path}); give the file another name, or move the folder away to start again"
            )
        return folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(search.plain(), indent=1).encode())
    return folder


def _with_weights(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a definition with the weights that an earlier version took where none were written."""
    return {**plain, "base": {"weights": "random", **plain["base"]}}


def changed_parts(search: Search, folder: Path) -> list[str]:
    """Return the parts of a definition that are not those a search was started with.

    The title may change at any time.

    Args:
        search: the definition.
        folder: the search's folder. Nothing has changed where no search was started.
    """
    if not (folder / FILE).exists():
        return []
    stored = _with_weights(read_search(folder).plain())
    changed = []
    for part, value in _with_weights(search.plain()).items():
        if part != "title" and stored.get(part) != value:
            changed.append(part)
    return changed


def read_search(folder: Path) -> Search:
    """Read the search of a folder."""
    try:
        values = read_json(folder / FILE, "space")
    except FileNotFoundError:
        raise EchoLMError(
            f"{folder}: holds no {FILE}: no search was started there; type",
            _start_command("SPACE"),
        ) from None
    return parse_search(values, folder.name, str(folder / FILE))


def find_search(name: str, workspace: Workspace) -> Path:
    """Return the folder of a started search, by its name or the path of its file."""
    is_file = name.endswith((".yaml", ".yml"))
    plain = Path(name).stem if is_file else name
    started = sorted(path.parent.name for path in workspace.searches.glob(f"*/{FILE}"))
    if plain not in started:
        raise EchoLMError(
            f"search {plain!r} was never started in {workspace.root}; {suggest(plain, started)}. "
            "Type",
            _start_command(name),
        )
    return folder_of(plain, workspace)


def _start_command(space: str) -> Command:
    return Command("search", space, options=("--trials", "N"))
