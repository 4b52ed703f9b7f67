"""Check a store's frames against the SHA-256 of each item, once for each state of their file.

A file that was found sound is noted outside the store, with its inode, size and times. So the next
process only looks at these. Processes that open a store at the same time wait for the first one,
and read its note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from echolm.errors import StorageError
from echolm.files import file_state, write_atomic

FOLDER = "frames"
"""The folder of the notes in a workspace's cache."""

_sound: set[tuple[Any, ...]] = set()
"""States of files that this process has found sound."""


def check_once(
    file: Path, index_sha256: str, cache: Path | None, check: Callable[[], None]
) -> None:
    """Check a file, unless it was found sound in the state that it is in.

    Args:
        file: the file with a store's frames.
        index_sha256: SHA-256 of the index that says what the frames are.
        cache: the workspace's folder for what can be made again. None: only this process remembers.
        check: reads the file. It raises an error when the file is damaged.

    Raises:
        OSError: the file cannot be looked at.
    """
    path = str(file.resolve())
    state = (path, index_sha256, *file_state(file))
    if state in _sound:
        return
    if cache is None:
        check()
    else:
        name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        _check_or_read(cache / FOLDER / f"{name}.json", list(state), check)
    _sound.add(state)


def _check_or_read(note: Path, state: list[Any], check: Callable[[], None]) -> None:
    """Check a file unless its note says that it is sound, and write the note."""
    if _read(note) == state:
        return
    with _one_at_a_time(note):
        if _read(note) == state:
            return
        check()
        with suppress(StorageError):  # a note: without it the file is read again
            write_atomic(note, json.dumps(state).encode())


def _read(note: Path) -> Any:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@contextmanager
def _one_at_a_time(note: Path) -> Iterator[None]:
    """Hold the lock of a note. Where nothing can be locked, each process checks for itself."""
    from filelock import FileLock

    lock = FileLock(note.with_suffix(".lock"))
    with suppress(OSError, NotImplementedError):
        note.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
