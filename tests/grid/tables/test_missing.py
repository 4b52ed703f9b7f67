"""Few lines that name all that is missing and nothing else, and commands that run it."""

from __future__ import annotations

import itertools
import shlex
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.definition import Cell, Grid, load_grid
from grid.tables.build import build
from grid.tables.missing import Gap, command, gaps

ENCODERS, HEADS = ("tiny-r3d", "tiny-mvit"), ("mlp", "gcn")


def named(found: list[Gap]) -> list[str]:
    """The cells that gaps stand for, by id; an axis that is left out has all its labels."""
    places = [{"encoder": ENCODERS, "head": HEADS, **dict(gap.places)} for gap in found]
    return [
        ".".join(parts)
        for gap, place in zip(found, places, strict=True)
        for parts in itertools.product(place["encoder"], place["head"], gap.seeds)
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(done=st.sets(st.tuples(st.sampled_from(ENCODERS), st.sampled_from(HEADS), st.sampled_from("012")), min_size=1))
def test_the_gaps_are_exactly_what_is_missing(grid: Any, results: Any, done: set[tuple[str, str, str]]) -> None:
    results.runs.clear()
    for labels in done:
        results.run(".".join(labels))
    found = named(gaps(build(grid, "main", results.folder)))
    assert len(found) == len(set(found))
    assert set(found) == {cell.id for cell in grid.cells} - {".".join(labels) for labels in done}


def test_reasons_stay_apart_and_labels_come_together(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", predictions=False)
    results.run("tiny-r3d.gcn.0", predictions=False)
    results.run("tiny-mvit.mlp.0")
    assert [str(gap) for gap in gaps(build(grid, "main", results.folder))] == [
        "tiny-r3d: seed 0: the predictions were not collected",
        "tiny-r3d: seeds 1, 2: no complete run was collected",
        "tiny-mvit, mlp: seeds 1, 2: no complete run was collected",
        "tiny-mvit, gcn: seeds 0, 1, 2: no complete run was collected",
    ]


def test_a_table_without_any_run_is_one_line(grid: Any) -> None:
    [gap] = gaps(build(grid, "main", None))
    assert str(gap) == "everything: no complete run was collected"


def test_a_cell_without_an_axis_keeps_a_line_of_its_own(grid: Any, results: Any, cell: Any) -> None:
    grid.cells += [
        cell("mean", {"head": "mean", "seed": "0"}),
        cell("other", {"encoder": "x", "head": "mean", "seed": "0"}),
    ]
    results.run("tiny-r3d.mlp.0")
    table = build(grid, "main", results.folder)
    lines = {str(gap).split(":")[0]: command(table, dict(gap.places)) for gap in gaps(table)}
    assert lines["-, mean"] == "echolm launch small --on local --where head=mean"
    assert lines["x, mean"] == "echolm launch small --on local --where encoder=x --where head=mean"


def selected(grid: Grid, text: str) -> list[Cell]:
    """The cells that a launch command runs."""
    words = shlex.split(text)
    assert words[:5] == ["echolm", "launch", grid.name, "--on", "local"]
    return grid.where(words[6::2])


@pytest.mark.parametrize("name", ["nldl2026", "nldl2026-phantom", "demo"])
def test_the_commands_of_a_shipped_grid_run_just_its_tables(name: str) -> None:
    """Every value's own command, and every gap's, selects its cells and no others."""
    grid = load_grid(name)
    for key in grid.tables:
        table = build(grid, key, None)
        [gap] = gaps(table)
        assert selected(grid, command(table, dict(gap.places))) == [cell for cell in grid.cells if key in cell.tables]
        for row in table.rows:
            for column, value in zip(table.columns, row.values, strict=True):
                if value.expected:
                    places = {axis: (label,) for axis, label in table.place(row, column).items()}
                    cells = [cell.id for cell in selected(grid, command(table, places))]
                    assert cells == [item.cell for item in value.missing]
