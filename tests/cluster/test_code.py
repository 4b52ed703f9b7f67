"""Pinned code: what jobs run is what was there when they were submitted.

Every step is a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
PIN = """
import sys
from pathlib import Path
from cluster.code import pin
print(pin(Path(sys.argv[1])))
"""
FULL_DISK = """
import errno, os, shutil
def fail(source, target):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
shutil.copyfile = fail
"""
WHO = """
import json, sys, importlib.metadata, importlib.resources
import echolm, grid, cluster
from echolm.provenance import commit
from grid.definition.grid import load_grid
from cluster.profile import example
published = [path.name for path in (importlib.resources.files("grid") / "published").iterdir()]
print(json.dumps({
    "at": [str(module.__path__[0]) for module in (echolm, grid, cluster)],
    "edited": hasattr(echolm, "EDITED"),
    "commit": commit(),
    "version": importlib.metadata.version("echolm"),
    "cells": len(load_grid("demo").cells),
    "example": example()[:1],
    "published": sorted(name for name in published if name.endswith(".csv")),
}))
"""


def python(
    code: str, path: Path, cwd: Path, *words: object, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run code with ``path`` first among the modules, whatever the current folder holds."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ECHOLM_", "PYTHON"))
    }
    environment = {**kept, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1", **settings}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )


def pinned(checkout: Path, folder: Path, **settings: str) -> Path:
    done = python(PIN, checkout, checkout, folder, **settings)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def who(path: Path, cwd: Path) -> dict[str, Any]:
    """What code run from ``path`` says of itself."""
    done = python(WHO, path, cwd)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def git(checkout: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *settings, *words], cwd=checkout, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of this code, committed, in a folder with a space in its name."""
    root = tmp_path / "check out"
    for package in ("echolm", "grid", "cluster"):
        shutil.copytree(
            CHECKOUT / package, root / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", ".gitignore"):
        shutil.copyfile(CHECKOUT / name, root / name)
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root


def edit(checkout: Path) -> None:
    """An edit that every import would notice, and a grid that is gone."""
    with open(checkout / "echolm" / "__init__.py", "a") as file:
        file.write("EDITED = True\n")
    (checkout / "grid" / "grids" / "demo.yaml").unlink()


def data_files(checkout: Path) -> list[str]:
    """The files of the packages that are no modules: grids, published numbers, styles, profiles."""
    names = git(checkout, "ls-files", "echolm", "grid", "cluster").splitlines()
    return [name for name in names if not name.endswith(".py")]


def test_editing_the_checkout_changes_nothing_for_jobs(checkout: Path, tmp_path: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    before = sorted(checkout.rglob("*"))
    target = pinned(checkout, tmp_path / "code")
    assert [
        path
        for path in sorted(checkout.rglob("*"))
        if path not in before and "__pycache__" not in path.parts
    ] == []
    described = json.loads((target / "CODE.json").read_text())
    assert (described["commit"], described["changed"], described["plugins"]) == (head, False, [])
    assert described["sha256"][:16] == target.name and target.parent == tmp_path / "code"

    plain = who(checkout, tmp_path)
    edit(checkout)
    found = who(target, checkout)
    assert found["at"] == [str(target / package) for package in ("echolm", "grid", "cluster")]
    assert (found["commit"], found["edited"]) == (head, False)
    assert found["version"] == described["version"]
    assert {name: found[name] for name in ("cells", "published", "example")} == {
        name: plain[name] for name in ("cells", "published", "example")
    }
    assert found["published"], "package data are there"
    for name in data_files(checkout):
        if name != "grid/grids/demo.yaml":  # which has been edited away
            assert (target / name).read_bytes() == (checkout / name).read_bytes(), name

    again = pinned(checkout, tmp_path / "code")
    assert again != target
    now = json.loads((again / "CODE.json").read_text())
    assert (now["commit"], now["changed"]) == (f"{head}+changes", True)
    assert who(target, checkout) == found


def test_the_same_code_is_pinned_once(checkout: Path, tmp_path: Path) -> None:
    target = pinned(checkout, tmp_path / "code")
    when = (target / "CODE.json").stat()
    who(target, tmp_path)  # leaves caches
    without_copies = f"{FULL_DISK}\n{PIN}"
    done = python(without_copies, checkout, tmp_path, tmp_path / "code")
    assert (done.returncode, done.stdout.strip()) == (0, str(target)), done.stderr
    assert [path.name for path in (tmp_path / "code").iterdir()] == [target.name]
    assert (target / "CODE.json").stat() == when
    done = python(without_copies, checkout, tmp_path, tmp_path / "elsewhere")
    assert "StorageError" in done.stderr
    assert "elsewhere: cannot be written: No space left on device" in done.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == [], "a failed copy leaves nothing"


def test_pinned_at_once_by_two_launches(checkout: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", PIN, str(tmp_path / "code")]
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(2)
    ]
    said = {process.communicate(timeout=400)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert said == {str(path) for path in (tmp_path / "code").iterdir()} and len(said) == 1


def test_an_installed_package_is_copied(checkout: Path, tmp_path: Path) -> None:
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(tmp_path)]
    subprocess.run(command, cwd=checkout, capture_output=True, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        archive.extractall(tmp_path / "site")
    shutil.move(checkout, tmp_path / "gone")
    target = pinned(tmp_path / "site", tmp_path / "code")
    found = who(target, tmp_path)
    assert found["at"][0] == str(target / "echolm") and found["commit"] is None
    assert found == {**who(tmp_path / "site", tmp_path), "at": found["at"]}
    assert json.loads((target / "CODE.json").read_text())["version"] == found["version"]


def test_pinned_code_that_launches_is_its_own_pin(checkout: Path, tmp_path: Path) -> None:
    target = pinned(checkout, tmp_path / "code")
    assert pinned(target, tmp_path / "other") == target
    assert not (tmp_path / "other").exists()


def test_a_pin_that_was_changed_is_refused(checkout: Path, tmp_path: Path) -> None:
    target = pinned(checkout, tmp_path / "code")
    assert not os.stat(target / "echolm" / "config.py").st_mode & 0o222
    (target / "echolm" / "config.py").unlink()
    done = python(PIN, checkout, tmp_path, tmp_path / "code")
    assert (
        done.returncode == 1 and f"EchoLMError: {target}: changed after it was made" in done.stderr
    )


def test_plugins_are_pinned_too(checkout: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "mylab").mkdir(parents=True)
    (own / "myheads.py").write_text("WHICH = 'first'\n")
    (own / "mylab" / "__init__.py").write_text("")
    (own / "mylab" / "encoders.py").write_text("WHICH = 'first'\n")
    (own / "mylab" / "weights.bin").write_text("large")
    settings = {
        "ECHOLM_PLUGINS": "myheads, mylab.encoders, nosuch",
        "PYTHONPATH": f"{checkout}{os.pathsep}{own}",
    }
    target = pinned(checkout, tmp_path / "code", **settings)
    assert json.loads((target / "CODE.json").read_text())["plugins"] == [
        "myheads.py",
        "mylab/__init__.py",
        "mylab/encoders.py",
    ]
    (own / "myheads.py").write_text("WHICH = 'second'\n")
    (own / "mylab" / "encoders.py").write_text("WHICH = 'second'\n")
    ask = "import myheads, mylab.encoders; print(myheads.WHICH, mylab.encoders.WHICH)"
    assert (
        python(ask, target, own, PYTHONPATH=f"{target}{os.pathsep}{own}").stdout == "first first\n"
    )
    assert pinned(checkout, tmp_path / "code", **settings) != target


def test_a_folder_that_cannot_be_made_is_named(checkout: Path) -> None:
    done = python(PIN, checkout, checkout, "/proc/nowhere/code")
    assert (
        done.returncode == 1
        and "StorageError: /proc/nowhere/code: cannot be written" in done.stderr
    )
