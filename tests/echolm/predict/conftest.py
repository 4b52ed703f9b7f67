"""A small landmark run, trained once, and clips for it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

from echolm.predict import ContourPredictor
from echolm.record import RunRecord
from echolm.training.loop import fit
from echolm.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent))

from predict_support import prepared  # noqa: E402


@pytest.fixture(scope="package")
def workspace(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with the tiny store."""
    torch.set_num_threads(1)
    workspace = Workspace(tmp_path_factory.mktemp("predict"))
    workspace.store("tiny").parent.mkdir(parents=True)
    workspace.store("tiny").symlink_to(tiny / "store")
    return workspace


@pytest.fixture(scope="package")
def record(workspace: Workspace) -> RunRecord:
    """A complete run."""
    run = prepared(workspace)
    assert fit([run])[0].state == "complete"
    return run.record


@pytest.fixture(scope="package")
def predictor(record: RunRecord, workspace: Workspace) -> ContourPredictor:
    """Its network."""
    return ContourPredictor(record, workspace)


@pytest.fixture(scope="package")
def videos(tiny: Path) -> list[Path]:
    """Phantom clips."""
    return sorted((tiny / "source" / "Videos").glob("*.avi"))


@pytest.fixture
def clips(videos: list[Path], tmp_path: Path) -> Path:
    """A folder with four of them."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in videos[:4]:
        shutil.copy(path, folder)
    return folder
