"""Runs on the tiny store: a workspace a test, toy components registered for the test alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from echolm.stores.prepare_clips import prepare
from echolm.workspace import Workspace

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
# For processes that a test starts.
os.environ["PYTHONPATH"] = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]).rstrip(":")

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
    workspace = Workspace(tmp_path / "workspace")
    workspace.store("tiny").parent.mkdir(parents=True)
    workspace.store("tiny").symlink_to(tiny / "store")
    return workspace


@pytest.fixture(scope="session")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the same videos with all of their frames."""
    store = tmp_path_factory.mktemp("whole") / "store"
    prepare("echonet-dynamic", tiny / "source", store, "all", workers=1, progress=False)
    return store


@pytest.fixture
def videos(workspace: Workspace, whole: Path) -> Workspace:
    """The workspace with that store under the name ``videos``, too."""
    workspace.store("videos").symlink_to(whole)
    return workspace


@pytest.fixture(scope="session")
def reference(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Results of undisturbed runs, each trained once."""
    return Reference(tiny / "store", tmp_path_factory.mktemp("reference"))
