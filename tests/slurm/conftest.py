"""The lab for the tests of this folder, and a workspace whose grids run on it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))

from launch_support import faulty_heads  # noqa: E402

from tests.slurm.client import Slurm  # noqa: E402
from tests.slurm.fixtures import lab, slurm  # noqa: E402
from tests.slurm.site import Site  # noqa: E402

__all__ = ["lab", "slurm"]


@pytest.fixture(scope="session")
def pinned_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pinned code of all workspaces: each version of it is built and compiled once."""
    return tmp_path_factory.mktemp("code")


@pytest.fixture
def site(
    slurm: Slurm, tiny: Path, tmp_path: Path, pinned_code: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A workspace with the tiny store and a profile of the lab."""
    healed = tmp_path / "always"
    healed.touch()
    monkeypatch.setenv("TEST_HEALED", str(healed))
    site = Site(tmp_path, tiny / "store", slurm.settings, pinned_code)
    site.profile()
    with faulty_heads():
        yield site
