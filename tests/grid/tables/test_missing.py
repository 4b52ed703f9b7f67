"""Few lines that name all that is missing and nothing else, and commands that run it."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_commands import typed

from echolm.states import RunState
from grid.definition.grid import Cell, Grid, load_grid
from grid.tables.build import build
from grid.tables.missing import Gap, gaps, missing
from grid.tables.render.data import records
from grid.tables.render.markdown import markdown

ENCODERS, HEADS = ("tiny-r3d", "tiny-mvit"), ("mlp", "gcn")


def named(found: list[Gap]) -> list[str]:
    """The cells that gaps stand for, by id; an axis that is left out has all its labels."""
    places = [{"encoder": ENCODERS, "head": HEADS, **dict(gap.places)} for gap in found]
    return [
        ".".join(parts)
        for gap, place in zip(found, places, strict=True)
        for parts in itertools.product(place["encoder"], place["head"], gap.seeds)
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    done=st.sets(
        st.tuples(st.sampled_from(ENCODERS), st.sampled_from(HEADS), st.sampled_from("012")),
        min_size=1,
    )
)
def test_the_gaps_are_exactly_what_is_missing(
    grid: Any, results: Any, done: set[tuple[str, str, str]]
) -> None:
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


def test_what_a_run_waits_for_decides_the_command(grid: Any, results: Any) -> None:
    states = ["pending", "interrupted", "running", "failed", "cancelled", "pruned", "complete", ""]
    cells = [cell.id for cell in grid.cells if cell.id.startswith("tiny-r3d")] + [
        "tiny-mvit.mlp.0",
        "tiny-mvit.mlp.1",
    ]
    for cell in ("tiny-mvit.mlp.2", *(f"tiny-mvit.gcn.{seed}" for seed in "012")):
        results.run(cell)
    table = build(
        grid, "main", results.folder, state=dict(zip(cells, states, strict=True)).__getitem__
    )
    at = "--where encoder=tiny-r3d --where head="
    assert [(str(gap), str(gap.command)) for gap in gaps(table)] == [
        (
            "tiny-r3d, mlp: seed 0: no complete run was collected",
            f"echolm launch small --on local {at}mlp",
        ),
        (
            "tiny-r3d, mlp: seed 1: the run was interrupted",
            f"echolm launch small --on local {at}mlp",
        ),
        ("tiny-r3d, mlp: seed 2: the run is not complete yet", f"echolm status small {at}mlp"),
        ("tiny-r3d, gcn: seed 0: the run failed", f"echolm retry small {at}gcn"),
        ("tiny-r3d, gcn: seed 1: the run was cancelled", f"echolm retry small {at}gcn"),
        ("tiny-r3d, gcn: seed 2: the run was pruned", f"echolm retry small {at}gcn"),
        ("tiny-mvit, mlp: seed 0: the run was not collected", "echolm collect small"),
        (
            "tiny-mvit, mlp: seed 1: no complete run was collected",
            "echolm launch small --on local --where encoder=tiny-mvit --where head=mlp",
        ),
    ]


def test_a_training_that_diverged_is_no_gap_to_be_run_again(grid: Any, results: Any) -> None:
    """It stands in the table as diverged, beside seeds that trained as well as alone.

    The hint is at the configuration.
    """
    for cell in grid.cells:
        if cell.id not in ("tiny-r3d.mlp.1", "tiny-r3d.gcn.0", "tiny-r3d.gcn.1", "tiny-r3d.gcn.2"):
            results.run(cell.id)
    table = build(grid, "main", results.folder, state=lambda cell: "diverged")
    some, none = table.rows[0].values[0], table.rows[1].values[0]
    assert [run.seed for run in some.diverged] == ["1"]
    assert some.number is not None
    assert some.number.seeds == 2
    assert not some.bold
    assert [run.seed for run in none.diverged] == ["0", "1", "2"]
    assert none.number is None
    text = markdown(table)
    lines = [line for line in text.splitlines() if line.startswith("| tiny-r3d")]
    assert "§†" in lines[0]
    assert lines[1].count("diverged†") == 3
    assert (
        "- tiny-r3d, mlp: seed 1 diverged (its training ended with a loss that is not "
        "finite); not in the number"
    ) in text
    assert "so it is never bold" in text
    assert "retry" not in text
    assert "such as to a lower learning rate; type: `echolm status small" in text
    record = next(line for line in records(table) if line["head"] == "gcn")
    assert record["diverged_seeds"] == ["0", "1", "2"]
    assert record["command"].startswith("echolm status small --where encoder=tiny-r3d")


def test_every_state_of_a_run_has_its_command(results: Any, grid: Any) -> None:
    assert {state: missing("0", "c", state, False).remedy for state in (*RunState, "diverged")} == {
        "diverged": "status",
        "pending": "launch",
        "running": "status",
        "interrupted": "launch",
        "complete": "collect",
        "failed": "retry",
        "pruned": "retry",
        "cancelled": "retry",
    }


def test_commands_name_the_file_of_a_grid_and_begin_as_they_were_typed(grid: Any) -> None:
    grid.typed = "my grids/small.yaml"
    table = replace(build(grid, "main", None), program=("echolm", "--workspace", "/w"))
    commands = {
        verb: typed(table, {"head": ["mlp"]}, verb) for verb in ("launch", "retry", "collect")
    }
    assert commands == {
        "launch": "echolm --workspace /w launch 'my grids/small.yaml' --on local --where head=mlp",
        "retry": "echolm --workspace /w retry 'my grids/small.yaml' --where head=mlp",
        "collect": "echolm --workspace /w collect 'my grids/small.yaml'",
    }
    there = replace(table, place="slurm", program=("echolm",), reference="small")
    assert typed(there, {}) == "echolm launch small --on slurm"
    assert typed(there, {}, "retry") == "echolm retry small --on slurm"
    assert typed(there, {}, "status") == "echolm status small"


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
    lines = {str(gap).split(":")[0]: str(gap.command) for gap in gaps(table)}
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
        assert selected(grid, str(gap.command)) == [
            cell for cell in grid.cells if key in cell.tables
        ]
        for row in table.rows:
            for column, value in zip(table.columns, row.values, strict=True):
                if value.expected:
                    places = {
                        axis: (label,) for axis, label in table.coordinates(row, column).items()
                    }
                    cells = [cell.id for cell in selected(grid, typed(table, places))]
                    assert cells == [item.cell for item in value.missing]
