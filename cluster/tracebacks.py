"""The same traceback in several cells stops a grid: what ends three cells will end three hundred.

``grids/<grid>/tracebacks/<digest>/<cell>`` is an empty file, made when the cell failed and removed
by ``echolm retry``. ``text`` beside it is the traceback, written before the first of them. Where it
is lost all the same, the cells still count: the digest says that their error is one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from echolm.files import write_atomic, writing
from echolm.record import find_records
from echolm.states import FailureClass, RunState
from echolm.workspace import Workspace

LIMIT = 3
"""Cells that one traceback may end."""
OF_ONE_CELL = frozenset({FailureClass.DIVERGED, FailureClass.CANCELLED, FailureClass.SUPERSEDED})
"""Failure classes that say something of their cell alone: their tracebacks do not count."""
SHOWN = 4
"""Cells that the sentence names."""


def note_failures(workspace: Workspace, grid: str, cells: Iterable[str]) -> None:
    """Remember the tracebacks of those of the cells that failed. Raises StorageError."""
    folder = workspace.grids / grid / "tracebacks"
    for cell in cells:
        for record in find_records(workspace.runs, cell)[:1]:
            event = record.state().evidence
            if event.get("event") == RunState.FAILED and event.get("class") not in OF_ONE_CELL:
                _note(folder, cell, str(event.get("traceback") or event.get("error")))


def _note(folder: Path, cell: str, text: str) -> None:
    """Note that a traceback ended a cell."""
    error = folder / digest(text)
    with writing(error):
        error.mkdir(parents=True, exist_ok=True)
    if not (error / "text").exists():
        write_atomic(error / "text", text.encode())
    with writing(error / cell) as path:
        path.touch()


def clear(workspace: Workspace, grid: str, cells: Iterable[str]) -> None:
    """Remove what was noted of cells that are to run again."""
    for cell in cells:
        for path in (workspace.grids / grid / "tracebacks").glob(f"*/{cell}"):
            path.unlink(missing_ok=True)


def stop_reason(workspace: Workspace, grid: str) -> str:
    """Return the one sentence that says why nothing more is started, or ''."""
    for error in sorted((workspace.grids / grid / "tracebacks").glob("*")):
        cells = _cells(error)
        if len(cells) >= LIMIT:
            ended = ", ".join(cell[:8] for cell in cells[:SHOWN])
            more = ", ..." if len(cells) > SHOWN else ""
            return (
                f"the same error ended {len(cells)} cells ({ended}{more}) and nothing more is"
                f" started: {_error_line(_lines(error))}"
            )
    return ""


def _cells(error: Path) -> list[str]:
    """Return the cells that an error has ended, in order."""
    names = [path.name for path in error.iterdir()]
    return sorted(name for name in names if name != "text" and not name.startswith("."))


def _lines(error: Path) -> list[str]:
    """Return the lines of the traceback that was noted, or none where it cannot be read."""
    try:
        text = (error / "text").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.strip().splitlines()


def digest(traceback: str) -> str:
    """Return 16 digits that are equal for tracebacks of one error type at one place.

    Messages, and paths before the package, may differ.
    """
    frames = re.findall(r'File ".*?([^/"]+/[^/"]+)", line (\d+), in (\S+)', traceback)
    lines = []
    for line in traceback.strip().splitlines():
        if line and not line.startswith((" ", "traceback of rank")):
            lines.append(line)
    kind = _error_line(lines).partition(":")[0]
    return hashlib.sha256(repr((frames, kind)).encode()).hexdigest()[:16]


def _error_line(lines: Sequence[str]) -> str:
    """Return the line that names the error: the last that is not indented."""
    for line in reversed(lines):
        if line and not line.startswith(" "):
            return line
    return "an error without text"
