"""Grids from definitions as plain data or as text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from grid.definition.grid import Grid, load_grid

sys.path.insert(0, str(Path(__file__).parent))

from definition_support import DEFINITION  # noqa: E402


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Load a grid from a definition as plain data or as text."""

    def from_values(values: Any = None, **sections: Any) -> Grid:
        path = tmp_path / "my-grid.yaml"
        if isinstance(values, str):
            content = values
        else:
            definition = {**DEFINITION, **(values or {}), **sections}
            content = yaml.safe_dump(definition, sort_keys=False)
        path.write_text(content, encoding="utf-8")
        return load_grid(str(path))

    return from_values
