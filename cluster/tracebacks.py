"""The same traceback in several cells stops a grid: what ends three cells will end three hundred.

``grids/<grid>/tracebacks/<digest>/<cell>`` is an empty file, made when the cell failed and removed by ``echolm retry``;
``text`` beside it is the traceback, written before the first of them; where it is lost all the same, the cells still count:
the digest says that their error is one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from echolm.record import find_records, write_atomic, writing
from echolm.workspace import Workspace

LIMIT = 3
"""Cells that one traceback may end."""
ALLOWED = ("diverged", "cancelled", "superseded")
"""Failure classes that say something of their cell alone."""


def note_failures(workspace: Workspace, grid: str, cells: Iterable[str]) -> None:
    """Remember the tracebacks of those of the cells that failed. Raises StorageError."""
    for cell in cells:
        for record in find_records(workspace.runs, cell)[:1]:
            event = record.state().evidence
            if event.get("event") == "failed" and event.get("class") not in ALLOWED:
                _note(workspace.grids / grid / "tracebacks", cell, str(event.get("traceback") or event.get("error")))


def _note(folder: Path, cell: str, text: str) -> None:
    place = folder / digest(text)
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    if not (place / "text").exists():
        write_atomic(place / "text", text.encode())
    with writing(place / cell) as path:
        path.touch()


def forget(workspace: Workspace, grid: str, cells: Iterable[str]) -> None:
    """Remove what was noted of cells that are to run again."""
    for cell in cells:
        for path in (workspace.grids / grid / "tracebacks").glob(f"*/{cell}"):
            path.unlink(missing_ok=True)


def stops(workspace: Workspace, grid: str) -> str:
    """The one sentence that says why nothing more is started, or ''."""
    for place in sorted((workspace.grids / grid / "tracebacks").glob("*")):
        cells = sorted(path.name for path in place.iterdir() if path.name != "text" and not path.name.startswith("."))
        if len(cells) >= LIMIT:
            ended = ", ".join(cell[:8] for cell in cells[:4]) + (", ..." if len(cells) > 4 else "")
            return f"the same error ended {len(cells)} cells ({ended}) and nothing more is started: {_error(_lines(place))}"
    return ""


def _lines(place: Path) -> list[str]:
    """The traceback that was noted there; none where it cannot be read."""
    try:
        return (place / "text").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return []


def digest(traceback: str) -> str:
    """16 digits that are equal for tracebacks of the same error type at the same place; messages and paths before the
    package may differ."""
    frames = re.findall(r'File ".*?([^/"]+/[^/"]+)", line (\d+), in (\S+)', traceback)
    lines = [line for line in traceback.strip().splitlines() if line and not line.startswith((" ", "traceback of rank"))]
    kind = _error(lines).partition(":")[0]
    return hashlib.sha256(repr((frames, kind)).encode()).hexdigest()[:16]


def _error(lines: list[str]) -> str:
    """The line that names the error: the last that is not indented."""
    return next((line for line in reversed(lines) if line and not line.startswith(" ")), "an error without text")
