"""``echolm data``: what the commands print, where stores go, and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from echolm.cli.data import data
from echolm.data.store import ClipStore
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

NAME = "echonet-dynamic"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work space")


def run(workspace: Workspace, *arguments: object) -> Result:
    result = CliRunner().invoke(data, [str(argument) for argument in arguments], obj=workspace)
    if isinstance(result.exception, EchoLMError):
        raise result.exception
    return result


def test_check_prints_every_problem_and_the_counts(dataset: Any, workspace: Workspace) -> None:
    dataset.files[1]["EF"] = "nan"
    result = run(workspace, "check", NAME, dataset.write())
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "FileList.csv:3: 0XA2: EF is 'nan', not a number",
        "3 videos usable (2 train, 0 val, 1 test), problems: 1",
        "ED is the larger of the two traced areas; ES is traced first in 0 videos",
    ]


def test_check_of_an_unusable_set_exits_with_1(dataset: Any, workspace: Workspace) -> None:
    dataset.tracings.clear()
    result = run(workspace, "check", NAME, dataset.write(), "--json")
    found = json.loads(result.output)
    assert result.exit_code == 1 and found["fatal"] == ["no video is usable"] and not found["usable"]
    assert found["problems"][0] == {
        "file": "FileList.csv", "row": 2, "sample": "0XA1", "reason": "needs exactly two traced frames, has 0 (none)"
    }  # fmt: skip


def test_prepare_into_the_workspace(dataset: Any, workspace: Workspace) -> None:
    result = run(workspace, "prepare", NAME, dataset.write(), "--workers", 1)
    assert result.exit_code == 0 and "4 videos (2 train, 1 val, 1 test), 0 left out" in result.output
    assert len(ClipStore.open(workspace.store(NAME)).items) == 4


def test_an_index_alone_says_where_the_frames_are(dataset: Any, workspace: Workspace) -> None:
    result = run(workspace, "prepare", NAME, dataset.write(), "--index-only", "--workers", 1)
    assert result.exit_code == 0 and f"frames in {dataset.root}" in result.output
    store = ClipStore.open(workspace.store(NAME))
    assert store.read(0, store.items[0].frames).any() and not (store.path / "frames.bin").exists()
    [listed] = json.loads(run(workspace, "list", "--json").output)
    assert listed["index_only"] and listed["videos"] == str(dataset.root)


def test_prepare_elsewhere_links_it(dataset: Any, workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "große 'Platte'" / "store"
    arguments = ("prepare", NAME, dataset.write(), "--out", out, "--name", "mine", "--clips", "all", "--json")
    described = json.loads(run(workspace, *arguments, "--workers", 1).stdout)
    assert described["path"] == str(out) and described["clips"] == "all" and described["name"] == "mine"
    assert workspace.store("mine").is_symlink() and workspace.store("mine").samefile(out)
    assert run(workspace, *arguments).exit_code == 0
    with pytest.raises(EchoLMError, match="mine: is another store already"):
        run(workspace, "prepare", NAME, dataset.root, "--out", tmp_path / "other", "--name", "mine")
    assert not (tmp_path / "other").exists()


def test_a_name_that_is_no_name(dataset: Any, workspace: Workspace) -> None:
    with pytest.raises(EchoLMError, match="--name '../x': valid: letters"):
        run(workspace, "prepare", NAME, dataset.write(), "--name", "../x")


def test_phantom_prepare_list(workspace: Workspace, tmp_path: Path) -> None:
    made = run(workspace, "phantom", NAME, tmp_path / "ph", "--videos", 3, "--seed", 4, "--clips-per-patient", 1)
    assert made.output == f"{tmp_path / 'ph'}: 3 clips; next: echolm data prepare {NAME} {tmp_path / 'ph'}\n"
    assert run(workspace, "prepare", NAME, tmp_path / "ph").exit_code == 0
    (workspace.store("broken")).mkdir()
    listed = json.loads(run(workspace, "list", "--json").stdout)
    assert [store["name"] for store in listed] == ["broken", f"{NAME}-phantom"]
    assert "not a clip store" in listed[0]["problem"] and listed[1]["synthetic"] is True
    lines = run(workspace, "list").output.splitlines()
    assert len(lines) == 3 and listed[1]["fingerprint"][:16] in lines[2]


def test_an_empty_workspace_lists_nothing(workspace: Workspace) -> None:
    assert json.loads(run(workspace, "list", "--json").stdout) == []
