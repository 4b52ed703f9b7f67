"""Holding a run record: one holder at a time, with fencing. Relies on mkdir, link and rename alone.

An attempt's number is taken by an atomic mkdir. A holder writes only in its own attempt. Before each checkpoint it
reads the newest number again and stops when it has been replaced. ``summary.json`` is made once, by hard link.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError, StorageError
from echolm.liveness import HEARTBEAT_S, PATIENCE_S, Heartbeat, beat, describe_self, known_dead, silent
from echolm.record import ENDINGS, RunRecord, settle, write_atomic, writing


class Busy(EchoLMError):
    """Another process holds the run."""


class Complete(EchoLMError):
    """The run is complete already."""


class Superseded(EchoLMError):
    """A newer attempt holds the run: this one must stop and write nothing more outside its attempt."""


class Attempt:
    """The right to write one attempt of a record, from ``acquire`` to ``release``."""

    def __init__(self, record: RunRecord, number: int, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.record = record
        self.number = number
        self.path = record.attempt_path(number)
        write_atomic(self.path / "holder.json", json.dumps(describe_self()).encode())
        write_atomic(self.path / "heartbeat", beat(0))
        with writing(self.path / "events.jsonl") as path:
            self._events = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._heartbeat = Heartbeat(self.path, heartbeat_s)
        self._torn = False

    @classmethod
    def acquire(cls, record: RunRecord, patience_s: float = PATIENCE_S, heartbeat_s: float = HEARTBEAT_S) -> Attempt:
        """Become the holder of the next attempt.

        Raises Complete when there is a summary, Busy when the newest attempt has a live holder (which takes up to
        ``patience_s`` to find out when it runs elsewhere) or somebody else takes the number first, StorageError when
        the record cannot be written.
        """
        _refuse_complete(record)
        attempts = record.attempts()
        newest = attempts[-1] if attempts else 0
        if newest and not _free(record, newest, patience_s):
            raise Busy(f"{record.path}: attempt {newest} is held by a running process")
        _refuse_complete(record)  # its holder may have ended just now
        path = record.attempt_path(newest + 1)
        with writing(path):
            try:
                os.mkdir(path)
            except FileExistsError:
                raise Busy(f"{record.path}: attempt {newest + 1} was taken by another process just now") from None
        try:
            return cls(record, newest + 1, heartbeat_s)
        except StorageError:
            shutil.rmtree(path, ignore_errors=True)  # nobody holds it, and no reader shall think so
            raise

    def event(self, event: str, **fields: Any) -> None:
        """Append one event (JSON values; the time is added). Non-finite numbers become strings. Raises StorageError."""
        text = json.dumps(_finite({"event": event, "time": time.time(), **fields}), allow_nan=False)
        line = b"\n" * self._torn + text.encode() + b"\n"
        with writing(self.path / "events.jsonl"):
            written = os.write(self._events, line)
            self._torn = written < len(line)
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fence(self) -> None:
        """Raise Superseded when a newer attempt exists."""
        newest = max(self.record.attempts(), default=0)
        if newest > self.number:
            raise Superseded(f"{self.record.path}: attempt {newest} replaced attempt {self.number}; this process stops")

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the attempt atomically, after ``fence``."""
        self.fence()
        write_atomic(self.path / name, content)
        return self.path / name

    def publish(self, summary: dict[str, Any], files: list[str]) -> None:
        """Make the run complete: ``summary`` with the attempt's number and the SHA-256 of ``files``, linked once.

        What the summary speaks of is on the disk before it is linked, and the link before this returns.
        Raises Superseded when another holder's summary is already there.
        """
        digests = {name: _sha256_on_disk(self.path / name) for name in files}
        content = {**summary, "attempt": self.number, "files": digests, "finished": time.time()}
        own = self.write("summary.json", json.dumps(_finite(content), indent=1, sort_keys=True).encode())
        target = self.record.path / "summary.json"
        for folder in (self.path, self.path.parent):
            settle(folder)
        with writing(target):
            try:
                os.link(own, target)
            except FileExistsError:
                if not os.path.samefile(own, target):
                    raise Superseded(f"{target}: another process completed this run first") from None
        for folder in (self.record.path, *list(self.record.path.parents)[:2]):
            settle(folder)
        with suppress(StorageError):  # what counts is the summary
            self.event("complete")

    def release(self, event: str | None = None, **fields: Any) -> None:
        """End the attempt, with its ending event unless it has been written. The heartbeat stops in any case."""
        try:
            if event is not None:
                assert event in ENDINGS, event
                self.event(event, **fields)
        finally:
            self._heartbeat.stop()
            os.close(self._events)
            self._events = -1


def _refuse_complete(record: RunRecord) -> None:
    if record.summary() is not None:
        raise Complete(f"{record.path}: the run is complete")


def _free(record: RunRecord, number: int, patience_s: float) -> bool:
    """Whether attempt ``number`` has no holder any more."""
    if any(event["event"] in ENDINGS for event in record.events(number)):
        return True
    path = record.attempt_path(number)
    return known_dead(path) or silent(path, patience_s)


def _sha256_on_disk(path: Path) -> str:
    """A file's SHA-256, once its content has been flushed to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finite(value: Any) -> Any:
    """JSON has no NaN: non-finite floats become ``"nan"``, ``"inf"``, ``"-inf"``."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not (value - value == 0.0):
        return str(value)
    return value


def mark_retried(record: RunRecord) -> None:
    """The newest attempt's ending does not count any more: the run is pending again. Raises StorageError."""
    attempts = record.attempts()
    if attempts:
        with writing(record.attempt_path(attempts[-1]) / "retried") as mark:
            mark.touch()


def mark_cancelled(runs: Path, cell: str) -> None:
    """Leave the mark at which the loops of a cell stop and launches pass it by. Raises StorageError."""
    with writing(runs / cell / "cancelled") as mark:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
