"""Commands as real processes; one workspace with a launched grid, which is only read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "cluster"))

from launch_support import Launched, Shell, faulty_heads  # noqa: E402

TABLE = """
tables:
  main: {title: A table, rows: [head], columns: [{metric: mke, slot: ED}]}
"""


@pytest.fixture(autouse=True)
def heads() -> Iterator[None]:
    """The plugin's heads in this process too."""
    with faulty_heads():
        yield


@pytest.fixture
def shell(tiny: Path, tmp_path: Path) -> Shell:
    """A workspace with the tiny store."""
    return Shell(tmp_path, tiny / "store")


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    """A workspace folder that is not there."""
    return Shell(tmp_path, None)


@pytest.fixture(scope="session")
def launched(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """Launched and collected, with --json."""
    shell = Shell(tmp_path_factory.mktemp("launched"), tiny / "store")
    missing = {
        "encoder": "tiny-r3d",
        "weights": "file:/nowhere/weights.pt",
        "trainable": "k1",
        "head": "slow",
    }
    kinds = [{"label": name, "set": {"head": name}} for name in ("mean", "fails")]
    axis = [*kinds, {"label": "missing", "set": missing}]
    grid = shell.grid({"head": axis}, epochs=1, encoder="none", trainable="k0")
    grid.write_text(grid.read_text() + TABLE)
    done = shell("launch", grid, "--json")
    with faulty_heads():
        cells = {cell.coordinates["head"]: cell for cell in shell.cells(grid)}
    return Launched(shell, grid, done, cells)
