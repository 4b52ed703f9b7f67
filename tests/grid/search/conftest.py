"""Searches over the tiny store, on a network so small that a trial takes a fraction of a second."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from search_support import Searches  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def searches(tiny: Path, tmp_path: Path) -> Searches:
    """A workspace with the tiny store."""
    return Searches(tmp_path, tiny / "store")
