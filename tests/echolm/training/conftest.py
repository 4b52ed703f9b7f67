"""Runs on the tiny store: a workspace a test, toy components that are registered for the test alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from echolm.workspace import Workspace

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))  # for processes

from training_support import Reference  # noqa: E402
from training_toys import registered  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    """Toy tasks and heads, registered during the test."""
    with registered():
        yield


@pytest.fixture
def workspace(tiny: Path, tmp_path: Path) -> Workspace:
    """An empty workspace with the tiny store under the name ``tiny``."""
    found = Workspace(tmp_path / "workspace")
    found.store("tiny").parent.mkdir(parents=True)
    found.store("tiny").symlink_to(tiny / "store")
    return found


@pytest.fixture(scope="session")
def reference(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Results of undisturbed runs, each trained once."""
    return Reference(tiny / "store", tmp_path_factory.mktemp("reference"))
