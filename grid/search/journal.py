"""The journal file of a search: Optuna's own, made safe against a line that was cut off.

A full disk, a quota, a power cut or a kill in the middle of a write leaves the beginning of a line.
Optuna's backend would write the next entry behind it, and no process could read the file from then
on. Here whoever writes next, and so holds the lock, takes such a beginning away first. A write that
fails takes back its part. An entry counts from the moment that its line break is there. Before, no
reader has seen it, so a writer who made it whole would know less than it believes.

The file stays as Optuna writes it, so that Optuna's other tools read it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from echolm.files import writing

BEGINNING = b'{"op_code":'
"""What every entry begins with."""
BLOCK = 1 << 16
"""How many bytes are read at once in the search for the last line."""


class TrialJournal(JournalFileBackend):
    """Optuna's journal file, in which no line stays cut off.

    Args:
        path: the file. It is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._journal_lock = JournalFileSymlinkLock(str(path))
        with writing(path):
            super().__init__(str(path), self._journal_lock)
        self._path = path
        self._entries_read = 0
        self._bytes_read = 0
        """Where the entry after those lies."""

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the entries after the first ``log_number_from``.

        A last line that is no whole entry is left alone: it is being written, or was cut off.

        Raises:
            ValueError: a line before the last one is damaged.
        """
        if log_number_from != self._entries_read:
            self._entries_read = 0
            self._bytes_read = 0
        with open(self._path, "rb") as file:
            file.seek(self._bytes_read)
            is_damaged = False
            for line in file:
                if is_damaged:
                    raise ValueError(f"line {self._entries_read + 1} is no entry")
                entry = read_entry(line)
                if entry is None:
                    is_damaged = True
                    continue
                self._entries_read += 1
                self._bytes_read += len(line)
                if self._entries_read > log_number_from:
                    yield entry

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, all or none of them.

        Raises:
            StorageError: they cannot be written.
        """
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
        content = "".join(lines).encode()
        with writing(self._path), held(self._journal_lock, self._path):
            # Without a buffer: one would write again what failed, when the file is closed.
            with open(self._path, "r+b", buffering=0) as file:
                size = mend(file)
                try:
                    _write(file, size, content)
                except OSError:
                    with suppress(OSError):
                        file.truncate(size)
                    raise


@contextmanager
def held(lock: JournalFileSymlinkLock, path: Path) -> Iterator[None]:
    """Hold the lock of a file in a block.

    A process that was stopped for so long that another one took the lock has none to release.

    Raises:
        StorageError: the folder of the file cannot be written.
    """
    with writing(path):
        lock.acquire()
    try:
        yield
    finally:
        with suppress(RuntimeError):
            lock.release()


def mend(file: FileIO) -> int:
    """Take away the last line of a journal when it is no whole entry.

    Args:
        file: the journal, open for reading and writing. Its lock is held.

    Returns:
        The size in bytes of the mended file.
    """
    size = file.seek(0, os.SEEK_END)
    start, line = _last_line(file, size)
    if not line or read_entry(line) is not None:
        return size
    file.truncate(start)
    return start


def read_entry(line: bytes) -> dict[str, Any] | None:
    """Read the entry of a line with its line break, or return None when it holds no whole one.

    Earlier versions of EchoLM wrote an entry behind the beginning of one that was cut off. Nobody
    could read that line, so what was cut off never counted, and the entry behind it is the line's.
    """
    if not line.endswith(b"\n"):
        return None
    start = 0
    while start >= 0:
        with suppress(ValueError):
            entry = json.loads(line[start:])
            if isinstance(entry, dict) and "op_code" in entry:
                return entry
        start = line.find(BEGINNING, start + 1)
    return None


def _last_line(file: FileIO, size: int) -> tuple[int, bytes]:
    """Return where the last line of a file begins, and the line with its line break, if any."""
    start = size
    end = b""
    while start > 0 and b"\n" not in end[:-1]:
        length = min(BLOCK, start)
        start -= length
        file.seek(start)
        end = file.read(length) + end
    begin = end[:-1].rfind(b"\n") + 1
    return start + begin, end[begin:]


def _write(file: FileIO, position: int, content: bytes) -> None:
    """Write all of ``content`` at a position, down to the disk."""
    file.seek(position)
    written = 0
    while written < len(content):
        written += file.write(content[written:])
    os.fsync(file.fileno())
