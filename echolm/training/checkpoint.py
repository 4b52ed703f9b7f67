"""Checkpoints: files whose name carries the SHA-256 of their content.

So a damaged one is passed over, not loaded. They are streamed: what a checkpoint adds to the
memory of the process is a buffer, however large the state is.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, cast

import torch

from echolm.attempt import Attempt
from echolm.files import writing
from echolm.record import RunRecord

_NAME = re.compile(r"checkpoint-\d+-\d+-([0-9a-f]{16})\.pt")
_DIGITS = 16
_KEPT = 2
"""Checkpoints of an attempt that stay: the newest may be damaged."""


@dataclass(frozen=True)
class WrittenCheckpoint:
    """A checkpoint that the operating system has, and that has no name on the disk yet.

    Attributes:
        attempt: what writes it.
        file: its open file.
        path: where that is.
        stem: the beginning of its name.
        size: bytes.
    """

    attempt: Attempt
    file: BufferedRandom
    path: Path
    stem: str
    size: int

    def finish(self) -> Path:
        """Flush it to the disk and name it, then drop the checkpoints that it replaces.

        Raises:
            StorageError: the disk does not take it. Nothing is left of it then.
        """
        with writing(self.attempt.path / f"{self.stem}.pt"):
            try:
                with self.file:
                    os.fsync(self.file.fileno())
                    self.file.seek(0)
                    digest = _digest(self.file)
                path = self.attempt.path / f"{self.stem}-{digest}.pt"
                os.replace(self.path, path)
            except BaseException:
                self.path.unlink(missing_ok=True)
                raise
        _drop_replaced(self.attempt)
        return path


class _Sink:
    """Takes what torch writes, and keeps the error of the file until torch is done.

    torch would finish its archive after an error of the file, and raise one of its own.
    """

    def __init__(self, file: BufferedRandom) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: memoryview) -> int:
        """Write bytes, unless an earlier write failed."""
        if self.error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self.error = error
        return len(content)

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is whole."""


def save(attempt: Attempt, state: dict[str, Any]) -> Path:
    """Write ``state`` atomically, then drop the checkpoints that it replaces.

    Args:
        attempt: what writes it.
        state: tensors and plain data, with integers ``epoch`` and ``step``.

    Raises:
        Superseded: the attempt has been replaced.
        StorageError: it cannot be written.
    """
    return write(attempt, state).finish()


def write(attempt: Attempt, state: dict[str, Any]) -> WrittenCheckpoint:
    """Hand ``state`` to the operating system. It may change as soon as this returns.

    ``finish`` of what is returned brings it to the disk, in any thread.

    Args:
        attempt: what writes it.
        state: tensors and plain data, with integers ``epoch`` and ``step``.

    Raises:
        Superseded: the attempt has been replaced.
        StorageError: it cannot be written.
    """
    attempt.fence()
    stem = f"checkpoint-{state['epoch']:05d}-{state['step']:07d}"
    temporary = attempt.path / f".{stem}.pt.{secrets.token_hex(8)}.tmp"
    with writing(attempt.path / f"{stem}.pt"):
        file = open(temporary, "x+b")
        try:
            sink = _Sink(file)
            torch.save(state, cast(Any, sink))
            if sink.error is not None:
                raise sink.error
            file.flush()
            return WrittenCheckpoint(attempt, file, temporary, stem, file.tell())
        except BaseException:
            with suppress(OSError):  # it may try to write the rest once more
                file.close()
            temporary.unlink(missing_ok=True)
            raise


def _drop_replaced(attempt: Attempt) -> None:
    """Delete the attempt's older checkpoints but one.

    As soon as it has both, those of earlier attempts go too: a run that is interrupted again and
    again would fill the disk.
    """
    newest_first = sorted(attempt.path.glob("checkpoint-*.pt"), reverse=True)
    for old in newest_first[_KEPT:]:
        old.unlink(missing_ok=True)
    if len(newest_first) != _KEPT:
        return
    for number in attempt.record.attempts():
        if number < attempt.number:
            _drop_unfinished(attempt.record, number)


def newest(record: RunRecord) -> Path | None:
    """Return the furthest undamaged checkpoint of any attempt, or None."""
    candidates = []
    for number in record.attempts():
        for path in record.attempt_path(number).glob("checkpoint-*.pt"):
            if _NAME.fullmatch(path.name):
                candidates.append((position(path), number, path))
    for _, _, path in sorted(candidates, reverse=True):
        if _is_undamaged(path):
            return path
    return None


def position(path: Path) -> tuple[int, int]:
    """Return (epoch, step) of a checkpoint, from its name."""
    _, epoch, step, _ = path.stem.split("-")
    return int(epoch), int(step)


def load(path: Path) -> dict[str, Any]:
    """Return the state that was saved, with tensors on the CPU."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def discard(record: RunRecord) -> None:
    """Delete what only an unfinished run needs.

    That is checkpoints, the best weights they refer to, and unfinished writes.
    """
    for number in record.attempts():
        _drop_unfinished(record, number)


def _drop_unfinished(record: RunRecord, number: int) -> None:
    """Delete what only an unfinished run needs from one attempt."""
    for pattern in ("checkpoint-*.pt", "best-*.safetensors", "progress.json", ".*.tmp"):
        for path in record.attempt_path(number).glob(pattern):
            with suppress(OSError):  # it costs space, nothing else
                path.unlink()


def _is_undamaged(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    try:
        with open(path, "rb") as file:
            return match is not None and _digest(file) == match[1]
    except OSError:
        return False


def _digest(file: BufferedRandom | BufferedReader) -> str:
    """Return the digest of what follows in a file, which is read piece by piece."""
    return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
