"""The code that queued jobs will run, pinned when they are submitted.

Editing the checkout afterwards changes nothing for them. A pin is a folder ``<first 16 digits of
the source's SHA-256>/`` with a copy of the packages, their data, the modules named in
``ECHOLM_PLUGINS``, and ``CODE.json``. It is made once, appears whole (by a rename), and is only
read after that. Jobs have it first in ``PYTHONPATH``. ``echolm.provenance`` then reports the commit
that ``CODE.json`` names: the one that was checked out when code of these contents was first pinned
there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import echolm
from echolm.errors import EchoLMError
from echolm.files import read_json, writing
from echolm.provenance import PINNED, commit

PACKAGES = ("echolm", "grid", "cluster")
DIGITS = 16


def pin(folder: Path) -> Path:
    """Pin the running code under ``folder``, unless it is pinned already.

    Returns:
        The path to put first in PYTHONPATH.

    Raises:
        EchoLMError: a pin was changed after it was made.
        StorageError: it cannot be written.
    """
    root = Path(echolm.__file__).resolve().parent.parent
    if (root / PINNED).is_file():
        return _checked(root)  # this process runs pinned code itself
    plugins = _plugin_files()
    files = {**_package_files(root), **plugins}
    target = folder / _digest(files)[:DIGITS]
    if target.exists():
        return _checked(target)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pin-", dir=folder) as temporary:
            return _make(files, sorted(plugins), folder, Path(temporary) / "pin")


def _make(files: dict[str, Path], plugins: list[str], folder: Path, copy: Path) -> Path:
    """Copy the files to ``copy`` and let it appear under ``folder``.

    What is hashed is the copy, whatever is edited meanwhile.
    """
    checked_out = commit()
    for name, path in files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy / name)
    sha256 = _digest({name: copy / name for name in files})
    version = _version()
    if version is not None:
        _write_metadata(copy, version)
    copies = _files(copy)
    facts = {
        "commit": checked_out,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "plugins": plugins,
        "changed": str(checked_out).endswith("+changes"),
        "version": version,
        "sha256": sha256,
        "files": _digest(copies),
    }
    (copy / PINNED).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    for path in (*copies.values(), copy / PINNED):
        path.chmod(0o444)
    target = folder / sha256[:DIGITS]
    try:
        copy.rename(target)
    except OSError:
        if not target.exists():
            raise
    return _checked(target)  # ours, or that of a launch that was quicker


def _package_files(root: Path) -> dict[str, Path]:
    """Return the packages' modules and data: name in a pin -> path."""
    files = {}
    for package in PACKAGES:
        files.update(_files(root / package, package))
    return files


def _plugin_files() -> dict[str, Path]:
    """Return the Python files of the modules in ECHOLM_PLUGINS: name in a pin -> path.

    Of a package it is all of it. What comes with EchoLM itself is left out.
    """
    files = {}
    for words in os.environ.get("ECHOLM_PLUGINS", "").split(","):
        name = words.strip().partition(".")[0]
        if not name or name in PACKAGES:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin or spec.origin in ("built-in", "frozen"):
            continue  # it is told when it is imported
        origin = Path(spec.origin)
        if not spec.submodule_search_locations:
            files[origin.name] = origin
            continue
        for file, path in _files(origin.parent, name).items():
            if file.endswith(".py"):
                files[file] = path
    return files


def _files(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Return the files of a folder, without caches, hidden files and CODE.json.

    The names are relative to the folder, after ``prefix``.
    """
    files = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name != "__pycache__" and not name.startswith(".")
        ]
        for name in names:
            path = Path(parent, name)
            is_left_out = name.startswith(".") or name.endswith((".pyc", "~")) or name == PINNED
            if not is_left_out and path.is_file():
                files[str(Path(prefix, path.relative_to(folder)))] = path
    return files


def _version() -> str | None:
    """Return the version of the running code. None: it is a checkout that was never installed."""
    try:
        return metadata.version("echolm")
    except metadata.PackageNotFoundError:
        return None


def _write_metadata(folder: Path, version: str) -> None:
    """Write what Python reads the version of the packages in a folder from."""
    text = f"Metadata-Version: 2.1\nName: echolm\nVersion: {version}\n"
    info = folder / f"echolm-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(text, encoding="utf-8")
    # The first echolm on the path counts, for entry points too (grid.operations).
    entry_points = metadata.distribution("echolm").read_text("entry_points.txt")
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")


def _checked(target: Path) -> Path:
    """Return a pin. EchoLMError: somebody changed it."""
    facts: dict[str, Any] = read_json(target / PINNED, "files", "sha256")
    if _digest(_files(target)) != facts["files"]:
        raise EchoLMError(
            f"{target}: changed after it was made, so that queued jobs would run other code;"
            " move it away and launch again"
        )
    return target


def _digest(files: dict[str, Path]) -> str:
    """Return the SHA-256 of names and contents, in the order of names."""
    content = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name].read_bytes()):
            content.update(len(part).to_bytes(8, "big") + part)
    return content.hexdigest()
