"""The code that queued jobs will run, pinned when they are submitted: editing the checkout afterwards changes nothing for them.

A pin is a folder ``<first 16 digits of the source's SHA-256>/`` with the packages as their wheel holds them, the modules
named in ``ECHOLM_PLUGINS``, and ``CODE.json``. It is made once, appears whole (by a rename), and is only read after that.
Jobs have it first in ``PYTHONPATH``; ``echolm.provenance`` then reports the commit that ``CODE.json`` names: the one that
was checked out when code of these contents was first pinned there.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import echolm
from echolm.errors import EchoLMError
from echolm.provenance import PINNED, commit
from echolm.record import read_json, writing

PACKAGES = ("echolm", "grid", "cluster")
DIGITS = 16
PROJECT = ("pyproject.toml", "README.md")
"""What a checkout's wheel is built of besides the packages."""
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
"""The build backend itself: needs no network, and no pip."""


@dataclass(frozen=True)
class Source:
    """The running code: its files (relative names) under ``root``, and plugin files by the name they get in a pin."""

    root: Path
    names: tuple[str, ...]
    plugins: dict[str, Path]

    def digest(self) -> str:
        """SHA-256 of names and contents."""
        return _digest({**{name: self.root / name for name in self.names}, **{f"plugin:{name}": path for name, path in self.plugins.items()}})

    @property
    def is_checkout(self) -> bool:
        """Whether a wheel is built; an installed package is copied."""
        return PROJECT[0] in self.names


def pin(folder: Path) -> Path:
    """Pin the running code under ``folder``; the path to put first in PYTHONPATH. Makes nothing when it is pinned already.

    EchoLMError: the wheel cannot be built, or a pin was changed after it was made. StorageError: it cannot be written.
    """
    root = Path(echolm.__file__).resolve().parent.parent
    if (root / PINNED).is_file():
        return _whole(root)  # this process runs pinned code itself
    source = _source(root)
    target = folder / source.digest()[:DIGITS]
    if target.exists():
        return _whole(target)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pin-", dir=folder) as place:
            return _make(source, folder, Path(place))


def _make(source: Source, folder: Path, place: Path) -> Path:
    """Copy first, so that what is hashed is what is built, whatever is edited meanwhile."""
    state = {"commit": commit(), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "plugins": sorted(source.plugins)}
    copy = _copied(source, place / "source")
    ready = place / "ready"
    _built(copy, ready) if copy.is_checkout else shutil.copytree(copy.root, ready)
    for name, path in copy.plugins.items():
        (ready / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, ready / name)
    files = _files(ready)
    for path in files.values():
        path.chmod(0o444)
    sha256 = copy.digest()
    described = {**state, "changed": str(state["commit"]).endswith("+changes"), "version": _version(ready), "sha256": sha256, "files": _digest(files)}
    (ready / PINNED).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    (ready / PINNED).chmod(0o444)
    target = folder / sha256[:DIGITS]
    try:
        ready.rename(target)
    except OSError:
        if not target.exists():
            raise
    return _whole(target)  # ours, or that of a launch that was quicker


def _source(root: Path) -> Source:
    """The running code. The files of a checkout, or of an installed package with its metadata."""
    names = [name for package in PACKAGES for name in _files(root / package, package)]
    if all((root / name).is_file() for name in PROJECT):
        names += PROJECT
    else:
        names += [name for name in _files_of_distribution() if (root / name).is_file()]
    return Source(root, tuple(sorted(set(names))), dict(_plugins(root)))


def _files(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Relative name -> path of the files of a folder, without caches, hidden files and CODE.json."""
    found = {}
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for name in names:
            path = Path(where, name)
            if not name.startswith(".") and not name.endswith((".pyc", "~")) and name != PINNED and path.is_file():
                found[str(Path(prefix, path.relative_to(folder)))] = path
    return found


def _files_of_distribution() -> Iterator[str]:
    """The metadata files of the installed package: its version is read from them."""
    for file in importlib.metadata.files("echolm") or []:
        if ".dist-info/" in str(file) and file.name in ("METADATA", "WHEEL", "entry_points.txt"):
            yield str(file)


def _plugins(root: Path) -> Iterator[tuple[str, Path]]:
    """The Python files of the modules in ECHOLM_PLUGINS (of a package: all of it), unless they come with EchoLM itself."""
    names = {name.strip().partition(".")[0] for name in os.environ.get("ECHOLM_PLUGINS", "").split(",") if name.strip()}
    for name in sorted(names - {*PACKAGES}):
        found = importlib.util.find_spec(name)
        if found is None or not found.origin or found.origin in ("built-in", "frozen"):
            continue  # it is told when it is imported
        origin = Path(found.origin)
        if not found.submodule_search_locations:
            yield origin.name, origin
        else:
            yield from ((file, path) for file, path in _files(origin.parent, name).items() if file.endswith(".py"))


def _copied(source: Source, place: Path) -> Source:
    """The same source in another place."""
    plugins = {name: place / "plugins" / name for name in source.plugins}
    for name in source.names:
        _copy(source.root / name, place / "packages" / name)
    for name, path in source.plugins.items():
        _copy(path, plugins[name])
    return Source(place / "packages", source.names, plugins)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _built(source: Source, target: Path) -> None:
    """Build the wheel of a copied checkout and unpack it."""
    out = target.parent / "wheel"
    out.mkdir()
    command = [sys.executable, "-P", "-c", BUILD, str(out)]
    done = subprocess.run(command, cwd=source.root, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheels = sorted(out.glob("*.whl"))
    if done.returncode or not wheels:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit status {done.returncode}")
        raise EchoLMError(f"the wheel that jobs would run cannot be built: {last}; type: {sys.executable} -m pip install 'setuptools>=77'")
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(target)


def _whole(target: Path) -> Path:
    """A pin, unless somebody changed it."""
    described: dict[str, Any] = read_json(target / PINNED, "files", "sha256")
    if _digest(_files(target)) != described["files"]:
        raise EchoLMError(f"{target}: changed after it was made, so that queued jobs would run other code; move it away and launch again")
    return target


def _digest(files: dict[str, Path]) -> str:
    """SHA-256 of names and contents, in the order of names."""
    found = hashlib.sha256()
    for part in _parts(files):
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def _parts(files: dict[str, Path]) -> Iterable[bytes]:
    for name in sorted(files):
        yield name.encode()
        yield files[name].read_bytes()


def _version(folder: Path) -> str | None:
    """The version that the packages in a folder have."""
    return next((found.version for found in importlib.metadata.distributions(name="echolm", path=[str(folder)])), None)
