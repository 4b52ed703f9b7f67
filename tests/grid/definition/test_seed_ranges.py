"""Seeds as ranges: ``0-4``, ``[0-4]``, ``[0-4, 7]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from definition_support import BASE
from hypothesis import given
from hypothesis import strategies as st

from echolm.yaml_files import parse_yaml
from grid.definition.copy import copy_grid
from grid.definition.schema import SEED_AXES, with_ranges

TEXT = """
base: {{data: d, task: landmarks, encoder: tiny-r3d, trainable: k0, head: mlp}}
axes: {{seed: {seeds}}}
"""


@pytest.mark.parametrize(
    ("seeds", "numbers"),
    [
        ("0-4", [0, 1, 2, 3, 4]),
        ("[0-4]", [0, 1, 2, 3, 4]),
        ("[0-2, 7]", [0, 1, 2, 7]),
        ("[9, 3-4, 0-1]", [9, 3, 4, 0, 1]),
        ("'0-1'", [0, 1]),
        ("5-5", [5]),
        ("3", [3]),
        ("[0, 1]", [0, 1]),
    ],
)
def test_as_they_are_written(load: Any, seeds: str, numbers: list[int]) -> None:
    grid = load(TEXT.format(seeds=seeds))
    assert [cell.config.seed for cell in grid.cells] == numbers
    assert [cell.coordinates["seed"] for cell in grid.cells] == [str(seed) for seed in numbers]
    spelled = load(TEXT.format(seeds=numbers))
    assert [cell.id for cell in spelled.cells] == [cell.id for cell in grid.cells]


@given(st.integers(0, 500), st.integers(0, 50), st.sampled_from(SEED_AXES))
def test_a_range_is_its_numbers(first: int, more: int, axis: str) -> None:
    written = parse_yaml(f"[{first}-{first + more}]", "x")
    assert with_ranges(axis, written) == list(range(first, first + more + 1))


def test_on_every_axis_of_seeds_and_nowhere_else(load: Any) -> None:
    grid = load(axes={"order_seed": "1-2", "data.subset_seed": ["0-1"]})
    assert [(c.config.order_seed, c.config.data.subset_seed) for c in grid.cells] == [
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
    ]
    label = {"label": "0-4", "set": {"epochs": 1}}
    assert load(axes={"epochs": [label]}).cells[0].coordinates == {"epochs": "0-4"}


def test_in_exclude_and_include(load: Any) -> None:
    grid = load(
        axes={"head": ["mlp", "gcn"], "seed": "0-3"},
        exclude=[{"head": "gcn", "seed": ["1-2", 3]}],
        include=[{"head": "mean", "seed": "8-9"}],
    )
    by_head: dict[str, list[int]] = {}
    for cell in grid.cells:
        by_head.setdefault(cell.coordinates["head"], []).append(cell.config.seed)
    assert by_head == {"mlp": [0, 1, 2, 3], "gcn": [0], "mean": [8, 9]}


def test_a_copy_with_other_seeds_knows_a_range_as_several(load: Any, tmp_path: Path) -> None:
    grid = load(
        base=BASE,
        axes={},
        subgrids={
            "several": {"axes": {"head": ["mlp"], "seed": ["0-2"]}},
            "one": {"axes": {"head": ["mean"], "seed": [0]}},
        },
    )
    copied = copy_grid(grid, tmp_path / "more.yaml", [0, 1, 2, 3])
    assert [(c.coordinates["head"], c.config.seed) for c in copied.cells] == [
        ("mlp", 0),
        ("mlp", 1),
        ("mlp", 2),
        ("mlp", 3),
        ("mean", 0),
    ]
