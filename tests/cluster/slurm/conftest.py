"""Fixtures of the tests of SLURM without a SLURM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from batch_site import BatchSite
from login_node import LoginNode


@pytest.fixture
def login(tiny: Path, tmp_path: Path) -> LoginNode:
    """A login node whose SLURM is a stand-in, with the tiny store."""
    return LoginNode(tmp_path, tiny / "store")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchSite:
    """A batch of four units, one array of four jobs."""
    monkeypatch.setenv(
        "PATH", f"{tmp_path}{os.pathsep}/bin" if not Path("/bin/squeue").exists() else str(tmp_path)
    )
    return BatchSite(tmp_path)
