"""What pretraining reads, keeps and divides by; masked autoencoders from training to a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image
from training_support import QUICK, Config, Fault, Result, config, record_of, train

from echolm.cli.main import main
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.workspace import Workspace


def pretraining(**changes: Any) -> Config:
    """Two epochs of the toy objective."""
    plain = {
        "kind": "pretrain",
        "objective": "toy-mean-frame",
        "encoder": "tiny-mvit",
        "optimizer": {"name": "adam", "lr": 3e-3},
    }
    return config(**{**plain, **changes})


def masked(**changes: Any) -> Config:
    """Two epochs of a small masked autoencoder."""
    objective = {"name": "masked-autoencoder", "decoder_width": 32, "decoder_depth": 1}
    return pretraining(
        **{
            "encoder": "tiny-videomae",
            **changes,
            "objective": objective | changes.get("objective", {}),
        }
    )


def losses_of(workspace: Workspace, run: Config) -> list[dict[str, float]]:
    """The metrics of each epoch."""
    return [event["metrics"] for event in record_of(workspace, run).history()]


def test_no_test_split_is_needed_and_no_predictions_are_kept(workspace: Workspace) -> None:
    """No item of the test split has one of these EFs."""
    store = ClipStore.open(workspace.store("tiny"))
    efs = sorted({item.values["ef"] for item in store.items if item.split != "test"})
    data = {"name": "tiny", "where": {"ef": efs}}
    run = pretraining(data=data, epochs=1)
    [outcome] = train(workspace, run)
    assert (outcome.state, set(outcome.metrics)) == ("complete", {"val/loss"})
    record = record_of(workspace, run)
    summary = record.summary()
    assert summary is not None
    assert summary["counts"] == {"train": 14, "val": 5}
    assert set(summary["files"]) == {"best.safetensors"}
    assert not list(record.path.rglob("predictions.parquet"))
    with pytest.raises(EchoLMError, match="no sample in split test"):
        train(workspace, pretraining(data=data, predictions=True))


def test_predictions_that_are_asked_for_are_those_of_val_and_test(workspace: Workspace) -> None:
    """The weights are the same without them."""
    best = []
    for asked in (False, True):
        run = masked(predictions=asked)
        [outcome] = train(workspace, run)
        best.append(record_of(workspace, run).file("best.safetensors").read_bytes()[200:])
    assert set(outcome.metrics) == {"val/loss", "test/loss"}
    rows = pq.read_table(record_of(workspace, run).file("predictions.parquet")).to_pylist()
    assert [row["split"] for row in rows] == ["val"] * 5 + ["test"] * 5
    for split in ("val", "test"):
        errors = [row["prediction"][0] for row in rows if row["split"] == split]
        assert outcome.metrics[f"{split}/loss"] == pytest.approx(np.mean(errors))
    assert best[0] == best[1]


def test_the_last_weights_are_kept_where_the_run_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate that makes the loss grow. Interruptions change nothing."""
    optimizer = {"name": "sgd", "lr": 0.3, "momentum": 0}
    rising = {"optimizer": optimizer, "schedule": "constant", "epochs": 3, "predictions": True}
    last = pretraining(**rising, select="last")
    for call in (4, 9):
        with monkeypatch.context() as patch:
            Fault("echolm.training.batches:Batches.batch", call, "SIGTERM").install(patch.setattr)
            [outcome] = train(workspace, last)
        assert outcome.state == "interrupted"
    [outcome] = train(workspace, last)
    assert outcome.state == "complete"
    summary = record_of(workspace, last).summary()
    assert summary is not None and summary["best_epoch"] == 2
    found = losses_of(workspace, last)
    assert found[-1]["val/loss"] > min(metrics["val/loss"] for metrics in found)
    assert outcome.metrics["val/loss"] == pytest.approx(found[-1]["val/loss"], rel=1e-6)
    undisturbed = Workspace(workspace.root / "again")
    undisturbed.store("tiny").parent.mkdir(parents=True)
    undisturbed.store("tiny").symlink_to(workspace.store("tiny").resolve())
    train(undisturbed, last)
    assert Result.of(record_of(workspace, last)) == Result.of(record_of(undisturbed, last))


