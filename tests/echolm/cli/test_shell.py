"""Completion, and ``--workspace`` on either side of a command."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from launch_support import Launched

from echolm.cli import main
from echolm.cli.completion import SCRIPTS
from echolm.encoders import ENCODERS
from grid.definition.grid import shipped_grids


def offered(*words: str) -> list[str]:
    """What the shell is offered for the last word."""
    complete = ShellComplete(main, {}, "echolm", "_ECHOLM_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_grids_are_offered_wherever_one_is_named() -> None:
    for command in ("launch", "status", "tables", "report", "collect", "compare", "cancel"):
        assert set(shipped_grids()) <= set(offered(command, "")), command
        assert "nldl2026" in offered(command, "nld")


def test_axes_and_labels_of_the_grid_that_was_typed_are_offered() -> None:
    conditions = offered("launch", "demo", "--where", "")
    assert {"head=mlp", "seed=0", "table=demo", "subgrid=freezing"} <= set(conditions)
    assert offered("launch", "demo", "--where", "head=m") == ["head=mean", "head=mlp"]


def test_components_and_encoders_are_offered() -> None:
    assert "encoder" in offered("components", "e")
    assert set(offered("components", "encoder", "")) == set(ENCODERS.names())
    assert "echoprime" in offered("weights", "check", "echo")


def test_cells_of_the_workspace_are_offered(launched: Launched) -> None:
    cell = launched.cells["mean"].id
    workspace = str(launched.shell.workspace.root)
    for command in (("logs",), ("train",), ("grid", "explain"), ("predict",)):
        assert cell in offered("--workspace", workspace, *command, cell[:4]), command


def test_nothing_is_offered_where_nothing_is_there(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert "0123" not in offered("--workspace", nowhere, "grid", "explain", "0")
    assert offered("launch", "nosuchgrid", "--where", "x") == []
    assert offered("components", "nosuchkind", "x") == []


def test_the_script_that_bash_reads_is_a_script(tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, ["completion", "bash"]).output.strip()
    assert printed == SCRIPTS["bash"]
    folder = Path(os.sys.executable).parent
    path = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["bash", "-c", f"{printed}; complete -p echolm"]
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.rstrip().endswith("echolm"), done


@pytest.mark.parametrize("option", ["--workspace", "-w"])
def test_the_workspace_may_stand_after_the_command(option: str, launched: Launched) -> None:
    workspace = str(launched.shell.workspace.root)
    for command in (["status", str(launched.grid), "--json"], ["data", "list", "--json"]):
        before = CliRunner().invoke(main, [option, workspace, *command])
        after = CliRunner().invoke(main, [*command, option, workspace])
        assert before.exit_code == after.exit_code == 0, (before.output, after.output)
        # Others write to the disk meanwhile.
        outputs = [re.sub(r'"free": \d+', "", done.output) for done in (before, after)]
        assert outputs[0] == outputs[1]


def test_commands_to_type_next_name_the_workspace_wherever_it_stood(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["tables", "demo", "-w", str(tmp_path / "here")])
    assert done.exit_code == 0
    assert f"--workspace {tmp_path / 'here'}" in done.output


def test_two_workspaces_are_refused(tmp_path: Path) -> None:
    words = ["-w", str(tmp_path / "a"), "data", "list", "-w", str(tmp_path / "b")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "--workspace is given twice" in done.output
    same = [str(tmp_path / "a") if word == str(tmp_path / "b") else word for word in words]
    assert CliRunner().invoke(main, same).exit_code == 0
