"""A grid is known by its file's name: one name, one file in a workspace, for every command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from launch_support import Shell

from echolm.errors import EchoLMError
from echolm.workspace import Workspace
from grid.api import Results
from grid.definition.files import launch_differences, load_in
from grid.definition.grid import load_grid, shipped_grids
from grid.definition.launched import open_grid, open_tables, read_launched
from grid.plan import save_cells

TABLE = """
tables:
  main: {title: The title, rows: [head], columns: [{metric: mke, slot: ED}]}
"""


def write_grid(folder: Path, heads: list[str], name: str = "sweep", extra: str = "") -> Path:
    """Write a grid file with two seeds of each head."""
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "base: {data: tiny, task: landmarks, encoder: tiny-r3d, trainable: k0}\n"
        f"axes: {{head: [{', '.join(heads)}], seed: [0, 1]}}\n{extra}"
    )
    return path


@pytest.fixture
def launched_file(bare: Shell) -> Path:
    """The file of a grid of a workspace, whose cells were launched and not run."""
    path = write_grid(bare.root / "a", ["mlp", "gcn"], extra=TABLE)
    save_cells(load_grid(str(path)), bare.workspace)
    return path


COMMANDS: dict[str, list[str]] = {
    "launch": ["launch", "FILE"],
    "dry run": ["launch", "FILE", "--dry-run"],
    "retry": ["retry", "FILE"],
    "cancel": ["cancel", "FILE"],
    "status": ["status", "FILE"],
    "logs": ["logs", "FILE", "--where", "seed=0"],
    "collect": ["collect", "FILE"],
    "tables": ["tables", "FILE"],
    "report": ["report", "FILE"],
    "compare": ["compare", "FILE", "head=mlp", "head=mean"],
    "seeds-needed": ["seeds-needed", "FILE", "head=mlp", "head=mean"],
}


class TestOneNameOneFile:
    """Another file of a launched grid's name."""

    @pytest.mark.parametrize("command", COMMANDS)
    def test_is_refused_by_every_command_and_changes_nothing(
        self, bare: Shell, launched_file: Path, command: str
    ) -> None:
        other = write_grid(bare.root / "b", ["mlp", "mean"], extra=TABLE)
        before = {path: path.read_bytes() for path in _files(bare)}
        words = [str(other) if word == "FILE" else word for word in COMMANDS[command]]
        done = bare.inside(*words)
        [error] = [line for line in done.err.splitlines() if line.startswith("Error: ")]
        assert done.status == 1 and str(other) in error and str(launched_file) in error
        assert "rename one of the files, or use another --workspace" in error
        assert "(2 of 4 cells are the same)" in error
        assert error.endswith(f"type: echolm grid moved {other}")
        assert {path: path.read_bytes() for path in _files(bare)} == before

    def test_is_refused_in_a_notebook(self, bare: Shell, launched_file: Path) -> None:
        other = str(write_grid(bare.root / "b", ["mean"]))
        here = Results(bare.workspace.root)
        for act in (here.launch, here.status, here.cancel, here.collect, here.tables, here.grid):
            with pytest.raises(EchoLMError, match="the name sweep belongs to"):
                act(other)

    def test_of_another_suffix_is_another_file(self, bare: Shell, launched_file: Path) -> None:
        other = write_grid(launched_file.parent, ["mean"]).rename(
            launched_file.with_name("sweep.yml")
        )
        write_grid(launched_file.parent, ["mlp"])
        assert "belongs to" in bare.inside("status", other).err

    def test_is_fine_in_another_workspace(self, bare: Shell, launched_file: Path) -> None:
        other = write_grid(bare.root / "b", ["mean"])
        assert bare.inside("--workspace", bare.root / "second", "status", other).status == 0

    def test_a_collected_name_is_taken_too(self, bare: Shell, launched_file: Path) -> None:
        results = bare.workspace.results("sweep")
        results.parent.mkdir()
        (bare.workspace.grids / "sweep").rename(results)
        other = write_grid(bare.root / "b", ["mean"])
        assert str(launched_file) in bare.inside("tables", other).err

    def test_a_file_may_be_edited_where_it_is(self, bare: Shell, launched_file: Path) -> None:
        write_grid(launched_file.parent, ["mean"])
        assert bare.inside("status", launched_file).status == 0
        linked = bare.root / "link"
        linked.symlink_to(launched_file.parent)
        assert bare.inside("status", linked / "sweep.yaml").status == 0

    def test_a_launch_of_an_early_version_names_no_file(
        self, bare: Shell, launched_file: Path
    ) -> None:
        stored = bare.workspace.grids / "sweep" / "cells.json"
        content = json.loads(stored.read_text())
        del content["path"]
        stored.write_text(json.dumps(content))
        other = write_grid(bare.root / "b", ["mean"])
        assert bare.inside("status", other).status == 0

    @pytest.mark.parametrize("damage", ["{", "[]", '{"cells": 3, "path": 4}'])
    def test_a_damaged_file_is_written_anew(
        self, bare: Shell, launched_file: Path, damage: str
    ) -> None:
        stored = bare.workspace.grids / "sweep" / "cells.json"
        stored.write_text(damage)
        save_cells(load_grid(str(launched_file)), bare.workspace)
        assert len(json.loads(stored.read_text())["cells"]) == 4


