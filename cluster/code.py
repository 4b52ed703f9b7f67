"""The code that queued jobs run, pinned when they are submitted: editing the checkout does not change it.

``<folder>/<first 16 digits of the SHA-256 of its files>/`` holds the unpacked wheel: the packages ``echolm``, ``grid`` and
``cluster`` with their data, and ``CODE.json`` (commit, version, time).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import cluster
import echolm
import grid
from echolm.errors import EchoLMError
from echolm.provenance import PINNED, commit
from echolm.record import write_atomic, writing

PACKAGES = {"echolm": echolm, "grid": grid, "cluster": cluster}
DATA = (".py", ".yaml", ".csv", ".json")


def pin(folder: Path) -> Path:
    """Put the running code under ``folder``, once; the path to put first in PYTHONPATH. Raises EchoLMError."""
    sources = dict(_sources())
    digest = hashlib.sha256()
    for name, path in sorted(sources.items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    target = folder / digest.hexdigest()[:16]
    if (target / PINNED).exists():
        return target
    own = folder / f".{secrets.token_hex(6)}"
    with writing(target):
        own.mkdir(parents=True)
        try:
            _unpack(own, sources)
            facts = {"commit": commit(), "version": metadata.version("echolm"), "sha256": digest.hexdigest(), "time": time.time()}
            write_atomic(own / PINNED, json.dumps(facts, indent=1).encode())
            own.rename(target)
        except OSError:
            if not (target / PINNED).exists():  # else another process was first
                raise
        finally:
            shutil.rmtree(own, ignore_errors=True)
    return target


def _sources() -> Iterator[tuple[str, Path]]:
    """The files of the running packages, by their path in a wheel."""
    for name, module in PACKAGES.items():
        root = Path(str(module.__file__)).parent
        for path in sorted(root.rglob("*")):
            if path.suffix in DATA and path.is_file() and "__pycache__" not in path.parts:
                yield f"{name}/{path.relative_to(root).as_posix()}", path


def _unpack(target: Path, sources: dict[str, Path]) -> None:
    """The wheel of a checkout; of an installed package, whose wheel this once was, its files."""
    project = Path(str(echolm.__file__)).parent.parent
    if (project / "pyproject.toml").is_file():
        with tempfile.TemporaryDirectory() as folder:
            _build(project, Path(folder))
            [wheel] = Path(folder).glob("echolm-*.whl")
            with zipfile.ZipFile(wheel) as file:
                file.extractall(target)
        return
    for name, path in sources.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _build(project: Path, folder: Path) -> None:
    """Build the wheel from a copy (setuptools writes beside what it builds), without network."""
    copy = folder / "project"
    copy.mkdir()
    for name in (*PACKAGES, "pyproject.toml", "README.md"):
        source = project / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copyfile(source, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EchoLMError(f"{project}: the wheel cannot be built: {done.stderr.strip().splitlines()[-1:]}; is setuptools>=77 installed?")
