"""A grid that defines no table has one: a row a setting, the metrics of its task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from definition_support import BASE, TABLE

from echolm.tasks import TASKS, Task
from echolm.workspace import Workspace
from grid.definition.default_table import NAME
from grid.definition.grid import Grid, load_grid, shipped_grids
from grid.definition.launched import open_tables
from grid.definition.table_cells import cells_of_table
from grid.definition.tables import TableGrid
from grid.plan import save_cells


class ToyNumber(Task):
    """A task of one number, whose metrics are statistics of truth and prediction."""

    name: Literal["toy-number"] = "toy-number"

    def outputs(self) -> tuple[int, ...]:
        return (1,)

    def describe(self) -> dict[str, Any]:
        return {"mae": {"unit": "ml", "better": "lower"}, "width": {"unit": "", "better": "lower"}}


class ToySilent(ToyNumber):
    """A task that describes nothing."""

    name: Literal["toy-silent"] = "toy-silent"  # type: ignore[assignment]

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.fixture(autouse=True)
def tasks() -> Iterator[None]:
    for task in (ToyNumber, ToySilent):
        TASKS.register(task)
    yield
    del TASKS._classes["toy-number"], TASKS._classes["toy-silent"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def rows(grid: TableGrid) -> dict[tuple[str, ...], list[str]]:
    """Row labels -> seeds of the first column, as the table has them."""
    return {labels: list(cells[0]) for labels, cells in cells_of_table(grid, NAME).items()}


def opened(grid: Grid, workspace: Workspace) -> TableGrid:
    return open_tables(workspace, str(grid.path))[0]


def test_a_row_a_setting_and_a_column_a_metric_and_slot(load: Any, workspace: Workspace) -> None:
    grid = opened(load(title="mine", axes={"head": ["mlp", "gcn"], "seed": "0-1"}), workspace)
    table = grid.tables[NAME]
    assert (table.title, table.rows) == ("mine", ("head",))
    assert [column.heading for column in table.columns] == [
        "dice ED",
        "dice ES",
        "mke ED",
        "mke ES",
    ]
    assert [column.direction for column in table.columns] == ["higher"] * 2 + ["lower"] * 2
    assert rows(grid) == {("mlp",): ["0", "1"], ("gcn",): ["0", "1"]}


def test_axes_of_one_label_tell_nothing(load: Any, workspace: Workspace) -> None:
    axes = {"trainable": ["k1"], "head": ["mlp", "gcn"], "seed": [0]}
    assert opened(load(axes=axes), workspace).tables[NAME].rows == ("head",)
    axes = {"trainable": ["k1"], "head": ["mlp"], "seed": [0]}
    grid = opened(load(axes=axes), workspace)
    assert rows(grid) == {("k1", "mlp"): ["0"]}


def test_one_setting_alone_is_named_by_its_parts(load: Any, workspace: Workspace) -> None:
    grid = load(axes={"seed": "0-2"})
    table = opened(grid, workspace)
    assert table.tables[NAME].rows == ("encoder", "trainable", "head")
    assert rows(table) == {("tiny-r3d", "k1", "mlp"): ["0", "1", "2"]}
    assert [cell.coordinates for cell in grid.cells] == [{"seed": str(n)} for n in range(3)]
    conditions = ["encoder=tiny-r3d", "trainable=k1", "head=mlp", "seed=1-2"]
    assert grid.where(conditions) == grid.cells[1:], "what commands of its table select by"
    single = opened(load(axes={}), workspace)
    assert rows(single) == {("tiny-r3d", "k1", "mlp"): ["-"]}


def test_blocks_of_different_axes(load: Any, workspace: Workspace) -> None:
    subgrids = {
        "heads": {"axes": {"head": ["mlp", "gcn"], "seed": [0, 1]}},
        "short": {"axes": {"epochs": [1, 2], "seed": [0]}, "base": {"head": "mean"}},
    }
    grid = opened(load(axes={}, subgrids=subgrids), workspace)
    assert grid.tables[NAME].rows == ("head", "epochs")
    assert rows(grid) == {
        ("mlp", "-"): ["0", "1"],
        ("gcn", "-"): ["0", "1"],
        ("-", "1"): ["0"],
        ("-", "2"): ["0"],
    }


def test_statistics_of_truth_and_prediction(load: Any, workspace: Workspace) -> None:
    base = {**BASE, "task": "toy-number"}
    table = opened(load(base=base, axes={"seed": [0]}), workspace).tables[NAME]
    assert [(column.statistic, column.metric) for column in table.columns] == [
        ("mae", ""),
        ("mean", "width"),
    ]
    assert [column.heading for column in table.columns] == ["mae (ml)", "width"]


@pytest.mark.parametrize(
    "changes",
    [
        {"base": {**BASE, "task": "toy-silent"}, "axes": {"seed": [0]}},
        {"axes": {"task": ["landmarks", "toy-number"]}},
        {
            "axes": {},
            "subgrids": {
                "a": {"axes": {"seed": [0]}, "base": {"epochs": 1}},
                "b": {"axes": {"seed": [0]}, "base": {"epochs": 2}},
            },
        },
    ],
    ids=["no metric", "two tasks", "cells that differ in no axis"],
)
def test_where_none_can_be_made_there_is_none(
    load: Any, workspace: Workspace, changes: dict[str, Any]
) -> None:
    assert not opened(load(**changes), workspace).tables


def test_own_tables_are_left_alone(load: Any, workspace: Workspace) -> None:
    grid = load(tables={"main": TABLE})
    assert opened(grid, workspace) == grid
    for name in shipped_grids():
        assert NAME not in open_tables(workspace, name)[0].tables


def test_by_name_it_is_made_of_what_was_launched(load: Any, workspace: Workspace) -> None:
    grid = load(axes={"seed": "0-2"})
    stored = save_cells(grid, workspace)
    assert json.loads(stored.read_text())["tables"] == {}
    by_name, was_launched = open_tables(workspace, grid.name)
    assert was_launched and rows(by_name) == rows(opened(grid, workspace))
    content = json.loads(stored.read_text())
    for entry in content["cells"].values():
        entry["config"]["task"] = {"name": "of a plugin that is gone"}
    stored.write_text(json.dumps(content))
    assert not open_tables(workspace, grid.name)[0].tables


def test_a_grid_that_a_search_writes_has_it(tmp_path: Path, workspace: Workspace) -> None:
    from echolm.yaml_files import dump_yaml
    from grid.search.definition import load_search
    from grid.search.results import TrialSummary, seeds_grid

    parameters = {"optimizer.lr": 0.001, "head": "mlp", "trainable": "k2"}
    trial = TrialSummary(0, "complete", 1.0, 3, parameters, "c", "", "")
    path = tmp_path / "best.yaml"
    path.write_text(dump_yaml(seeds_grid(load_search("demo"), trial, [trial])))
    grid = opened(load_grid(str(path)), workspace)
    [seeds] = rows(grid).values()
    assert len(seeds) > 1 and grid.tables[NAME].title.startswith("the best of search demo")
