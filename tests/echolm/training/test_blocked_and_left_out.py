"""Before anything runs, commands say which cells have no data, and which items are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from store_support import changed_store, without

from echolm.cli import main
from echolm.stores.clips import ClipStore
from echolm.workspace import Workspace

RUN: dict[str, Any] = {
    "data": "other",
    "task": "toy-ef-of-clip",
    "encoder": "tiny-r3d",
    "weights": "random",
    "trainable": "k0",
    "head": {"name": "mlp", "width": 8},
    "epochs": 1,
}


@pytest.fixture
def untraced(workspace: Workspace, whole: Path) -> Workspace:
    """A workspace with a store ``other`` of which three items have no tracings."""
    items = ClipStore.open(whole).items
    samples = [next(item.sample for item in items if item.split == "val")]
    samples += [item.sample for item in items if item.split == "train"][:2]
    names = ("ed", "es", "landmarks_ed", "landmarks_es")

    def is_one(row: dict[str, Any]) -> bool:
        return row["sample"] in samples

    changed_store(whole, workspace.store("other"), without(*names, of=is_one))
    return workspace


def written(folder: Path, **changes: Any) -> Path:
    """A grid of two seeds."""
    path = folder / "cells.yaml"
    path.write_text(yaml.safe_dump({"base": RUN | changes, "axes": {"seed": [0, 1]}}))
    return path


def typed(workspace: Workspace, *words: object) -> Result:
    return CliRunner().invoke(main, ["-w", str(workspace.root), *(str(word) for word in words)])


def test_grid_show_says_how_many_items_are_left_out_and_why(
    untraced: Workspace, tmp_path: Path
) -> None:
    grid = written(tmp_path, task="landmarks")
    shown = typed(untraced, "grid", "show", grid)
    assert shown.exit_code == 0, shown.output
    assert shown.stderr.splitlines() == [
        f"{untraced.store('other')}: 3 items left out (2 train, 1 val): without landmarks_ed and "
        "landmarks_es, which landmarks needs, and ed and es, which clip ed-to-es needs"
    ]
    cells = json.loads(typed(untraced, "grid", "show", grid, "--json").stdout)
    assert [cell["left_out"] for cell in cells] == [{"train": 2, "val": 1}] * 2
    uniform = written(tmp_path, clip="uniform")
    assert typed(untraced, "grid", "show", uniform).stderr == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {},
            "no sample in split train has ed and es, which clip ed-to-es needs; choose frames "
            "without them: clip: uniform",
        ),
        (
            {"clip": "uniform", "data": {"name": "other", "where": {"view": "2CH"}}},
            "data.where: no item has a value 'view'; valid: ",
        ),
        (
            {"clip": {"name": "window", "period": 3}, "data": "tiny"},
            "does not hold the frames of clip window that toy-ef-of-clip is learned from: it was "
            "prepared by clip rule ed-to-es-16, whose frames do not follow each other; prepare "
            "another store and name it in data: echolm data prepare echonet-dynamic PATH --clips "
            "all --name NAME",
        ),
    ],
)
def test_cells_without_frames_or_items_are_blocked_in_words(
    changes: dict[str, Any], reason: str, workspace: Workspace, whole: Path, tmp_path: Path
) -> None:
    every = without("ed", "es", of=lambda row: True)
    changed_store(whole, workspace.store("other"), every)
    grid = written(tmp_path, **changes)
    for words in (("grid", "show"), ("status",)):
        done = typed(workspace, *words, grid)
        assert reason in done.output, done.output
    done = typed(workspace, "launch", grid, "--on", "local", "--no-collect")
    assert done.exit_code == 1 and "2 cells cannot run (" in done.output, done.output
    assert not workspace.runs.exists()