def test_a_loss_with_denominators_is_their_weighted_mean(workspace: Workspace) -> None:
    """Whatever the micro-batch."""
    run = pretraining(objective="toy-weighted", predictions=True)
    small = Workspace(workspace.root / "small")
    small.store("tiny").parent.mkdir(parents=True)
    small.store("tiny").symlink_to(workspace.store("tiny").resolve())
    [outcome] = train(workspace, run)
    train(small, run, compute=dataclasses.replace(QUICK, micro_batch=2))
    for whole, parts in zip(losses_of(workspace, run), losses_of(small, run), strict=True):
        assert whole == pytest.approx(parts, rel=1e-5)
    efs = {item.sample: item.values["ef"] for item in ClipStore.open(workspace.store("tiny")).items}
    rows = pq.read_table(record_of(workspace, run).file("predictions.parquet")).to_pylist()
    for split in ("val", "test"):
        chosen = [row for row in rows if row["split"] == split]
        errors = [np.square(np.subtract(row["truth"], row["prediction"])).mean() for row in chosen]
        weights = [efs[row["sample"]] for row in chosen]
        expected = np.average(errors, weights=weights)
        assert outcome.metrics[f"{split}/loss"] == pytest.approx(expected, rel=1e-5)


def test_equal_denominators_change_nothing(workspace: Workspace) -> None:
    plain = pretraining()
    equal = pretraining(objective={"name": "toy-weighted", "each": 8.0})
    train(workspace, plain, equal)
    for one, other in zip(losses_of(workspace, plain), losses_of(workspace, equal), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("mask", ["random", "tube", "batch-shared"])
def test_masks_of_validation_are_the_same_in_each_epoch(mask: str, workspace: Workspace) -> None:
    """With a rate of nothing, masks that were drawn anew would move the loss, as in training."""
    run = masked(objective={"mask": mask, "ratio": 0.5}, optimizer={"name": "sgd", "lr": 1e-30})
    train(workspace, run, compute=dataclasses.replace(QUICK, micro_batch=3))
    epochs = losses_of(workspace, run)
    assert len({metrics["val/loss"] for metrics in epochs}) == 1
    assert len({metrics["train/loss"] for metrics in epochs}) == 2


def test_pretrained_weights_are_tuned_and_drawn(workspace: Workspace, tiny: Path) -> None:
    run = masked(objective={"target": "normalised"}, clip="ed-to-es")
    [outcome] = train(workspace, run)
    tuned = config(
        encoder="tiny-videomae",
        weights=f"run:{outcome.cell}",
        trainable="k1",
        fusion="mean-std",
        epochs=1,
    )
    assert [tuned_outcome.state for tuned_outcome in train(workspace, tuned)] == ["complete"]
    video = next((tiny / "source" / "Videos").glob("*.avi"))
    out = workspace.root / "picture.png"
    arguments = ["--workspace", str(workspace.root), "predict", outcome.cell, str(video)]
    runner = CliRunner()
    told = runner.invoke(main, arguments)
    assert told.exit_code == 1 and "ED and ES are needed" in told.output
    told = runner.invoke(main, [*arguments, "--ed", "3", "--es", "9", "--out", str(out), "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.output)
    assert found["masked"] == pytest.approx(108 / 128)
    assert found["frames"][0] == 3 and found["frames"][-1] == 9
    with Image.open(out) as picture:
        assert picture.format == "PNG" and picture.width > 2 * picture.height
    told = runner.invoke(main, [*arguments[:-1], str(video.parent)])
    assert told.exit_code == 2 and "is a folder" in told.output
