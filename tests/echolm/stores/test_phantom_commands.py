"""What ``echolm data phantom`` prints to type next prepares the phantom, of every dataset."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from echolm.cli import main
from echolm.datasets import DATASETS
from echolm.stores.clips import ClipStore
from echolm.workspace import Workspace

ITEMS = 4
MADE = [name for name in DATASETS.names() if DATASETS.get(name).has_phantom()]


@pytest.mark.parametrize("name", MADE)
def test_the_command_that_is_printed_prepares_it(name: str, tmp_path: Path) -> None:
    shell = CliRunner()
    folder = tmp_path / "raw data"
    done = shell.invoke(main, ["data", "phantom", name, str(folder), "--items", str(ITEMS)])
    assert done.exit_code == 0, done.output
    printed = done.output.splitlines()[-1].partition("; next: ")[2]
    words = shlex.split(printed)[1:]
    workspace = Workspace(tmp_path / "workspace")
    done = shell.invoke(main, ["--workspace", str(workspace.root), *words, "--workers", "1"])
    assert done.exit_code == 0, done.output
    store = ClipStore.open(workspace.store(f"{name}-phantom"))
    assert len(store.items) == ITEMS and store.info["synthetic"]
