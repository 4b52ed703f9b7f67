"""Good inputs, made once, and a copy of them for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bad_input_support import Place, config, grid, typed  # noqa: E402


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``Place`` describes."""
    from grid.tracking.store import open_client

    root = tmp_path_factory.mktemp("good") / "place"
    root.mkdir()
    place = Place(root)
    config()(place)
    grid({"head": ["mlp", "gcn"], "seed": [0, 1]})(place)
    (root / "workspace/mlflow").mkdir(parents=True)
    open_client(f"sqlite:///{root}/workspace/mlflow/mlflow.db")
    shutil.copyfile(root / "workspace/mlflow/mlflow.db", root / "empty.db")
    for command in (
        "echolm data phantom echonet-dynamic {source} --videos 12",
        "echolm data prepare echonet-dynamic {source} --name phantom --workers 1",
        "echolm train {run} --quiet",
        "echolm launch {grid} --where head=mlp --where seed=0",
    ):
        done = typed(command, place)
        assert done.status == 0, (command, done)
    return root


@pytest.fixture
def place(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Its copy, as the current folder."""
    shutil.copytree(good, tmp_path / "place", symlinks=True)
    copy = Place(tmp_path / "place")
    for name in [name for name in os.environ if name.startswith(("ECHOLM_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(copy.root)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(copy.root), str(Path(__file__).parents[2])])
    )
    yield copy
    for folder in copy.mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
