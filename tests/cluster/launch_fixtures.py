"""Fixtures of the launchers' tests, here and in tests/ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from launch_support import Reference, Shell
from launch_support import faulty_heads as faulty


@pytest.fixture(autouse=True)
def faulty_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugin's heads in this process too, where nothing goes wrong with them."""
    healed = tmp_path / "always"
    healed.touch()
    monkeypatch.setenv("TEST_HEALED", str(healed))
    with faulty():
        yield


@pytest.fixture
def shell(tiny: Path, tmp_path: Path) -> Iterator[Shell]:
    """A workspace with the tiny store; workers that a failed test leaves behind are killed."""
    found = Shell(tmp_path, tiny / "store")
    yield found
    _, left = psutil.wait_procs(found.workers(), timeout=5)  # a killed one may be ending
    for process in left:
        os.kill(process.pid, 9)
    assert not left, "workers that nobody waits for"


@pytest.fixture(scope="session")
def reference(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Results of undisturbed runs."""
    return Reference(tiny / "store", tmp_path_factory.mktemp("reference"))