class TestMoved:
    """Files move."""

    def test_with_the_same_cells_it_is_the_same_grid(
        self, bare: Shell, launched_file: Path
    ) -> None:
        moved = bare.root / "elsewhere" / "sweep.yaml"
        moved.parent.mkdir()
        shutil.move(launched_file, moved)
        assert bare.inside("status", moved).status == 0
        save_cells(load_grid(str(moved)), bare.workspace)
        write_grid(moved.parent, ["mlp"])
        assert bare.inside("status", moved).status == 0

    def test_and_edited_it_needs_a_word(self, bare: Shell, launched_file: Path) -> None:
        moved = write_grid(bare.root / "elsewhere", ["mlp", "mean"])
        launched_file.unlink()
        assert bare.inside("status", moved).status == 1
        done = bare.inside("grid", "moved", moved)
        assert done.out == f"{moved} is the grid that was {launched_file}\n"
        assert bare.inside("status", moved).status == 0
        [difference] = launch_differences(bare.workspace, open_grid(bare.workspace, str(moved))[0])
        assert "2 cells more, 2 cells fewer" in str(difference.text)

    def test_with_its_workspace_it_may_be_edited_too(
        self, bare: Shell, launched_file: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy of the project"
        shutil.copytree(bare.root, copy, ignore=shutil.ignore_patterns(copy.name))
        workspace = Workspace(copy / bare.workspace.root.relative_to(bare.root))
        path = write_grid(copy / "a", ["mlp", "mean"])
        save_cells(load_grid(str(path)), workspace)
        assert load_in(workspace, str(path)).path == path
        assert read_launched(workspace.grids, "sweep").typed == str(path)
        other = write_grid(copy / "b", ["gcn"])
        with pytest.raises(EchoLMError, match="belongs to .*copy of the project/a/sweep.yaml"):
            load_in(workspace, str(other))
        before = read_launched(bare.workspace.grids, "sweep")
        assert before.typed == str(launched_file), "the original is as it was"

    def test_what_was_never_launched_has_not_moved(self, bare: Shell) -> None:
        done = bare.inside("grid", "moved", write_grid(bare.root, ["mlp"]))
        assert done.status == 1 and "no file of that name was launched" in done.err

    def test_a_file_that_is_gone_is_opened_as_it_was_launched(
        self, bare: Shell, launched_file: Path
    ) -> None:
        launched_file.unlink()
        grid, was_launched = open_grid(bare.workspace, str(launched_file))
        assert was_launched and len(grid.cells) == 4
        with pytest.raises(EchoLMError, match="cannot be read"):
            open_grid(bare.workspace, str(bare.root / "b" / "sweep.yaml"))


class TestShippedNames:
    """A file that is named like a grid that came with EchoLM."""

    @pytest.mark.parametrize("command", ["launch", "tables", "status"])
    def test_is_refused(self, bare: Shell, command: str) -> None:
        own = write_grid(bare.root, ["mlp"], "demo")
        done = bare.inside(*(str(own) if word == "FILE" else word for word in COMMANDS[command]))
        assert done.status == 1 and "rename the file" in done.err
        assert str(own) in done.err and str(shipped_grids()["demo"]) in done.err
        assert not (bare.workspace.grids / "demo").exists()

    def test_that_an_earlier_version_launched_keeps_its_name(self, bare: Shell) -> None:
        own = write_grid(bare.root, ["mlp"], "demo", TABLE)
        save_cells(load_grid(str(write_grid(bare.root, ["mlp"], "mine", TABLE))), bare.workspace)
        stored = bare.workspace.grids / "mine" / "cells.json"
        content = {**json.loads(stored.read_text()), "grid": "demo", "path": str(own)}
        del content["relative"]
        demo = bare.workspace.grids / "demo" / "cells.json"
        demo.parent.mkdir()
        demo.write_text(json.dumps(content))
        assert bare.inside("status", own).status == 0
        for words in (["status", "demo"], ["tables", "demo"], ["launch", "demo"]):
            done = bare.inside(*words)
            assert done.status == 1 and str(own) in done.err and "give the path" in done.err

    def test_the_shipped_file_is_the_shipped_grid(self, bare: Shell) -> None:
        path = shipped_grids()["demo"]
        assert load_grid(str(path)).typed == "demo"
        folder = bare.root / "grids"
        folder.symlink_to(path.parent)
        assert load_grid(str(folder / "demo.yaml")).typed == "demo"


class TestWrittenGrids:
    """Grids that EchoLM writes."""

    def test_a_copy_takes_no_name_that_is_taken(self, bare: Shell, launched_file: Path) -> None:
        target = bare.root / "b" / "sweep.yaml"
        done = bare.inside("grid", "copy", launched_file, target)
        assert done.status == 1 and str(launched_file) in done.err
        assert "choose another name" in done.err and not target.exists()
        done = bare.inside("grid", "copy", "demo", "demo.yaml")
        assert done.status == 1 and not (bare.root / "demo.yaml").exists()

    def test_nor_does_the_grid_of_a_search(self, bare: Shell, launched_file: Path) -> None:
        target = bare.root / "b" / "sweep.yaml"
        done = bare.inside("search", "demo", "--show", "--grid", target)
        assert done.status == 1 and str(launched_file) in done.err and not target.exists()


class TestTypedFile:
    """Tables follow the file that was typed."""

    def test_definitions_come_from_the_file(self, bare: Shell, launched_file: Path) -> None:
        text = launched_file.read_text()
        launched_file.write_text(text.replace("The title", "Edited").replace("mke", "dice"))
        grid, was_launched = open_grid(bare.workspace, str(launched_file))
        assert was_launched
        assert (grid.tables["main"].title, grid.tables["main"].columns[0].metric) == (
            "Edited",
            "dice",
        )
        assert launch_differences(bare.workspace, grid) == []
        by_name, _ = open_grid(bare.workspace, "sweep")
        assert by_name.tables["main"].title == "The title"
        assert launch_differences(bare.workspace, by_name) == []

    def test_the_names_of_a_setting_are_no_change(self, bare: Shell) -> None:
        path = bare.root / "one.yaml"
        base = "{data: d, task: landmarks, encoder: none, trainable: k0, head: mean}"
        path.write_text(f"base: {base}\naxes: {{seed: 0-1}}\n")
        save_cells(load_grid(str(path)), bare.workspace)
        for given in (str(path), "one"):
            grid, _ = open_tables(bare.workspace, given)
            assert "head" in grid.cells[0].coordinates
            assert launch_differences(bare.workspace, grid) == []

    @pytest.mark.parametrize(
        ("old", "new", "line"),
        [
            ("[0, 1]", "[0, 1, 2]", "2 cells more"),
            ("[0, 1]", "[0]", "2 cells fewer"),
            ("k0", "k1", "4 cells with another configuration"),
            ("[mlp, ", "[{label: m, set: {head: mlp}}, ", "2 cells with other labels"),
            ("[mlp, gcn], seed: [0, 1]", "[mlp, mean], seed: [0]", "1 cell more, 3 cells fewer"),
        ],
    )
    def test_one_line_says_how_cells_differ(
        self, bare: Shell, launched_file: Path, old: str, new: str, line: str
    ) -> None:
        launched_file.write_text(launched_file.read_text().replace(old, new))
        grid, _ = open_grid(bare.workspace, str(launched_file))
        [difference] = launch_differences(bare.workspace, grid)
        assert difference.text.endswith(f"it has {line}; to run what is missing")
        told = bare.inside("tables", launched_file).err.splitlines()[0]
        command = "echolm launch a/sweep.yaml"
        assert told == (
            f"a/sweep.yaml: since it was launched, it has {line}; to run what is missing: {command}"
        )


def _files(shell: Shell) -> list[Path]:
    return sorted(path for path in shell.workspace.root.rglob("*") if path.is_file())
