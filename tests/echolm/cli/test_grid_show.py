"""``echolm grid show`` tells which cells cannot run, where there is a workspace to look at."""

from __future__ import annotations

import json

from launch_support import Launched, Shell


def test_blocked_cells_are_told_after_the_table(launched: Launched) -> None:
    missing = launched.cells["missing"].id
    shown = launched.shell.inside("grid", "show", launched.grid)
    assert shown.status == 0
    assert shown.out.splitlines()[-1] == "3 of 3 cells of toy"
    [line] = shown.err.splitlines()
    assert line.startswith(f"1 cell cannot run ({missing[:8]}): ")
    assert "/nowhere/weights.pt" in line


def test_each_cell_has_its_problem_in_json(launched: Launched) -> None:
    missing = launched.cells["missing"].id
    shown = launched.shell.inside("grid", "show", launched.grid, "--json")
    problems = {cell["cell"]: cell["problem"] for cell in json.loads(shown.out)}
    assert "/nowhere/weights.pt" in problems.pop(missing)
    assert set(problems.values()) == {""}
    assert shown.err == ""


def test_cells_without_a_store_share_one_line(bare: Shell) -> None:
    bare.workspace.root.mkdir()
    shown = bare.inside("grid", "show", "demo")
    assert shown.status == 0
    [line] = shown.err.splitlines()
    assert line.startswith("11 cells cannot run (")
    assert str(bare.workspace.store("echonet-dynamic-phantom")) in line


def test_without_a_workspace_nothing_is_told(bare: Shell) -> None:
    shown = bare.inside("grid", "show", "demo")
    assert (shown.status, shown.err) == (0, "")
    cells = json.loads(bare.inside("grid", "show", "demo", "--json").out)
    assert {cell["problem"] for cell in cells} == {""}
