"""Which files a dataset's folder holds, and how large they are."""

from __future__ import annotations

import os
from pathlib import Path

from echolm.errors import EchoLMError


def files_below(root: Path) -> dict[str, int]:
    """Return the files of a folder and of the folders in it.

    Hidden files and folders are left out. Links to folders are not followed.

    Args:
        root: the folder.

    Returns:
        Path in the folder (with ``/``) -> bytes, sorted by path.

    Raises:
        EchoLMError: a folder cannot be listed.
    """
    sizes: dict[str, int] = {}
    try:
        _add(root, "", sizes)
    except OSError as error:
        raise EchoLMError(
            f"{error.filename or root}: cannot be listed: {error.strerror or error}"
        ) from error
    return dict(sorted(sizes.items()))


def _add(folder: Path, prefix: str, sizes: dict[str, int]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                _add(folder / entry.name, f"{name}/", sizes)
            else:
                size = file_size(folder / entry.name)
                if size is not None:
                    sizes[name] = size


def file_size(path: Path) -> int | None:
    """Return the bytes of a file, None where there is none or it cannot be reached."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def why_no_path(name: str, column: str) -> str:
    """Say why a cell is not the path of a file below a dataset's folder, or ''.

    Args:
        name: the cell.
        column: its column, for the words.
    """
    if not name:
        return f"{column} is empty"
    if not name.isprintable():
        return f"{column} is {name!r}"
    if "\\" in name:
        return f"{column} is {name!r}; write the path with /"
    if name.startswith("/") or ".." in name.split("/"):
        return f"{column} is {name!r}; valid: a path in the dataset's folder"
    return ""
