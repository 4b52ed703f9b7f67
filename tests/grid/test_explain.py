"""``grid explain`` says in words why a stored run counts, or not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from echolm.attempt import Attempt
from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.heads.mlp import MLP
from echolm.stores.clips import SCHEMA
from echolm.training.prepare import PreparedRun, prepare_run
from echolm.workspace import Workspace
from grid.definition.grid import Cell, load_grid
from grid.explain import describe, differences, explain_cell


def write_store(workspace: Workspace, name: str, fingerprint: str) -> None:
    """What a clip store says of itself; explaining needs no frames."""
    workspace.store(name).mkdir(parents=True, exist_ok=True)
    (workspace.store(name) / "store.json").write_text(
        json.dumps({"schema": SCHEMA, "fingerprint": fingerprint})
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "it's a workspace")


@pytest.fixture
def cell() -> Cell:
    return next(cell for cell in load_grid("demo").cells if cell.coordinates["head"] == "mlp")


def findings(cell: Cell, workspace: Workspace) -> str:
    return "\n".join(explain_cell(cell.id[:12], workspace)["findings"])


def run_it(
    cell: Cell, workspace: Workspace, ending: str | None = None, **fields: Any
) -> PreparedRun:
    """A stored run of the cell: complete, or ended otherwise."""
    run = prepare_run(cell.config, workspace)
    run.record.create(run.identity)
    attempt = Attempt.acquire(run.record)
    if ending is None:
        attempt.publish({}, [])
    attempt.release(ending, **fields)
    return run


def test_without_data_and_runs(cell: Cell, workspace: Workspace) -> None:
    found = explain_cell(cell.id, workspace)
    assert found["cell"] == cell.id
    text = findings(cell, workspace)
    assert (
        "today's fingerprint cannot be known" in text
        and cell.config.data.name in text
        and "echolm data prepare" in text
    )
    assert "no run of this cell is stored" in text


def test_a_run_that_counts(cell: Cell, workspace: Workspace) -> None:
    write_store(workspace, cell.config.data.name, "a" * 64)
    run = run_it(cell, workspace)
    text = findings(cell, workspace)
    assert f"today's fingerprint is {run.identity['fingerprint'][:16]}" in text
    assert f"run {run.record.path.name} (complete) counts" in text


def test_a_run_of_other_data_does_not_count(cell: Cell, workspace: Workspace) -> None:
    write_store(workspace, cell.config.data.name, "a" * 64)
    run_it(cell, workspace)
    write_store(workspace, cell.config.data.name, "b" * 64)
    assert f"does not count: data changed ({'a' * 16} then, {'b' * 16} now)" in findings(
        cell, workspace
    )


def test_a_run_of_another_protocol_does_not_count(
    cell: Cell, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(workspace, cell.config.data.name, "a" * 64)
    run_it(cell, workspace)
    monkeypatch.setattr(MLP, "protocol", MLP.protocol + 1)
    assert (
        "does not count: protocol of head:mlp changed "
        f"({MLP.protocol - 1} then, {MLP.protocol} now)" in findings(cell, workspace)
    )


def test_a_failed_run_says_why(cell: Cell, workspace: Workspace) -> None:
    write_store(workspace, cell.config.data.name, "a" * 64)
    run_it(cell, workspace, "failed", error="Diverged: the training loss is nan")
    assert "(failed) is this cell's run: Diverged: the training loss is nan" in findings(
        cell, workspace
    )


def test_a_run_whose_data_are_gone_says_what_it_was_made_from(
    cell: Cell, workspace: Workspace
) -> None:
    write_store(workspace, cell.config.data.name, "a" * 64)
    run_it(cell, workspace)
    (workspace.store(cell.config.data.name) / "store.json").unlink()
    assert f"made from data {'a' * 16} and weights random" in findings(cell, workspace)


def test_a_damaged_record_is_named(cell: Cell, workspace: Workspace) -> None:
    write_store(workspace, cell.config.data.name, "a" * 64)
    path = run_it(cell, workspace).record.path / "config.json"
    path.write_text("{")
    with pytest.raises(EchoLMError) as caught:
        explain_cell(cell.id, workspace)
    assert str(path) in str(caught.value)


IDENTITY = {
    "fingerprint": "1",
    "data": "d" * 64,
    "weights": "random",
    "protocols": {"data": 1, "head:mlp": 1},
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"data": "e" * 64}, [f"data changed ({'d' * 16} then, {'e' * 16} now)"]),
        ({"weights": "f" * 64}, [f"weights changed (random then, {'f' * 16} now)"]),
        ({"protocols": {"data": 2, "head:mlp": 1}}, ["protocol of data changed (1 then, 2 now)"]),
        (
            {"protocols": {"data": 1, "head:gcn": 1}},
            [
                "protocol of head:gcn changed (None then, 1 now)",
                "protocol of head:mlp changed (1 then, None now)",
            ],
        ),
        ({"config": {}}, ["the configuration's meaning changed"]),
    ],
)
def test_differences_in_words(change: dict[str, Any], words: list[str]) -> None:
    now = {**copy.deepcopy(IDENTITY), **change, "fingerprint": "2" if change else "1"}
    assert differences(IDENTITY, now) == words


def test_description() -> None:
    values = {
        "data": "d",
        "task": "landmarks",
        "encoder": "tiny-r3d",
        "trainable": "all",
        "head": "mlp",
        "seed": 3,
    }
    config = parse_config(values).model_dump(mode="json")
    assert describe(config) == "finetune tiny-r3d all mlp none on d, seed 3"
    pretraining = {
        "kind": "pretrain",
        "encoder": {"name": "tiny-mvit"},
        "augmentation": {"name": "none"},
        "data": {"name": "d"},
        "seed": 3,
    }
    assert describe(pretraining) == "pretrain tiny-mvit none on d, seed 3"
    assert " k0 " in describe({**config, "trainable": {"blocks": 0}})
    assert " k2+readout " in describe({**config, "trainable": {"blocks": 2, "readout": True}})
