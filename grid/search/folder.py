"""The folder of a search: ``<workspace>/searches/<name>``.

::

    search.json      the definition as it was started
    study.journal    the trials (Optuna's journal file; see grid/search/study.py)
    ask, ask.lock    held while a trial is added
    runs/            the records of the trials, as in a workspace's own ``runs``
    workers/         a log of each worker process

Trials have records of their own, apart from the workspace's: theirs hold no result of the test split, and no grid may
take them for its own.
"""

from __future__ import annotations

import json
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.record import read_json, write_atomic, writing
from echolm.registry import suggest
from echolm.workspace import Workspace
from grid.search.definition import Search, parse_search

FILE = "search.json"


def folder_of(name: str, workspace: Workspace) -> Path:
    """The folder of the search called ``name``; it need not exist."""
    return workspace.searches / name


def workspace_of(folder: Path) -> Workspace:
    """The workspace that a search's folder lies in."""
    return Workspace(folder.parent.parent)


def start_search(search: Search, workspace: Workspace) -> Path:
    """Make the folder of a search, or continue in it. EchoLMError when it was started with another definition."""
    folder = folder_of(search.name, workspace)
    path, content = folder / FILE, search.plain()
    if path.exists():
        stored = read_search(folder).plain()
        changed = [part for part in content if part != "title" and stored.get(part) != content[part]]
        if changed:
            raise EchoLMError(
                f"{search.where}: {', '.join(changed)}: not what search {search.name} was started with ({path}); give the file"
                " another name, or move the folder away to start again"
            )
        return folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, indent=1).encode())
    return folder


def read_search(folder: Path) -> Search:
    """The search of a folder."""
    try:
        values = read_json(folder / FILE, "space")
    except FileNotFoundError:
        raise EchoLMError(f"{folder}: holds no {FILE}: no search was started there; type: echolm search SPACE --trials N") from None
    return parse_search(values, folder.name, str(folder / FILE))


def find_search(name: str, workspace: Workspace) -> Path:
    """The folder of a started search, by its name or the path of its file."""
    plain = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    started = sorted(path.parent.name for path in workspace.searches.glob(f"*/{FILE}"))
    if plain not in started:
        raise EchoLMError(f"search {plain!r} was never started in {workspace.root}; {suggest(plain, started)}. Type: echolm search {name} --trials N")
    return folder_of(plain, workspace)
