"""The dataset ``toy`` is importable, and registered for one test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echolm.datasets import DATASETS

sys.path.insert(0, str(Path(__file__).parent))

from toy_dataset import LISTED, Toy  # noqa: E402


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> type[Toy]:
    """The dataset ``toy``, registered for one test."""
    DATASETS.load()
    monkeypatch.setitem(DATASETS._classes, "toy", Toy)
    monkeypatch.delitem(DATASETS._bare, "toy", raising=False)
    return Toy


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., Path]:
    """Write the list of items into the folder ``toy``, and return the folder."""
    root = tmp_path / "toy"
    root.mkdir()

    def write(*items: dict[str, Any]) -> Path:
        (root / LISTED).write_text(json.dumps(items))
        return root

    write()
    return write
