"""Holding a run record: one holder at a time, with fencing. Relies on mkdir, link and rename alone.

An attempt's number is taken by an atomic mkdir. A holder writes only in its own attempt. Before
each checkpoint it reads the newest number again and stops when it has been replaced.
``summary.json`` is made once, by hard link.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError, StorageError
from echolm.files import fsync_folder, write_atomic, writing
from echolm.liveness import (
    HEARTBEAT_S,
    PATIENCE_S,
    Heartbeat,
    beat,
    describe_self,
    known_dead,
    silent,
)
from echolm.record import ENDINGS, RunRecord
from echolm.states import RunState


class Busy(EchoLMError):
    """Another process holds the run."""


class Complete(EchoLMError):
    """The run is complete already."""


class Superseded(EchoLMError):
    """A newer attempt holds the run.

    The holder must stop and write nothing more outside its attempt.
    """


class Attempt:
    """The right to write one attempt of a record, from ``acquire`` to ``release``."""

    def __init__(self, record: RunRecord, number: int, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.record = record
        self.number = number
        self.path = record.attempt_path(number)
        write_atomic(self.path / "holder.json", json.dumps(describe_self()).encode())
        write_atomic(self.path / "heartbeat", beat(0))
        with writing(self.path / "events.jsonl") as path:
            self._events = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._heartbeat = Heartbeat(self.path, heartbeat_s)
        self._torn = False

    @classmethod
    def acquire(
        cls, record: RunRecord, patience_s: float = PATIENCE_S, heartbeat_s: float = HEARTBEAT_S
    ) -> Attempt:
        """Become the holder of the next attempt.

        Args:
            record: the record to hold.
            patience_s: how long to watch the heartbeat of a holder that runs elsewhere.
            heartbeat_s: seconds between two beats of this holder.

        Raises:
            Complete: when there is a summary.
            Busy: when the newest attempt has a live holder, or somebody else is first.
            StorageError: when the record cannot be written.
        """
        _refuse_complete(record)
        attempts = record.attempts()
        newest = attempts[-1] if attempts else 0
        if newest and not _is_free(record, newest, patience_s):
            raise Busy(f"{record.path}: attempt {newest} is held by a running process")
        _refuse_complete(record)  # its holder may have ended just now
        path = record.attempt_path(newest + 1)
        with writing(path):
            try:
                os.mkdir(path)
            except FileExistsError:
                raise Busy(
                    f"{record.path}: attempt {newest + 1} was taken by another process just now"
                ) from None
        try:
            return cls(record, newest + 1, heartbeat_s)
        except StorageError:
            # Nobody holds it, and no reader shall think so.
            shutil.rmtree(path, ignore_errors=True)
            raise

    def event(self, event: str, **fields: Any) -> None:
        """Append one event, to which the time is added. Non-finite numbers become strings.

        Args:
            event: its name.
            fields: JSON values.

        Raises:
            StorageError: when it cannot be written.
        """
        content = {"event": event, "time": time.time(), **fields}
        line = json.dumps(_without_nan(content), allow_nan=False).encode() + b"\n"
        if self._torn:  # the half of a line that a full disk left is a line of its own
            line = b"\n" + line
        with writing(self.path / "events.jsonl"):
            written = os.write(self._events, line)
            self._torn = written < len(line)
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush_events(self) -> None:
        """Flush the events so far to the disk.

        Raises:
            StorageError: the disk reports an error.
        """
        with writing(self.path / "events.jsonl"):
            os.fsync(self._events)

    def fence(self) -> None:
        """Raise Superseded when a newer attempt exists."""
        newest = max(self.record.attempts(), default=0)
        if newest > self.number:
            raise Superseded(
                f"{self.record.path}: attempt {newest} replaced attempt {self.number}; "
                "this process stops"
            )

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the attempt atomically, after ``fence``."""
        self.fence()
        write_atomic(self.path / name, content)
        return self.path / name

    def publish(self, summary: dict[str, Any], files: list[str]) -> None:
        """Make the run complete by a summary that is linked once.

        What the summary speaks of is on the disk before it is linked, the events of all attempts
        too: they are the learning curve. The link is there before this returns.

        Args:
            summary: its content. The attempt's number and the SHA-256 of ``files`` are added.
            files: names of files of the attempt.

        Raises:
            Superseded: when another holder's summary is already there.
        """
        content = {
            **summary,
            "attempt": self.number,
            "files": {name: _sha256_on_disk(self.path / name) for name in files},
            "finished": time.time(),
        }
        text = json.dumps(_without_nan(content), indent=1, sort_keys=True)
        self._flush_all_events()
        source = self.write("summary.json", text.encode())
        target = self.record.path / "summary.json"
        for folder in (self.path, self.path.parent):
            fsync_folder(folder)
        self._link_once(source, target)
        for folder in (self.record.path, *list(self.record.path.parents)[:2]):
            fsync_folder(folder)
        with suppress(StorageError):  # what counts is the summary
            self.event(RunState.COMPLETE)

    def _flush_all_events(self) -> None:
        """Flush this attempt's events and those of the attempts before it."""
        self.flush_events()
        for number in self.record.attempts():
            path = self.record.attempt_path(number) / "events.jsonl"
            if number == self.number or not path.exists():
                continue
            with writing(path), open(path, "rb") as file:
                os.fsync(file.fileno())

    @staticmethod
    def _link_once(source: Path, target: Path) -> None:
        with writing(target):
            try:
                os.link(source, target)
            except FileExistsError:
                # Over NFS the link may have been made although its answer was lost.
                if not os.path.samefile(source, target):
                    raise Superseded(
                        f"{target}: another process completed this run first"
                    ) from None

    def release(self, event: str | None = None, **fields: Any) -> None:
        """End the attempt. The heartbeat stops in any case.

        Args:
            event: the ending event. None when it has been written.
            fields: of the event.
        """
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


def _is_free(record: RunRecord, number: int, patience_s: float) -> bool:
    """Check whether attempt ``number`` has no holder any more."""
    if any(event["event"] in ENDINGS for event in record.events(number)):
        return True
    path = record.attempt_path(number)
    return known_dead(path) or silent(path, patience_s)


def _sha256_on_disk(path: Path) -> str:
    """Return a file's SHA-256, once its content has been flushed to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_nan(value: Any) -> Any:
    """Replace non-finite floats, which JSON has not, by ``"nan"``, ``"inf"``, ``"-inf"``."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def mark_retried(record: RunRecord) -> None:
    """Take back the newest attempt's ending: the run is pending again.

    Raises:
        StorageError: when the mark cannot be written.
    """
    attempts = record.attempts()
    if attempts:
        with writing(record.attempt_path(attempts[-1]) / "retried") as mark:
            mark.touch()


def mark_cancelled(runs: Path, cell: str) -> None:
    """Leave the mark at which the loops of a cell stop and launches pass it by.

    Raises:
        StorageError: when the mark cannot be written.
    """
    with writing(runs / cell / "cancelled") as mark:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
