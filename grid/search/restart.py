"""Starting a search again under its name, when it has no complete trial to lose."""

from __future__ import annotations

from pathlib import Path

from echolm.errors import EchoLMError
from echolm.files import writing
from echolm.states import RunState
from echolm.text import counted
from echolm.workspace import Workspace
from grid.search.definition import Search
from grid.search.folder import changed_parts, folder_of, read_search
from grid.search.results import trial_summaries
from grid.search.study import JOURNAL, Study

JOBS = "jobs"
"""What stays in its place: SLURM jobs that wait find their batch there.

See cluster/slurm/search.py.
"""


def make_room(search: Search, workspace: Workspace) -> Path | None:
    """Move a search of this name aside that was another one and has no complete trial.

    Nothing of it is lost: it is a search of its own then, ``NAME-earlier-1``.

    Args:
        search: what is about to be started.
        workspace: where its folder lies.

    Returns:
        Where the earlier search lies now. None when there is none, or it goes on.

    Raises:
        EchoLMError: the earlier search has a complete trial, or one that somebody runs.
    """
    folder = folder_of(search.name, workspace)
    changed = changed_parts(search, folder)
    if not changed:
        return None
    trials = []
    if (folder / JOURNAL).exists():
        earlier = read_search(folder)
        trials = trial_summaries(Study(earlier, folder, make=True), folder)
    states = [trial.state for trial in trials]
    what = f"{search.where}: {', '.join(changed)}: not what search {search.name} was started with"
    if complete := states.count(RunState.COMPLETE):
        raise EchoLMError(
            f"{what} ({folder}), which has {counted(complete, 'complete trial')}; give the file "
            "another name, or move the folder away to start again"
        )
    if running := states.count(RunState.RUNNING):
        raise EchoLMError(
            f"{what} ({folder}), and {counted(running, 'trial')} of it still run; stop what runs "
            "them, and type the command again"
        )
    return _move_aside(folder)


def _move_aside(folder: Path) -> Path:
    """Rename a search's folder, and return its new path."""
    number = 1
    while folder.with_name(f"{folder.name}-earlier-{number}").exists():
        number += 1
    aside = folder.with_name(f"{folder.name}-earlier-{number}")
    with writing(folder):
        folder.rename(aside)
        if (aside / JOBS).exists():
            folder.mkdir()
            (aside / JOBS).rename(folder / JOBS)
    return aside
