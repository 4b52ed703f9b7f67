"""Fixtures of the tests of SLURM without a SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest
from login_node import LoginNode


@pytest.fixture
def login(tiny: Path, tmp_path: Path) -> LoginNode:
    """A login node whose SLURM is a stand-in, with the tiny store."""
    return LoginNode(tmp_path, tiny / "store")
