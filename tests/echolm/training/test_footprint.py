"""What a run writes, counted on a network without memory, against networks that have some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_support import Config, config, record_of, train

from echolm.training import footprint as counting
from echolm.training.checkpoint import WrittenCheckpoint
from echolm.training.footprint import Footprint, NotCounted, footprint, footprint_key
from echolm.training.member import Member
from echolm.workspace import Workspace

PRETRAINING = {
    "kind": "pretrain",
    "encoder": "tiny-videomae",
    "objective": {"name": "masked-autoencoder", "decoder_width": 24, "decoder_depth": 1},
    "clip": "uniform",
}
SHAPES: list[dict[str, Any]] = [
    {},
    {"trainable": "k1"},
    {"trainable": "k0", "head": "gcn"},
    {"trainable": "k0", "optimizer": "sgd"},
    {"encoder": "tiny-mvit", "optimizer": {"name": "adamw", "layer_decay": 0.5}},
    PRETRAINING,
]


def in_memory(run: Config) -> Footprint:
    """The same of a real network, after a step of a real optimiser."""
    member = Member(run, run.encoder.build(None), 0, torch.device("cpu"))
    weights = sum(tensor.nbytes for tensor in member.tensors().values())
    remembered = 0
    if member.optimizer:
        for parameter in member.parameters:
            parameter.grad = torch.ones_like(parameter)
        member.optimizer.step()
        for state in member.optimizer.state.values():
            remembered += sum(value.nbytes for value in state.values() if torch.is_tensor(value))
    return Footprint(weights, weights + remembered)


@pytest.mark.parametrize("changes", SHAPES, ids=str)
def test_a_network_without_memory_is_as_large_as_a_real_one(changes: dict[str, Any]) -> None:
    run = config(**changes)
    assert footprint(run) == in_memory(run)


def test_files_are_as_large_as_that(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = WrittenCheckpoint.finish

    def finish(self: WrittenCheckpoint) -> Path:
        sizes.append(self.size)
        return original(self)

    monkeypatch.setattr(WrittenCheckpoint, "finish", finish)
    run = config(epochs=1)
    train(workspace, run)
    counted = footprint(run)
    best = load_file(record_of(workspace, run).file("best.safetensors"))
    assert sum(tensor.nbytes for tensor in best.values()) == counted.weights
    assert counted.checkpoint < sizes[-1] < counted.checkpoint * 1.05 + 100_000


def test_the_published_sizes() -> None:
    """mvit-v2-s by freezing, as its files were measured: 3.7, 167 and 415 MB."""
    sizes = []
    for regime in ("k0", "k2", "all"):
        run = config(encoder="mvit-v2-s", trainable=regime, head="mlp", weights="random")
        sizes.append(footprint(run).checkpoint / 1e6)
    assert sizes == pytest.approx([3.7, 167, 415], rel=0.02)


def test_seeds_and_data_are_not_a_shape() -> None:
    assert footprint_key(config(seed=1)) == footprint_key(config(seed=2, epochs=9))
    assert footprint_key(config()) != footprint_key(config(trainable="k1"))


def shipped(**changes: Any) -> Config:
    """A configuration without a plugin: counts of plugins are not remembered."""
    return config(encoder="tiny-r3d", **changes)


def test_what_was_counted_is_remembered_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = footprint(shipped(), cache)
    assert not cache.exists(), "a look writes nothing"
    assert footprint(shipped(), cache, remembers=True) == first
    monkeypatch.setattr(counting, "_footprint", None)
    assert footprint(shipped(seed=5), cache) == first
    monkeypatch.undo()
    [file] = cache.iterdir()
    file.write_text("{damaged")
    assert footprint(shipped(), cache, remembers=True) == first
    assert len(json.loads(file.read_text())) == 1


def test_what_nobody_has_counted_is_refused_where_no_network_may_be_built(tmp_path: Path) -> None:
    with pytest.raises(NotCounted):
        footprint(shipped(), tmp_path, builds=False)
    assert footprint(shipped(), tmp_path, remembers=True) == footprint(
        shipped(), tmp_path, builds=False
    )


def test_parts_of_plugins_are_counted_each_time(tmp_path: Path) -> None:
    """They may change under the same name."""
    run = config(kind="pretrain", objective="toy-mean-frame")
    footprint(run, tmp_path, remembers=True)
    assert not list(tmp_path.iterdir())
