"""Own tasks and objectives run end to end, by being registered and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from training_support import Config, Fault, Result, config, prepare_run, record_of, train

from echolm.errors import EchoLMError
from echolm.training.trunk import first_network
from echolm.workspace import Workspace

OBJECTIVES = pytest.mark.parametrize("encoder", ["toy-r3d", "tiny-mvit"])


def regression() -> Config:
    """Four epochs of the toy regression."""
    return config(
        task="toy-ef",
        head={"name": "mlp", "width": 16},
        epochs=4,
        optimizer={"name": "adam", "lr": 3e-3},
    )


def pretraining(encoder: str, **changes: object) -> Config:
    """Four epochs of the toy objective, whose predictions are asked for."""
    return config(
        kind="pretrain",
        objective="toy-mean-frame",
        encoder=encoder,
        epochs=4,
        optimizer={"name": "adam", "lr": 3e-3},
        **{"predictions": True, **changes},
    )


def test_regression(workspace: Workspace) -> None:
    [outcome] = train(workspace, regression())
    record = record_of(workspace, regression())
    assert outcome.state == "complete"
    assert set(outcome.metrics) == {
        f"{split}/{name}" for split in ("val", "test") for name in ("loss", "mae")
    }
    rows = pq.read_table(record.file("predictions.parquet")).to_pylist()
    assert [row["split"] for row in rows] == ["val"] * 5 + ["test"] * 5
    for split in ("val", "test"):
        errors = [
            np.subtract(row["truth"], row["prediction"])[0] for row in rows if row["split"] == split
        ]
        assert outcome.metrics[f"{split}/mae"] == pytest.approx(100 * np.abs(errors).mean())
        assert outcome.metrics[f"{split}/loss"] == pytest.approx(np.square(errors).mean(), rel=1e-5)
    losses = [event["metrics"]["train/loss"] for event in record.history()]
    assert losses[-1] < losses[0]
    best = min(record.history(), key=lambda event: event["metrics"]["val/mae"])
    assert record.summary()["best_epoch"] == best["epoch"]  # type: ignore[index]


@OBJECTIVES
def test_pretraining_feeds_fine_tuning(encoder: str, workspace: Workspace) -> None:
    upstream = pretraining(encoder)
    [outcome] = train(workspace, upstream)
    record = record_of(workspace, upstream)
    losses = [event["metrics"]["train/loss"] for event in record.history()]
    assert (outcome.state, set(outcome.metrics)) == ("complete", {"val/loss", "test/loss"})
    assert losses[-1] < losses[0]
    saved = load_file(record.file("best.safetensors"))
    assert {name.split(".")[0] for name in saved} == {"encoder", "objective"}
    assert len({tensor.data_ptr() for tensor in saved.values()}) == len(saved)

    run = config(encoder=encoder, weights=f"run:{outcome.cell}", trainable="k1", epochs=1)
    prepared = prepare_run(run, workspace)
    assert prepared.identity["weights"] == record.identity()["fingerprint"]
    first = first_network(prepared, torch.device("cpu")).state_dict()
    assert all(torch.equal(tensor, saved[f"encoder.{name}"]) for name, tensor in first.items())
    [tuned] = train(workspace, run)
    assert tuned.state == "complete"


def test_other_upstream_weights_are_another_fingerprint_of_the_same_cell(
    workspace: Workspace,
) -> None:
    upstream = pretraining("toy-r3d")
    [outcome] = train(workspace, upstream)
    run = config(weights=f"run:{outcome.cell}")
    prepared = prepare_run(run, workspace)
    identity = {**record_of(workspace, upstream).identity(), "fingerprint": "0" * 64}
    path = record_of(workspace, upstream).path / "config.json"
    path.write_text(json.dumps(identity))
    again = prepare_run(run, workspace)
    assert (again.cell == prepared.cell) and again.identity["fingerprint"] != prepared.identity[
        "fingerprint"
    ]


def test_an_upstream_run_that_is_not_there_or_not_whole_is_named(workspace: Workspace) -> None:
    with pytest.raises(
        EchoLMError,
        match="no complete run of that cell .* train it first: echolm train 0123456789abcdef",
    ):
        prepare_run(config(weights="run:0123456789abcdef"), workspace)
    [partly] = train(workspace, config(trainable="k1", epochs=1))
    [outcome] = train(workspace, config(weights=f"run:{partly.cell}"))
    assert outcome.state == "failed" and "not a whole toy-r3d" in outcome.detail
    [whole] = train(workspace, config(epochs=1))
    [outcome] = train(workspace, config(weights=f"run:{whole.cell}", encoder="tiny-mvit"))
    assert outcome.state == "failed" and "not a whole tiny-mvit" in outcome.detail
    [failure] = record_of(
        workspace, config(weights=f"run:{whole.cell}", encoder="tiny-mvit")
    ).failures()
    assert failure["class"] == "data"


@OBJECTIVES
def test_pretraining_resumes_bitwise(
    encoder: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objective's own dropout and tensors are part of the state."""
    upstream = pretraining(encoder)
    for call in (2, 6, 9):
        with monkeypatch.context() as patch:
            Fault("echolm.training.batches:Batches.batch", call, "SIGTERM").install(patch.setattr)
            [outcome] = train(workspace, upstream)
        assert outcome.state == "interrupted"
    train(workspace, upstream)
    undisturbed = Workspace(workspace.root / "again")
    undisturbed.store("tiny").parent.mkdir(parents=True)
    undisturbed.store("tiny").symlink_to(workspace.store("tiny").resolve())
    train(undisturbed, upstream)
    assert Result.of(record_of(workspace, upstream)) == Result.of(record_of(undisturbed, upstream))


@pytest.mark.parametrize("hidden", [0.3, 0.31])
def test_validation_losses_of_masked_clips_compare_between_epochs(
    hidden: float, workspace: Workspace
) -> None:
    """With a learning rate of nothing, a mask that were drawn anew would move the loss."""
    upstream = config(
        kind="pretrain",
        objective={"name": "toy-mean-frame", "hidden": hidden},
        encoder="tiny-mvit",
        epochs=3,
        optimizer={"name": "sgd", "lr": 1e-30},
    )
    train(workspace, upstream)
    epochs = record_of(workspace, upstream).history()
    assert len({event["metrics"]["val/loss"] for event in epochs}) == 1
    assert len({event["metrics"]["train/loss"] for event in epochs}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "pretrain"}, "objective: is missing"),
        ({"kind": "pretrain", "objective": "landmarks"}, "unknown objective 'landmarks'"),
        ({"kind": "pretrain", "task": "landmarks"}, "task: only fine-tuning has one"),
        ({"objective": "toy-mean-frame"}, "objective: only a pretraining has one"),
        ({"task": "toy-mean-frame"}, "unknown task 'toy-mean-frame'"),
    ],
    ids=str,
)
def test_tasks_are_for_fine_tuning_and_objectives_for_pretraining(
    changes: dict[str, str], message: str
) -> None:
    """It is told when the file is read."""
    with pytest.raises(EchoLMError, match=message):
        config(**changes)
