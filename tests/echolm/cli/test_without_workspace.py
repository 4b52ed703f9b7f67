"""Looking needs no workspace, and makes none; what cannot run is named with its remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from launch_support import Launched, Shell


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["grid", "list"], 0),
        (["grid", "show", "demo"], 0),
        (["grid", "show", "demo", "--where", "head=gcn", "--json"], 0),
        (["launch", "demo", "--dry-run"], 0),
        (["status", "demo"], 0),
        (["status", "demo", "--json"], 0),
        (["retry", "demo", "--no-launch"], 0),
        (["data", "list"], 0),
        (["logs", "CELL"], 1),
        (["grid", "explain", "CELL"], 0),
        (["predict", "CELL", __file__, "--ed", "0", "--es", "1"], 1),
        (["train", "CELL"], 1),
        (["tables", "demo"], 0),
        (["collect"], 1),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_looking_makes_nothing(words: list[str], status: int, bare: Shell) -> None:
    cell = json.loads(bare.inside("grid", "show", "demo", "--json").out)[0]["cell"]
    done = bare.inside(*[cell if word == "CELL" else word for word in words])
    assert done.status == status, done.err
    assert list(bare.root.iterdir()) == []


def test_a_dry_run_names_what_is_missing(bare: Shell) -> None:
    done = bare.inside("launch", "demo", "--dry-run")
    assert "would run 11 in" in done.out
    assert "11 cells cannot run" in done.err and "echolm data prepare" in done.err
    assert str(bare.workspace.store("echonet-dynamic-phantom")) in done.err


def test_cells_without_their_weights_are_named_and_the_others_run(launched: Launched) -> None:
    err, missing = launched.launch.err, launched.cells["missing"].id
    assert f"1 cell cannot run ({missing[:8]}): " in err
    assert "/nowhere/weights.pt" in err
    assert launched.launch.status == 1
    assert "complete    head=mean" in err, "the others ran"


def test_cells_without_their_data_are_named_and_the_others_run(shell: Shell) -> None:
    axis = [{"label": name, "set": {"data": name}} for name in ("tiny", "elsewhere")]
    grid = shell.grid({"data": axis}, head="mean", encoder="none", trainable="k0", epochs=1)
    done = shell("launch", grid, "--no-collect")
    assert done.status == 1
    assert str(shell.workspace.store("elsewhere")) in done.err and "echolm data prepare" in done.err
    assert done.out.splitlines()[-1] == "toy: 2 cells: 1 complete, 1 pending"


def test_the_commands_to_type_next_name_the_workspace_if_this_one_did(launched: Launched) -> None:
    shell: Shell = launched.shell
    plain = shell.inside("status", launched.grid)
    assert f"echolm logs {launched.cells['fails'].id[:8]}" in plain.err
    named = shell.inside("-w", shell.workspace.root, "status", launched.grid)
    assert f"echolm --workspace {shell.workspace.root} retry {launched.grid}" in named.err


def test_the_default_workspace_is_in_the_current_folder(bare: Shell, tmp_path: Path) -> None:
    done = bare.inside("launch", "demo", "--dry-run", ECHOLM_WORKSPACE=None)
    assert str(tmp_path / "echolm-workspace" / "data") in done.err
