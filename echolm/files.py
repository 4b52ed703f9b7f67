"""Read and write small files so that a crash, a full disk or another reader does no harm."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from echolm.errors import EchoLMError, StorageError

CANNOT_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
"""Errors of a folder that cannot be flushed. The last is one of a folder that one may not list."""


def list_names(folder: Path) -> set[str]:
    """List what lies in a folder, by name. A folder that is not there holds nothing."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def file_state(path: Path) -> tuple[int, int, int, int]:
    """Return what tells that a file is another or was written to.

    Copies and archives may keep size and modification time, but not the others.

    Returns:
        Inode, size in bytes, and the times of the last change of its content and of its inode in
        nanoseconds.

    Raises:
        OSError: when it is not there.
    """
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """Read a JSON object from a file.

    Args:
        path: the file.
        needed: fields that the object must have.

    Raises:
        EchoLMError: when the file is damaged or lacks a field.
        FileNotFoundError: when it is not there.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EchoLMError(
            f"{path}: damaged ({error}); delete it or restore it from a copy"
        ) from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise EchoLMError(f"{path}: holds {kind}, not an object; it is not one of EchoLM's files")
    for field in needed:
        if field not in content:
            raise EchoLMError(
                f"{path}: has no field {field!r}; it is not one of EchoLM's files: "
                "delete it or move it away"
            )
    return content


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Turn an OSError of the block into a StorageError that names ``path``."""
    try:
        yield path
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that takes the name ``path`` at the end of the block.

    It is on the disk by then: readers see the old file or the whole new one. After an error
    nothing is left of it.

    Raises:
        StorageError: when it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with writing(path):
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file by ``atomic``."""
    with atomic(path) as file:
        file.write(content)


def fsync_folder(folder: Path) -> None:
    """Flush the names of a folder's files to the disk, where its file system can.

    A power cut does not take them back then.

    Raises:
        StorageError: when the disk reports an error.
    """
    with writing(folder):
        handle = None
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(handle)
        except OSError as error:
            if error.errno not in CANNOT_FSYNC:
                raise
        finally:
            if handle is not None:
                os.close(handle)


def read_lines(
    path: Path, needed: str, having: re.Pattern[bytes] | None = None
) -> list[dict[str, Any]]:
    """Read the JSON objects of an append-only file, one a line.

    A line that was cut off by a crash or is damaged is left out.

    Args:
        path: the file. There are no objects when it is not there.
        needed: a field. Objects without it are left out.
        having: leave out the lines in which this is not found.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    if having and not having.search(content):
        return []
    lines = [line for line in content.split(b"\n") if line]
    if having:
        lines = [line for line in lines if having.search(line)]
    return [value for value in _values(lines) if isinstance(value, dict) and needed in value]


def _values(lines: Sequence[bytes]) -> Iterator[Any]:
    """Yield the JSON values of lines, all at once when none is damaged, which is faster."""
    with contextlib.suppress(ValueError):
        values = json.loads(b"[" + b",".join(lines) + b"]")
        if len(values) == len(lines):
            yield from values
            return
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)
