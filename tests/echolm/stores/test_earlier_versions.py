"""Stores that an earlier EchoLM made of EchoNet-Dynamic lack the videos without landmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from echolm.cli import main
from echolm.stores.clips import peek
from echolm.stores.earlier_versions import why_smaller
from echolm.stores.prepare_clips import prepare
from echolm.workspace import Workspace

UNTRACED = ("0XA1", "0XB2")
LINES = (
    "file,row,sample,reason",
    'FileList.csv,2,0XA1,"needs exactly two traced frames, has 0 (none)"',
    "VolumeTracings.csv,44,0XB2,frame 3: chords cross the axis",
    "VolumeTracings.csv,99,0XQ1,is not in FileList.csv",
    "FileList.csv,9,0XQ2,\"EF is 'nan', not a number\"",
)
GRID = """
base: {data: DATA, encoder: tiny-r3d, trainable: all, head: linear, epochs: 1, seed: 0}
axes:
  task:
    - landmarks
    - {label: ef, set: {task: {name: regression, target: ef}, clip: uniform}}
  head: [linear, mlp]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def earlier(dataset: Any, workspace: Workspace, clips: str = "all") -> Path:
    """A store of the traced videos alone, with the list that an earlier version wrote."""
    for number in range(6):
        dataset.add(f"0XB{number + 1}", ("TRAIN", "VAL", "TEST")[number % 3], frames=12)
    dataset.files = [row for row in dataset.files if row["FileName"] not in UNTRACED]
    dataset.tracings = [row for row in dataset.tracings if row["FileName"][:4] not in UNTRACED]
    for sample in UNTRACED:
        (dataset.root / "Videos" / f"{sample}.avi").unlink()
    store = workspace.store("old")
    prepare("echonet-dynamic", dataset.write(), store, clips, workers=1, progress=False)
    (store / "problems.csv").write_text("\n".join(LINES) + "\n")
    info = json.loads((store / "store.json").read_text()) | {"problems": 4}
    (store / "store.json").write_text(json.dumps(info))
    return store


def test_it_is_said_where_stores_are_listed(dataset: Any, workspace: Workspace) -> None:
    store = earlier(dataset, workspace)
    reason = why_smaller(store, peek(store))
    assert reason.startswith("2 videos without landmarks left out by an earlier EchoLM: they have ")
    done = CliRunner().invoke(main, ["--workspace", str(workspace.root), "data", "list", "--json"])
    [listed] = json.loads(done.output)
    assert reason in listed["problem"]


def test_it_is_said_of_the_runs_that_could_use_them(
    dataset: Any, workspace: Workspace, tmp_path: Path
) -> None:
    earlier(dataset, workspace)
    words = ["--workspace", str(workspace.root), "grid", "show"]
    for tasks, count in (("ef", 1), ("landmarks", 0)):
        grid = tmp_path / f"{tasks}.yaml"
        grid.write_text(GRID.replace("DATA", "old"))
        done = CliRunner().invoke(main, [*words, str(grid), "--where", f"task={tasks}"])
        assert done.exit_code == 0, done.output
        assert done.output.count("left out by an earlier EchoLM") == count


def test_nothing_is_said_of_others(dataset: Any, workspace: Workspace) -> None:
    store = earlier(dataset, workspace, clips="ed-to-es-16")
    info = peek(store)
    assert why_smaller(store, info) == "", "landmark clips have none today either"
    assert why_smaller(store, info | {"clips": "all", "reader": "camus"}) == ""
    assert why_smaller(store, info | {"clips": "of a plugin"}) == ""
    assert why_smaller(store, info | {"clips": "all"}) != ""
    (store / "problems.csv").unlink()
    assert why_smaller(store, info | {"clips": "all"}) == ""
