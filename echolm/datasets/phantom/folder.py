"""The folder of a phantom: begun, continued after a stop, never mixed with other files.

``phantom.json`` comes first and says what made the phantom. Videos follow, each whole or not there.
The tables come last. What a stopped call left is continued by the same call: whatever is drawn
depends on the seed and the video's number alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from echolm.datasets.phantom.generate import write_mjpeg
from echolm.datasets.scan import PHANTOM
from echolm.errors import EchoLMError, StorageError
from echolm.files import fsync_folder, read_json, write_atomic, writing


@contextmanager
def phantom_folder(root: Path, made_by: dict[str, Any], last: str) -> Iterator[None]:
    """Hold a phantom's folder while its files are written in the block.

    Args:
        root: a new or empty folder, or one of a stopped call of the same arguments.
        made_by: the arguments by name, and what else decides the files.
        last: the path in ``root`` of the table that is written last.

    Raises:
        EchoLMError: a number is below 1, the folder holds something else, or cannot be written.
    """
    for name in ("items", "clips_per_patient"):
        if made_by[name] < 1:
            words = name.replace("_", " ")
            raise EchoLMError(f"phantom: {words} is {made_by[name]}; valid: 1 or more")
    _check(root, made_by, last)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for path in root.rglob(".*.tmp"):
            path.unlink()  # what a killed process was writing
        write_atomic(root / PHANTOM, (json.dumps(made_by, indent=2) + "\n").encode())
        yield
    except OSError as error:
        reason = str(error)
        if not isinstance(error, StorageError):
            reason = f"{error.filename or root}: cannot be written: {error.strerror or error}"
        raise EchoLMError(
            f"{reason}; the phantom is not whole, type the same again to continue"
        ) from error


def _check(root: Path, made_by: dict[str, Any], last: str) -> None:
    """Raise EchoLMError when the folder holds anything but a part of the same phantom."""
    if not root.exists():
        return
    is_unfinished = (root / PHANTOM).is_file() and not (root / last).exists()
    if not root.is_dir() or (any(root.iterdir()) and not is_unfinished):
        raise EchoLMError(f"{root}: is not an empty folder; choose a new one for the phantom")
    if not is_unfinished:
        return
    stored = read_json(root / PHANTOM)
    for name, value in made_by.items():
        if stored.get(name) != value:
            raise EchoLMError(
                f"{root}: holds an unfinished phantom of other settings ({name}: "
                f"{stored.get(name)}; asked for: {value}); type the same settings to continue it, "
                "or choose a new folder"
            )


def write_video(path: Path, draw: Callable[[], np.ndarray], fps: float) -> None:
    """Write a video whole, unless it is there.

    Args:
        path: the file.
        draw: returns the frames (T, H, W) uint8, H and W even.
        fps: frames per second.
    """
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with writing(path):
        try:
            write_mjpeg(temporary, draw(), fps)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file. The files that its folder had before are on the disk by then."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    fsync_folder(path.parent)
    write_atomic(path, text.getvalue().encode())
