"""Runs of another source of a plugin than today's, or than other seeds', are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from echolm import plugins
from echolm.attempt import Attempt
from echolm.heads import HEADS
from echolm.heads.mlp import MLP
from echolm.record import RunRecord
from echolm.stores.clips import SCHEMA
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.definition.grid import Grid, load_grid
from grid.definition.launched import read_launched
from grid.explain import explain_cell
from grid.plan import save_cells
from grid.plugin_changes import plugin_changes

PLUGIN = __name__
THEN, NOW = "a" * 64, "b" * 64


class Toy(MLP):
    """A head of a plugin."""

    name: Literal["toy-plugin"] = "toy-plugin"  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The head is registered, and its source is that of NOW."""
    monkeypatch.setattr(plugins, "_sources", {})
    HEADS.register(Toy)  # type: ignore[arg-type]
    plugins._sources[PLUGIN] = NOW
    yield
    del HEADS._classes["toy-plugin"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.store("d").mkdir(parents=True)
    facts = {"schema": SCHEMA, "fingerprint": "d" * 64}
    (made.store("d") / "store.json").write_text(json.dumps(facts))
    return made


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    path = tmp_path / "g.yaml"
    path.write_text(
        "base: {data: d, task: landmarks, encoder: tiny-r3d, trainable: k0}\n"
        "axes: {head: [toy-plugin, mlp], seed: [0, 1, 2]}\n"
    )
    return load_grid(str(path))


def attempt(grid: Grid, workspace: Workspace, number: int, **started: Any) -> Attempt:
    """Begin a run of a cell."""
    run = prepare_run(grid.cells[number].config, workspace)
    run.record.create(run.identity)
    made = Attempt.acquire(run.record)
    made.event("started", **started)
    return made


def complete(grid: Grid, workspace: Workspace, number: int, **started: Any) -> RunRecord:
    made = attempt(grid, workspace, number, **started)
    made.publish({}, [])
    made.release()
    return made.record


def changes(workspace: Workspace, grid: Grid) -> list[str]:
    return plugin_changes(workspace, grid.name, grid.cells)


def test_runs_of_todays_source_say_nothing(workspace: Workspace, grid: Grid) -> None:
    for number in range(3):
        complete(grid, workspace, number, plugins={PLUGIN: NOW})
    for number in range(3, 6):
        complete(grid, workspace, number, plugins={})
    assert changes(workspace, grid) == []


def test_an_edited_plugin_is_told_with_the_remedy(workspace: Workspace, grid: Grid) -> None:
    for number in range(3):
        complete(grid, workspace, number, plugins={PLUGIN: THEN})
    [line] = changes(workspace, grid)
    ids = ", ".join(cell.id[:8] for cell in grid.cells[:3])
    assert line.startswith(
        f"3 runs ({ids}) made with plugin {PLUGIN} aaaaaaaa, today {PLUGIN} bbbbbbbb; "
    )
    assert "raise the component's protocol (protocol: ClassVar[int] = 2 in its class)" in line


def test_seeds_of_several_sources_are_told(workspace: Workspace, grid: Grid) -> None:
    complete(grid, workspace, 0, plugins={PLUGIN: THEN})
    complete(grid, workspace, 1, plugins={PLUGIN: NOW})
    complete(grid, workspace, 2, plugins={PLUGIN: NOW})
    today, seeds = changes(workspace, grid)
    assert today.startswith("1 run (")
    assert seeds == (
        f"head=toy-plugin: seeds of several sources: seed 0 with {PLUGIN} aaaaaaaa; "
        f"seed 1, 2 with {PLUGIN} bbbbbbbb"
    )


def test_a_run_begun_with_one_and_finished_with_another(workspace: Workspace, grid: Grid) -> None:
    attempt(grid, workspace, 0, plugins={PLUGIN: THEN}).release("interrupted")
    [before] = changes(workspace, grid)
    assert "begun, and would go on with another" in before
    complete(grid, workspace, 0, epoch=1, step=2, plugins={PLUGIN: NOW})
    [line] = changes(workspace, grid)
    assert line == (
        f"cell {grid.cells[0].id[:8]} was begun with plugin {PLUGIN} aaaaaaaa, went on with "
        f"{PLUGIN} bbbbbbbb"
    )


def test_one_that_began_anew_is_of_one_source(workspace: Workspace, grid: Grid) -> None:
    attempt(grid, workspace, 0, plugins={PLUGIN: THEN}).release("interrupted")
    record = complete(grid, workspace, 0, epoch=0, step=0, plugins={PLUGIN: NOW})
    assert record.plugin_sources() == [{PLUGIN: NOW}]
    assert changes(workspace, grid) == []


def test_records_of_earlier_versions_raise_no_storm(workspace: Workspace, grid: Grid) -> None:
    for number in range(6):
        complete(grid, workspace, number)
    assert changes(workspace, grid) == []
    [line] = [line for line in _explained(grid, workspace, 0) if "plugin" in line]
    assert "its plugins is not recorded" in line
    assert not [line for line in _explained(grid, workspace, 3) if "plugin" in line]


def test_tables_by_name_know_it_from_the_stored_configurations(
    workspace: Workspace, grid: Grid
) -> None:
    save_cells(grid, workspace)
    complete(grid, workspace, 0, plugins={PLUGIN: THEN})
    by_name = read_launched(workspace.grids, "g")
    assert plugin_changes(workspace, "g", by_name.cells) == changes(workspace, grid) != []


def test_many_are_shortened(workspace: Workspace, grid: Grid, tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(grid.path.read_text().replace("[0, 1, 2]", str(list(range(12)))))
    many = load_grid(str(path))
    for number in range(12):
        complete(many, workspace, number, plugins={PLUGIN: f"{number:064x}"[::-1]})
    lines = changes(workspace, many)
    assert [line for line in lines if "and 7 more" in line] and len(lines) == 7


@pytest.mark.parametrize(
    ("source", "words"),
    [(NOW, "bbbbbbbb, as today"), (THEN, "aaaaaaaa, today"), ("", "(no file), today")],
)
def test_explain_says_it_of_each_run(
    workspace: Workspace, grid: Grid, source: str, words: str
) -> None:
    complete(grid, workspace, 0, plugins={PLUGIN: source})
    assert [line for line in _explained(grid, workspace, 0) if words in line]


def _explained(grid: Grid, workspace: Workspace, number: int) -> list[str]:
    findings: list[str] = explain_cell(grid.cells[number].id, workspace)["findings"]
    return findings
