"""Folders that somebody copied: only 16 hexadecimal digits name a cell or a record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from echolm.attempt import Attempt
from echolm.record import RunRecord, cell_state, copied_folders, find_records, is_key
from echolm.stores.clips import SCHEMA
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.definition.grid import Cell, load_grid
from grid.explain import explain_cell, told_copies
from grid.find import find_cell, find_run
from grid.plan import cell_statuses
from grid.tracking.sources import collect_sources

NAMES = ["{}.bak", "{} (copy)", "old-{}", "{}0", "{}~"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.store("d").mkdir(parents=True)
    facts = {"schema": SCHEMA, "fingerprint": "d" * 64}
    (made.store("d") / "store.json").write_text(json.dumps(facts))
    return made


@pytest.fixture
def cell(tmp_path: Path, workspace: Workspace) -> Cell:
    """A cell with a complete run."""
    path = tmp_path / "g.yaml"
    path.write_text(
        "base: {data: d, task: landmarks, encoder: none, trainable: k0, head: mean}\n"
        "axes: {seed: [0]}\n"
    )
    [cell] = load_grid(str(path)).cells
    run = prepare_run(cell.config, workspace)
    run.record.create(run.identity)
    attempt = Attempt.acquire(run.record)
    attempt.publish({}, [])
    attempt.release()
    return cell


@pytest.mark.parametrize("name", NAMES)
def test_a_copied_cell_is_no_cell(name: str, workspace: Workspace, cell: Cell) -> None:
    folder = workspace.runs / cell.id
    copy = workspace.runs / name.format(cell.id)
    shutil.copytree(folder, copy)
    record = find_records(workspace.runs, cell.id)[0]
    for text in (cell.id, cell.id[:6]):
        assert find_cell(text, workspace)[0] == cell.id
        assert find_run(text, workspace) == record
    assert copied_folders(workspace.runs) == [copy]
    [line] = told_copies(workspace)
    assert copy.name in line
    [single] = collect_sources(workspace, [])
    assert list(single.cells) == [cell.id], "a copy is no single run"
    findings = explain_cell(cell.id, workspace)["findings"]
    assert f"{copy} is a copy by its name, and is not looked at" in findings


@pytest.mark.parametrize("name", NAMES)
def test_a_copied_record_is_no_run(name: str, workspace: Workspace, cell: Cell) -> None:
    [record] = find_records(workspace.runs, cell.id)
    copy = record.path.with_name(name.format(record.path.name))
    shutil.copytree(record.path, copy)
    shutil.rmtree(record.path)
    assert find_records(workspace.runs, cell.id) == []
    assert cell_state(workspace.runs, cell.id) == "pending"
    assert [status.state.name for status in cell_statuses([cell], workspace)] == ["pending"]
    copy.rename(record.path)
    shutil.copytree(record.path, copy)
    assert find_records(workspace.runs, cell.id) == [RunRecord(record.path)]
    findings = explain_cell(cell.id, workspace)["findings"]
    assert [
        line for line in findings if line == f"{copy} is a copy by its name, and is not looked at"
    ]
    assert len([line for line in findings if line.startswith("run ")]) == 1


def test_an_exact_id_is_exact(workspace: Workspace, cell: Cell) -> None:
    """Also where another cell's stored configuration begins with it."""
    path = workspace.grids / "other" / "cells.json"
    path.parent.mkdir(parents=True)
    config = cell.config.model_dump(mode="json")
    entry = {"coordinates": {}, "config": config}
    path.write_text(json.dumps({"grid": "other", "cells": {f"{cell.id}.bak": entry}}))
    assert find_cell(cell.id, workspace)[0] == cell.id


@pytest.mark.parametrize(
    ("name", "key"),
    [("0123456789abcdef", True), ("0123456789ABCDEF", False), ("0123456789abcde", False)]
    + [("0123456789abcdef\n", False), ("0123456789abcdeg", False), ("", False)],
)
def test_what_is_a_key(name: str, key: bool) -> None:
    assert is_key(name) == key


def test_other_folders_are_nobodys_copies(tmp_path: Path) -> None:
    assert copied_folders(tmp_path / "nowhere") == []
    for name in ("0123456789abcdef", "notes", ".snapshot"):
        (tmp_path / name).mkdir()
    (tmp_path / "0123456789abcdef.txt").write_text("a file")
    assert copied_folders(tmp_path) == []
