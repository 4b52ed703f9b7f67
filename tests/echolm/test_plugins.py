"""The source of a plugin: what its SHA-256 is of, and when it is taken."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from echolm import plugins
from echolm.config import parse_config
from echolm.heads import HEADS
from echolm.plugins import note_source, plugin_sources, sources_of
from echolm.provenance import code_facts
from echolm.registry import Component, Registry

COMPONENT = """
    from typing import Literal
    from echolm.registry import Component

    class {name}({base}):
        name: Literal["{label}"] = "{label}"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules, which are forgotten after the test."""
    known = set(sys.modules)
    monkeypatch.setattr(plugins, "_sources", {})
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(folder: Path, name: str, label: str = "toy", base: str = "Component") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = textwrap.dedent(COMPONENT).format(name=label.title(), base=base, label=label)
    path.write_text(text)
    return path


def digest(module: str) -> str:
    """Import a module as if for the first time, and return the digest of its plugin."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module.split(".")[0]]:
        del sys.modules[name]
    plugins._sources.clear()
    importlib.invalidate_caches()
    importlib.import_module(module)
    note_source(module)
    [value] = plugin_sources().values()
    return value


def test_a_file_by_its_content(folder: Path) -> None:
    path = write(folder, "toys.py")
    first = digest("toys")
    assert len(first) == 64 and digest("toys") == first
    text = path.read_text()
    path.write_text(text + "# a comment\n")
    assert digest("toys") != first
    path.write_text(text)
    assert digest("toys") == first
    (folder / "beside.py").write_text("")
    assert digest("toys") == first


def test_a_package_by_all_its_python_files(folder: Path) -> None:
    write(folder, "lab/heads/toy.py")
    (folder / "lab" / "__init__.py").write_text("")
    (folder / "lab" / "heads" / "__init__.py").write_text("")
    first = digest("lab.heads.toy")
    assert list(plugin_sources()) == ["lab"]
    (folder / "lab" / "layers.py").write_text("WIDTH = 3\n")
    second = digest("lab.heads.toy")
    (folder / "lab" / "layers.py").rename(folder / "lab" / "heads" / "layers.py")
    (folder / "lab" / "notes.txt").write_text("not Python")
    assert len({first, second, digest("lab.heads.toy")}) == 3


def test_of_a_namespace_package_the_module_alone(folder: Path) -> None:
    write(folder, "shared/mine.py")
    first = digest("shared.mine")
    assert list(plugin_sources()) == ["shared.mine"]
    write(folder, "shared/another.py")
    assert digest("shared.mine") == first


def test_it_is_the_source_that_was_imported(folder: Path) -> None:
    path = write(folder, "toys.py")
    first = digest("toys")
    path.write_text("1 / 0")
    note_source("toys")
    assert plugin_sources() == {"toys": first}


def test_registering_notes_it_and_echolm_is_no_plugin(folder: Path) -> None:
    write(folder, "toys.py")
    toys = importlib.import_module("toys")
    Registry("toy", []).register(toys.Toy)
    assert list(plugin_sources()) == ["toys"]
    HEADS.register(HEADS.get("mlp"))
    note_source("grid.anything")
    assert list(plugin_sources()) == ["toys"]


def test_a_class_counts_with_those_above_it(folder: Path) -> None:
    write(folder, "below.py", "low")
    write(folder, "above.py", "high", "Low").write_text(
        "from below import Low\n" + (folder / "above.py").read_text()
    )
    above = importlib.import_module("above")
    for module in ("above", "below", "textwrap"):
        note_source(module)
    assert list(sources_of([above.High(), "mlp", 3])) == ["above", "below"]
    assert list(sources_of([sys.modules["below"].Low()])) == ["below"]


def test_without_a_file_it_is_not_known(folder: Path) -> None:
    class Noted(Component):
        name: str = "noted"

    Noted.__module__ = "a notebook"
    note_source("a notebook")
    write(folder, "gone.py")
    importlib.import_module("gone")
    (folder / "gone.py").unlink()
    note_source("gone")
    assert plugin_sources() == {"a notebook": "", "gone": ""}


def test_a_run_of_echolms_own_components_has_no_plugin() -> None:
    config = parse_config(
        {
            "data": "d",
            "task": "landmarks",
            "encoder": "tiny-r3d",
            "trainable": "k0",
            "head": "mlp",
        }
    )
    assert code_facts(config) == {"code": None, "plugins": {}}
