"""A tracking database copied from one template, and run records."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grid.tracking.store import open_client

sys.path.insert(0, str(Path(__file__).parent))

from tracking_support import Records  # noqa: E402


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new tracking database: the only one that is created, except where creation is tested."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    open_client(f"sqlite:///{path}")
    return path


def copied(template: Path, folder: Path) -> str:
    folder.mkdir()
    shutil.copyfile(template, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def uri(template: Path, tmp_path: Path) -> str:
    """The address of an empty tracking database."""
    return copied(template, tmp_path / "mlflow")


@pytest.fixture
def another(template: Path, tmp_path: Path) -> str:
    """The address of another one."""
    return copied(template, tmp_path / "another")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "runs")


@pytest.fixture
def records_at() -> Callable[[Path], Records]:
    return Records
