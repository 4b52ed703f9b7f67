"""Whether collected predictions are still the file that was collected: by their SHA-256.

A file that was found to be so is not read again as long as its inode, size and time of change are
the same. What is known of a folder's files is kept in ``checked.json`` beside them. It can be
deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.files import read_json, write_atomic

CHECKED_FILE = "checked.json"
"""In the folder of a grid's results."""
TICK_NS = 100_000_000
"""Two changes of a file that follow each other faster may have one time."""
Stamp = tuple[int, int, int]
"""Inode, size and time of change in ns."""


class CheckedPredictions:
    """What is known of the predictions in a folder of results.

    Args:
        results: the folder. It need not be there.
    """

    def __init__(self, results: Path) -> None:
        self._path = results / CHECKED_FILE
        self._known = _read_known(self._path)
        self._changed = False

    def is_sound(self, path: Path, sha256: str) -> bool:
        """Return whether a file has this SHA-256. A file that cannot be read has none."""
        try:
            stamp = _stamp(path)
            known = self._known.get(path.name)
            if known == (stamp, sha256):
                return True
            with open(path, "rb") as file:
                computed = hashlib.file_digest(file, "sha256").hexdigest()
            if computed == sha256 and stamp == _stamp(path):
                self._remember(path.name, stamp, sha256)
        except OSError:
            return False
        return computed == sha256

    def written(self, path: Path, sha256: str) -> None:
        """Note a file that was written just now, with this content."""
        with contextlib.suppress(OSError):
            self._remember(path.name, _stamp(path), sha256)

    def save(self) -> None:
        """Keep what is known, where that can be written.

        A file that was changed just now could change once more and keep its time. So this waits
        until another change would have another time.
        """
        if not self._changed:
            return
        newest = max((stamp[2] for stamp, _ in self._known.values()), default=0)
        if newest > time.time_ns() - TICK_NS:
            time.sleep(TICK_NS / 1e9)
        known = {name: [*stamp, sha256] for name, (stamp, sha256) in self._known.items()}
        with contextlib.suppress(OSError, EchoLMError):
            write_atomic(self._path, json.dumps(known).encode())
            self._changed = False

    def _remember(self, name: str, stamp: Stamp, sha256: str) -> None:
        self._known[name] = (stamp, sha256)
        self._changed = True


def _read_known(path: Path) -> dict[str, tuple[Stamp, str]]:
    """Return what a file says. Nothing where it cannot be read: it is only a memory."""
    try:
        content = read_json(path)
    except (EchoLMError, OSError):
        return {}
    known = {}
    for name, entry in content.items():
        if _is_entry(entry):
            inode, size, changed, sha256 = entry
            known[name] = ((inode, size, changed), sha256)
    return known


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, Sequence) or len(entry) != 4:
        return False
    return all(isinstance(number, int) for number in entry[:3]) and isinstance(entry[3], str)


def _stamp(path: Path) -> Stamp:
    stat = os.stat(path)
    return stat.st_ino, stat.st_size, stat.st_ctime_ns
