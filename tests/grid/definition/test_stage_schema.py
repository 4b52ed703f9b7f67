"""The JSON Schema of grid files knows stages and resources."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from stage_definitions import FIRST, of, stages

from grid.json_schemas import grid_schema


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema of grid files."""
    return dict(grid_schema())


def problems(schema: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """What an editor would mark."""
    checker = jsonschema.Draft202012Validator(schema)
    return [error.message for error in checker.iter_errors(values)]


def test_what_is_valid_is_not_marked(schema: dict[str, Any]) -> None:
    assert problems(schema, stages(of({"head": "gcn", "seed": 1}))) == []
    assert problems(schema, {"axes": {"weights": ["random", of({})]}}) == []
    assert problems(schema, {"resources": {"gpus": 8, "memory_gb": 12.5, "slots": 2}}) == []


def test_what_is_not_is_marked(schema: dict[str, Any]) -> None:
    assert problems(schema, stages({"of": "first", "were": {}}))
    assert problems(schema, {"subgrids": {"a": {**FIRST, "resources": {"gpu": 8}}}})
    assert problems(schema, {"resources": {"slots": 0}})
